"""Confirm a removal; several admin routes answer so."""

from typing import Literal

from pydantic import BaseModel


class Removed(BaseModel):
    """The confirmation of a removal."""

    object: str
    id: str
    deleted: Literal[True] = True
