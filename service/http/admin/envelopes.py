"""Hold the parts that the answers of several admin routes share."""

from typing import Generic, Literal, TypeVar

from pydantic import BaseModel

Entry = TypeVar("Entry")


class Listing(BaseModel, Generic[Entry]):
    """A complete list of entries."""

    object: Literal["list"] = "list"
    data: list[Entry]


class Removed(BaseModel):
    """The confirmation of a removal."""

    object: Literal["api_key", "policy"]
    id: str
    deleted: Literal[True] = True
