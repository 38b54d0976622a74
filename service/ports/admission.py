"""Share the state of an order between processes: its asks, its grants and its settlements.

In the order of an order's life: an `Ask` is answered by a `Grant`, a `Lease` holds the
grant, a `Settlement` ends a part of it. Failure behaviour: every method raises
`StateUnavailable`; an ask then falls to a local share, a settlement to the `Journal`.
"""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from service.domain.errors import LimitState
from service.domain.failures import CallFailure
from service.domain.images import Image
from service.domain.order import CacheControl, Ticket


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """An order's request to the shared state.

    *round* counts the asks of one order; only the first is charged as a request. *fence* marks
    the claims of this ask; each ask has its own. *used* indices belong to the order already and
    are not granted again. *awaiting* indices are made by other orders; the order waits for them
    while Redis does not answer.
    """

    ticket: Ticket
    round: int
    fence: str
    n: int
    cache: CacheControl
    used: tuple[int, ...] = ()
    awaiting: tuple[int, ...] = ()


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
    """The answer to an ask: *ready* images, indices to make (*mine*), indices to await.

    *foreign* counts variants that belonged to another pool and were removed. The first *resumed*
    of the *ready* images were made earlier under the same `Idempotency-Key`. With a *conclusion*,
    its final answer, or *is_under_way*, another order works on it, nothing else is granted. *equal* is the number of
    this order among equal orders at once, 0 if they are not told apart; *passed_over* indices went to those before it.
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
    equal: int = 0
    passed_over: tuple[int, ...] = ()


SETTLED_KNOWN_S = 7 * 86400
"""Time from its first arrival for which a settlement that is sent again changes nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The outcome of a part of an order's claims.

    *made* images are paid for, and are published under their index if the claim still holds or no
    other order has it (None: not published; below 0: under a free index). *released* indices go
    back to the pool. *forgotten* (index, digest) are variants whose bytes are gone. *refunded*
    images go back to the limits. *unknown* images may have been billed, and count like made ones at their estimate.
    *part* numbers the settlements of one order; a settlement sent twice changes nothing. *fence*
    is that of the ask that got the indices, empty without any. Every image made keeps the ticket's
    origin, except the *unstored* digests. The last settlement of an order with an `Idempotency-Key`
    (*is_last*) has its *conclusion*; without one, another order may take the key up again. *backend* had the call, for an
    image of *model*; empty stands for unknown, and for the ticket's model. *sent_s* is the wall time of the first sending
    that may have arrived.
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
    backend: str = ""
    model: str = ""
    sent_s: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The claimed *indices* that an order renews or, if *fence* is empty, its `Idempotency-Key`.

    *granted* is the number of indices before any was settled.
    """

    ticket: Ticket
    fence: str
    indices: tuple[int, ...] = ()
    granted: int = 0


class SharedOrders(Protocol):
    """The state of orders that processes share (docs/adr/0002). Every method raises `StateUnavailable`."""

    async def begin(self, ask: Ask) -> Grant:
        """Admit an order and give it its images in one step.

        Raises:
            RateLimited: a limit refused; nothing was charged.
            IdempotencyMismatch: the key came with another order before.
            Unauthenticated: the key was revoked or has expired.
            PermissionDenied: the team is closed.
            StateUnavailable: there is no answer; the caller falls back to a local share.
        """

    async def finish(self, settlement: Settlement) -> None:
        """Publish, settle and release, and wake waiters; idempotent by id and part, so a failed one is sent again."""

    async def renew(self, leases: Sequence[Lease]) -> None:
        """Hold the claims of living orders for another lease time, also those that Redis lost or took for dead."""


class AbandonedOrders(Protocol):
    """The orders of dead processes."""

    async def release(self, process: str) -> None:
        """Book and release what *process* held; raises `StateUnavailable`."""


class Journal(Protocol):
    """Settlements that Redis could not take, kept in the data directory; never fails.

    Changes and readings happen in the order of the calls, awaited or not.
    """

    def add(self, settlement: Settlement, *, is_ahead: bool = False) -> Awaitable[bool]:
        """Store a settlement, in place of one with the same number; returns True once it is on the disk.

        One written ahead (*is_ahead*) becomes pending only if this process dies before it is replaced or
        removed. Any other that the disk does not take stays in memory until the disk does.
        """

    async def pending(self, most: int = 100) -> list[Settlement]:
        """Return the oldest *most* settlements, oldest first; the last of an order only after all its others."""

    def remove(self, settlements: Sequence[Settlement]) -> Awaitable[bool]:
        """Remove settlements that were sent."""


class UnsettledImages(Protocol):
    """The images of the settlements in the journal: Redis does not know yet that their teams have them."""

    async def has_image(self, team: str, name: str) -> bool:
        """Tell if a stored settlement has the image *name* among those made for *team*."""
