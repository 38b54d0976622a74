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
from service.domain.images import Idempotency, Image, Operation, Realm
from service.domain.limits import Limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A question of an order to the shared state.

    *round* counts the asks of one order; only the first is charged as a
    request. *pool* None keeps the order out of the cache. *used* are indices it
    has already, which must not be granted again; *awaiting* are those that others are
    making for it, to wait for while Redis does not answer. *fresh* takes no ready
    variant, *only_ready* nothing else. *respects_lapsed*: expired claims still count,
    since an outage has just ended. *scopes* (name, key) are those the order counts
    against, *weight* is the number that one image counts for. *key_id* must name a key of
    the team that is still valid. *estimate_microusd* is for one image; None is an unknown price.
    """

    id: str
    round: int
    team: str
    user: str
    model: str
    pool: str | None
    n: int
    limits: tuple[Limit, ...]
    scopes: tuple[tuple[str, str], ...] = ()
    key_id: str | None = None
    weight: int = 1
    realm: Realm = Realm.LIVE
    estimate_microusd: int | None = 0
    idempotency: Idempotency | None = None
    max_age_s: float | None = None
    fresh: bool = False
    only_ready: bool = False
    respects_lapsed: bool = False
    used: tuple[int, ...] = ()
    awaiting: tuple[int, ...] = ()

    @property
    def fence(self) -> str:
        """The mark of this ask's claims; a later ask of the same order has another."""
        return f"{self.id}.{self.round}"


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
class Origin:
    """The origin of images, kept with each: the asked model, the fingerprint, the digests of the inputs.

    *is_brief*: the caller asked not to keep them (`no-store`).
    """

    asked_model: str
    operation: Operation
    fingerprint: str
    parents: tuple[str, ...] = ()
    is_brief: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """The outcome of a part of an order's claims.

    *made* were paid for and are published under their index, where the claim
    still holds or no other order has it (no index: not published; below 0: under a
    free one); *released* go back to the pool; *forgotten* (index, digest) are
    variants whose bytes are gone; *refunded* images go back to the limits;
    *unknown* were sent and may have been billed: the house pays. *part* numbers
    the settlements of one order; sending one twice changes nothing. *origin* is kept
    with every image made, except for digests in *unstored*. The last one of an order with
    an `Idempotency-Key` (*is_last*) has its *conclusion*, or none: then another order may
    take the key up again.
    """

    id: str
    part: str
    fence: str
    team: str
    user: str
    model: str
    realm: Realm
    pool: str | None
    limits: tuple[Limit, ...]
    made: tuple[tuple[int | None, Image], ...] = ()
    released: tuple[int, ...] = ()
    refunded: int = 0
    unknown: int = 0
    forgotten: tuple[tuple[int, str], ...] = ()
    scopes: tuple[tuple[str, str], ...] = ()
    weight: int = 1
    estimate_microusd: int | None = 0
    origin: Origin | None = None
    unstored: tuple[str, ...] = ()
    idempotency: Idempotency | None = None
    is_last: bool = False
    conclusion: Conclusion | None = None

    @property
    def is_local(self) -> bool:
        """Tell if a local share gave the indices: then Redis may hold a grant whose answer was lost."""
        return any(index is not None and index < 0 for index, _ in self.made) or any(
            index < 0 for index in self.released
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The holdings of an order that it must renew; *scopes* (name, key) are those that hold something for it."""

    id: str
    fence: str
    team: str
    pool: str | None
    indices: tuple[int, ...] = ()
    scopes: tuple[tuple[str, str], ...] = ()
    idempotency: Idempotency | None = None


class OrderBook(Protocol):
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
