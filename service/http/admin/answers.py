"""The answer that admins get from several routes: word that something is gone."""

from typing import Literal

from pydantic import BaseModel


class Removed(BaseModel):
    """What is gone."""

    object: str
    id: str
    deleted: Literal[True] = True
