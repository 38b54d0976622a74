"""Track the rights of teams to images, and the images that lost their last one.

Failure behaviour: closed. Every method raises `StateUnavailable` if the answer cannot be
known, or if a change may not have been done.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A team's right to an image, and the image's origin.

    *name* is its file name, *user* the keyed hash of the person it was made for, *parents* the
    digests of the images it was edited from.
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
    """The right of a team to an image, which links, hits and deletion obey.

    Made by `SharedOrders.finish`. Every method raises `StateUnavailable`.
    """

    async def has(self, team: str, name: str) -> bool:
        """Tell if *team* refers to the image *name*."""
        ...

    async def find(self, team: str, name: str) -> Reference | None:
        """Return the reference, or None."""
        ...

    async def forget(self, team: str, name: str) -> bool:
        """Remove the reference, and the image from the team's pools; returns False if there was none.

        `Leftovers` then lists the image as due.
        """
        ...


class ReferenceListing(Protocol):
    """All references of a team, for purges and statistics. Every method raises `StateUnavailable`."""

    def scan(self, team: str) -> AsyncIterator[Reference]:
        """Yield all references of a team, in no order; one that is made meanwhile may be missing."""
        ...

    async def variants(self, team: str, names: Sequence[str]) -> int:
        """Return how many variants of the team's pools are among *names*."""
        ...


class ReferenceInventory(Protocol):
    """The age, size and use of a team's references, for retention. Every method raises `StateUnavailable`."""

    async def oldest(self, team: str, *, before_s: float, most: int, is_brief: bool = False) -> list[str]:
        """Return the names of the oldest references made before an instant, oldest first."""
        ...

    async def totals(self, team: str) -> tuple[int, int]:
        """Return how many images and bytes a team refers to."""
        ...

    async def existing(self, team: str, names: Sequence[str]) -> set[str]:
        """Return those of *names* that *team* refers to."""
        ...


class Leftovers(Protocol):
    """Images that lost a reference: their bytes go once no team has one. Raises `StateUnavailable`."""

    async def due(self, *, now_s: float, most: int) -> list[str]:
        """Return the names that are due now."""
        ...

    async def postpone(self, name: str, *, until_s: float) -> None:
        """Check *name* again later."""
        ...

    async def done(self, names: Sequence[str]) -> None:
        """Stop checking *names*."""
        ...
