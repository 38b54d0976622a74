"""Share the state of an order between processes: its asks, its grants and its settlements.

In the order of an order's life: an `Ask` is answered by a `Grant`, a `Lease` holds the
grant, a `Settlement` ends a part of it. Failure behaviour: every method raises
`StateUnavailable`; an ask then falls to a local share, a settlement to the `Outbox`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from service.domain.errors import LimitState
from service.domain.failures import CallFailure
from service.domain.images import Image
from service.domain.order import CacheControl, Ticket


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A question of an order to the shared state.

    *round* counts the asks of one order; only the first is charged as a
    request. *fence* marks the claims of this ask; a later ask has another. *used* are
    indices the order has already, which must not be granted again; *awaiting* are those that
    others are making for it, to wait for while Redis does not answer.
    *respects_lapsed*: expired claims still count, since an outage has just ended.
    """

    ticket: Ticket
    round: int
    fence: str
    n: int
    cache: CacheControl
    used: tuple[int, ...] = ()
    awaiting: tuple[int, ...] = ()
    respects_lapsed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """The final outcome of an order: its *images* by place, or *failures* that any equal order would meet."""

    images: tuple[Image, ...] = ()
    failures: tuple[CallFailure, ...] = ()


@dataclass(frozen=True, slots=True)
class Variant:
    """One image of a pool."""

    index: int
    image: Image
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """The answer to an ask: *ready* images, indices to make, indices to await.

    *foreign* variants, found in the pool but belonging to another, were removed.
    *ready* begins with *resumed* images that were made before for the same
    `Idempotency-Key`; *conclusion* is its final answer, and *is_under_way* says that
    another order works on it: nothing else was granted then.
    """

    ready: tuple[Variant, ...]
    mine: tuple[int, ...]
    awaited: tuple[int, ...]
    limits: tuple[LimitState, ...]
    degraded: bool = False
    foreign: int = 0
    resumed: int = 0
    conclusion: Conclusion | None = None
    is_under_way: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The outcome of a part of an order's claims.

    *made* were paid for and are published under their index, where the claim
    still holds or no other order has it (no index: not published; below 0: under a
    free one); *released* go back to the pool; *forgotten* (index, digest) are
    variants whose bytes are gone; *refunded* images go back to the limits;
    *unknown* were sent and may have been billed: the house pays. *part* numbers
    the settlements of one order; sending one twice changes nothing. *fence* is that of the
    ask which got the indices; empty without any. The ticket's origin is kept
    with every image made, except for digests in *unstored*. The last one of an order with
    an `Idempotency-Key` (*is_last*) has its *conclusion*, or none: then another order may
    take the key up again.
    """

    ticket: Ticket
    part: str
    fence: str
    made: tuple[tuple[int | None, Image], ...] = ()
    released: tuple[int, ...] = ()
    refunded: int = 0
    unknown: int = 0
    forgotten: tuple[tuple[int, str], ...] = ()
    unstored: tuple[str, ...] = ()
    is_last: bool = False
    conclusion: Conclusion | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The holdings of an order that it must renew: claimed *indices*, or with an empty *fence* its `Idempotency-Key`."""

    ticket: Ticket
    fence: str
    indices: tuple[int, ...] = ()


class SharedOrders(Protocol):
    """The state of orders that processes share (docs/adr/0002)."""

    async def begin(self, ask: Ask) -> Grant:
        """Admit an order and give it its images in one step.

        Raises:
            RateLimited: a limit refused; nothing was charged.
            IdempotencyMismatch: the key came with another order before.
            Unauthenticated: the key was revoked or has expired.
            PermissionDenied: the team is closed.
            StateUnavailable: no answer; the caller falls back to a local share.
        """
        ...

    async def finish(self, settlement: Settlement) -> None:
        """Publish, settle and release; wakes waiters. Idempotent by id and part.

        Raises:
            StateUnavailable: it must be sent again later.
        """
        ...

    async def renew(self, leases: Sequence[Lease]) -> None:
        """Hold the claims of living orders for another lease time.

        Raises:
            StateUnavailable: they expire if that lasts.
        """
        ...


class Outbox(Protocol):
    """Settlements that Redis could not take, kept in the data directory."""

    def add(self, settlement: Settlement, *, after_s: float = 0.0) -> None:
        """Store a settlement; returns once it is in the file.

        With *after_s* it is pending only then, and only if it was neither removed nor
        added again meanwhile: the settlement of an order whose process dies.
        """
        ...

    def pending(self, most: int = 100) -> list[Settlement]:
        """Return the oldest *most* settlements, oldest first."""
        ...

    def remove(self, settlements: Sequence[Settlement]) -> None:
        """Remove a settlement that was sent."""
        ...

    async def has_image(self, team: str, name: str) -> bool:
        """Tell if any stored settlement says that *team* had the image *name* made."""
        ...
