"""Track the references of teams to images, and queue images without one for deletion.

Failure behaviour: closed. Every method raises `StateUnavailable` if the answer is unknown or
the change may have failed.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A team's right to an image, and the image's origin.

    *name* is the image's file name, *user* the keyed hash of the person who ordered it, *parents*
    the digests of the images it was edited from. *backend* made it, empty if unknown.
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
    backend: str = ""


class References(Protocol):
    """The rights of teams to images, which links, hits and deletion obey; `SharedOrders.finish` adds them."""

    async def has(self, team: str, name: str) -> bool:
        """Tell if *team* refers to the image *name*."""

    async def find(self, team: str, name: str) -> Reference | None:
        """Return the reference, or None."""

    async def forget(self, team: str, name: str) -> bool:
        """Remove the reference, and the image from the team's pools; returns False if there was none.

        `DeletionQueue` then has the image as due.
        """


class ReferenceListing(Protocol):
    """Lists the references of a team, for purges and statistics."""

    def scan(self, team: str) -> AsyncIterator[Reference]:
        """Yield all references of a team in no order; those added meanwhile may be missing."""

    async def variants(self, team: str, names: Sequence[str]) -> int:
        """Count the variants in the team's pools that are among *names*."""


class ReferenceInventory(Protocol):
    """The age, size and use of a team's references, for retention."""

    async def oldest(self, team: str, *, before_s: float, most: int, is_brief: bool = False) -> list[str]:
        """Return the names of the oldest references made before an instant, oldest first."""

    async def totals(self, team: str) -> tuple[int, int]:
        """Return the numbers of images and bytes that a team refers to."""

    async def existing(self, team: str, names: Sequence[str]) -> set[str]:
        """Return those of *names* that *team* refers to."""


class DeletionQueue(Protocol):
    """Images that lost a reference; their bytes are deleted once no team has one."""

    async def due(self, *, now_s: float, most: int) -> list[str]:
        """Return the names that are due now."""

    async def postpone(self, name: str, *, until_s: float) -> None:
        """Check *name* again later."""

    async def done(self, names: Sequence[str]) -> None:
        """Stop checking *names*."""
