"""Confirm a removal, for several admin routes."""

from typing import Literal

from pydantic import BaseModel


class Removed(BaseModel):
    """What is gone."""

    object: str
    id: str
    deleted: Literal[True] = True
