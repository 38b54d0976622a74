"""Which team has a right to which image, and what has lost its last one.

Failure behaviour: closed. Everything raises `StateUnavailable` when it cannot be
known, or may not have been done.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A team's right to an image, and where the image comes from.

    *name* is its file name, *user* the keyed hash of who had it made, *parents* the
    digests of what it was edited from.
    """

    name: str
    team: str
    user: str
    asked_model: str
    sent_model: str
    answered_model: str | None
    realm: str
    operation: str
    fingerprint: str
    parents: tuple[str, ...]
    credentials: str
    created_s: int
    size_bytes: int
    width: int
    height: int
    cost_microusd: int | None
    is_brief: bool


class References(Protocol):
    """Which images a team may refer to: what links, deletion and retention go by.

    Made by `OrderBook.finish`. Everything here raises `StateUnavailable`.
    """

    async def has(self, team: str, name: str) -> bool:
        """Whether *team* refers to the image *name*."""
        ...

    async def find(self, team: str, name: str) -> Reference | None:
        """Return the reference, or None."""
        ...

    async def forget(self, team: str, name: str) -> bool:
        """Take the reference away, and the image out of the team's pools; whether there was one.

        The image is then due to be looked at by `Leftovers`.
        """
        ...

    async def oldest(self, team: str, *, before_s: float, most: int, is_brief: bool = False) -> list[str]:
        """Return the names of the oldest references made before an instant, oldest first."""
        ...

    def scan(self, team: str) -> AsyncIterator[Reference]:
        """Yield all references of a team, in no order; one that is made meanwhile may be missing."""
        ...

    async def totals(self, team: str) -> tuple[int, int]:
        """Return how many images and bytes a team refers to."""
        ...

    async def teams(self) -> list[str]:
        """Return every team that has ever asked for anything, whether it refers to an image or not."""
        ...

    async def which(self, team: str, names: Sequence[str]) -> set[str]:
        """Return those of *names* that *team* refers to."""
        ...

    async def variants(self, team: str, names: Sequence[str]) -> int:
        """Return how many variants of the team's pools are one of *names*."""
        ...


class Leftovers(Protocol):
    """Images that lost a reference: their bytes go once no team has one. Raises `StateUnavailable`."""

    async def due(self, *, now_s: float, most: int) -> list[str]:
        """Return the names that are to be looked at by now."""
        ...

    async def postpone(self, name: str, *, until_s: float) -> None:
        """Look at *name* again later."""
        ...

    async def done(self, names: Sequence[str]) -> None:
        """Look at *names* no more."""
        ...
