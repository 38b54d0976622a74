"""Confirm a removal, for several admin routes."""

from typing import Literal

from pydantic import BaseModel


class Removed(BaseModel):
    """The confirmation of a removal."""

    object: str
    id: str
    deleted: Literal[True] = True
