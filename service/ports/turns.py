"""Describe turns at a few places, which callers take one after the other."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol


class TooManyWait(Exception):
    """No place is free, and too many wait for one."""


class Turns(Protocol):
    """Places that callers take in turn."""

    def place(self, caller: str) -> AbstractAsyncContextManager[None]:
        """Hold a place; raises `TooManyWait` at once if none is free and the queue is full."""
        ...
