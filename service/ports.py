"""Every dependency of the use cases on the world, as protocols and the values they exchange.

Adapters know these by shape. Each protocol says what it raises and what happens
when the thing behind it fails.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

from service.domain.callers import ApiKey, DeclaredNames, Directory, Policy, Resource, Team
from service.domain.errors import CallFailure, LimitState
from service.domain.images import CallMade, Finish, Image, ImageCall, InputImage, Realm


class Clock(Protocol):
    """Time, so that tests can hold it."""

    def wall_s(self) -> float:
        """Seconds since the epoch, for what leaves the process."""
        ...

    def today(self) -> date:
        """The day in UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds on a clock that never jumps; deadlines are instants of it."""
        ...

    def timeout_at(self, deadline_s: float) -> AbstractAsyncContextManager[object]:
        """Raise `TimeoutError` inside the block once *deadline_s* has passed."""
        ...


class Backend(Protocol):
    """A place that makes images."""

    @property
    def name(self) -> str:
        """Its name in metrics and logs."""
        ...

    @property
    def realm(self) -> Realm:
        """Whether its pictures are paid for."""
        ...

    async def make(self, call: ImageCall, progress: "CallProgress") -> CallMade | CallFailure:
        """Make one attempt of a call; failures are values, with who pays for them.

        Waits its turn in the backend's pace first, tells *progress* and sends.
        Whoever cancels it before that knows that nothing was sent.
        """
        ...


class CallProgress(Protocol):
    """What a call tells while it is being made."""

    def sending(self) -> None:
        """The call is being sent: from here on it may be billed."""
        ...

    def show(self, number: int, data: bytes, resolved: Mapping[str, str]) -> None:
        """Stage *number* of an image that is being streamed."""
        ...


class Moderator(Protocol):
    """Judges prompts before anything is spent on them."""

    async def judge(self, prompt: str, *, deadline_s: float) -> CallFailure | None:
        """Return a refusal, or None; when the judge itself fails, what the operator chose."""
        ...


class ImageStore(Protocol):
    """Where image bytes live, by the digest of their content."""

    async def put(self, name: str, data: bytes) -> None:
        """Keep *data* under *name*; the same name again is the same bytes.

        Raises:
            StoreUnavailable: nothing was kept.
        """
        ...

    async def get(self, name: str) -> bytes:
        """Return the bytes.

        Raises:
            ImageMissing: it is not there.
            StoreUnavailable: it cannot be read now.
        """
        ...

    async def is_writable(self) -> bool:
        """Whether a `put` is likely to succeed; asked before anything is paid for."""
        ...


class ImageFiles(Protocol):
    """Reading stored images in parts, for the file routes."""

    async def size(self, name: str) -> int:
        """Return the size in bytes; raises as `ImageStore.get`."""
        ...

    def read(self, name: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield bytes *start* up to, not including, *end*; raises as `ImageStore.get`."""
        ...


@dataclass(frozen=True, slots=True)
class Picture:
    """A finished picture: its bytes and what its header says."""

    data: bytes
    format: str
    width: int
    height: int


class Pictures(Protocol):
    """Reading and changing pictures."""

    async def finish(self, data: bytes, finish: Finish | None) -> Picture:
        """Read the header of *data* and resample it where *finish* asks for other pixels.

        Raises:
            PictureBroken: it is not a picture we know, or it is too large.
        """
        ...


class InputPictures(Protocol):
    """Reading what callers send."""

    def read_input(self, role: str, path: str, digest: str, size_bytes: int) -> InputImage:
        """Read the header of the picture at *path*; an unknown format is an empty one."""
        ...

    async def look_through(self, image: InputImage) -> InputImage:
        """Return *image* with an alpha channel only if some pixel is not opaque.

        Raises:
            PictureBroken: its pixels cannot be decoded.
        """
        ...


class PictureBroken(Exception):
    """A backend returned bytes that are not an acceptable PNG, JPEG or WebP."""


class Links(Protocol):
    """The gateway's own links to stored images."""

    def sign(self, name: str) -> str:
        """Return the absolute URL of *name*, with its expiry and signature."""
        ...

    def check(self, name: str, query: str) -> None:
        """Check the query string that came with *name*.

        Raises:
            LinkRefused: forged, altered or expired.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit to judge by: *scope* names whose it is (`user`), *key* which one's.

    *resource* says what is counted, *amount* how much of it there is, in its unit
    (see `domain.callers`).
    """

    resource: Resource
    scope: str
    key: str
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What an order asks of the shared state.

    *round* counts the times one order asks; only the first is charged as a
    request. *pool* None keeps the order out of the cache. *used* are indices it
    has already, which must not be given again; *awaiting* those that others are
    making for it, to be waited for on while there is no answer. *fresh* takes nothing that is
    there, *only_ready* nothing that is not. *scopes* (name, key) are what the order counts
    against, *weight* as how many an image counts there. *key_id* must name a key of the
    team that is still valid. *estimate_microusd* is for one image; None is an unknown price.
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
    max_age_s: float | None = None
    fresh: bool = False
    only_ready: bool = False
    used: tuple[int, ...] = ()
    awaiting: tuple[int, ...] = ()

    @property
    def fence(self) -> str:
        """What marks this ask's claims: a later ask of the same order has another."""
        return f"{self.id}.{self.round}"


@dataclass(frozen=True, slots=True)
class Variant:
    """One image of a pool."""

    index: int
    image: Image
    age_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What the shared state gives an order: *ready* images, indices to make, indices to await.

    *foreign* variants were found in the pool that belong to another, and removed.
    """

    ready: tuple[Variant, ...]
    mine: tuple[int, ...]
    awaited: tuple[int, ...]
    limits: tuple[LimitState, ...]
    degraded: bool = False
    foreign: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What became of a part of an order's claims.

    *made* were paid for and are published under their index, where the claim
    still holds or nobody has another (no index: not published; below 0: under a
    free one); *released* go back to the pool; *forgotten* (index, digest) are
    variants whose bytes are gone; *refunded* images go back to the limits;
    *unknown* were sent and may have been billed: the house pays. *part* numbers
    the settlements of one order; sending one twice changes nothing.
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

    @property
    def is_local(self) -> bool:
        """Whether a local share gave the indices: then Redis may hold something nobody heard of."""
        return any(index is not None and index < 0 for index, _ in self.made) or any(
            index < 0 for index in self.released
        )


class OrderBook(Protocol):
    """All state of an order that processes share (design: two scripts)."""

    async def begin(self, ask: Ask) -> Grant:
        """Admit an order and give it its images in one step.

        Raises:
            RateLimited: a limit refused; nothing was charged.
            Unauthenticated: the key was revoked or has expired.
            PermissionDenied: the team is closed.
            StateUnavailable: no answer; the caller falls back to a local share.
        """
        ...

    async def finish(self, settlement: Settlement) -> None:
        """Publish, settle and release; wakes who waits. Idempotent by id and part.

        Raises:
            StateUnavailable: it must be sent again later.
        """
        ...

    async def renew(self, leases: "Sequence[Lease]") -> None:
        """Hold the claims of living orders for another lease time.

        Raises:
            StateUnavailable: they expire if that lasts.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """What an order holds and must renew; *scopes* (name, key) are those that hold something for it."""

    id: str
    fence: str
    team: str
    pool: str | None
    indices: tuple[int, ...]
    scopes: tuple[tuple[str, str], ...] = ()


class Heartbeats(Protocol):
    """Signs of life of every gateway process."""

    async def beat(self) -> int:
        """Tell that this process lives, and return how many do; raises `StateUnavailable`."""
        ...


class Wakeups(Protocol):
    """News from other processes."""

    def listen(self) -> AsyncIterator[tuple[str, int]]:
        """Yield (pool, index) whenever one was made or given back anywhere; ends never.

        Loses news while disconnected: who waits must also ask now and then.
        """
        ...


class Outbox(Protocol):
    """Settlements that Redis could not take, kept in the data directory."""

    def add(self, settlement: Settlement) -> None:
        """Keep one; returns once it is in the file."""
        ...

    def pending(self, most: int = 100) -> list[Settlement]:
        """Return the oldest *most* that are kept, oldest first."""
        ...

    def remove(self, settlements: Sequence[Settlement]) -> None:
        """Forget what was sent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """What a verified token says. *subject* names the user, *expires_s* is an instant since the epoch."""

    subject: str
    team: str | None
    policy: str | None
    expires_s: float


class TokenVerifier(Protocol):
    """Judges the tokens of an identity provider."""

    async def verify(self, token: str) -> Claims:
        """Return what *token* says.

        Raises:
            Unauthenticated: forged, expired, not for us, or not understood.
            StateUnavailable: the provider's keys cannot be had (reason `jwks`).
        """
        ...


class CallerBook(Protocol):
    """Keys, policies and teams as all processes see them."""

    async def find_key(self, token_hash: str) -> ApiKey | None:
        """Return the key whose token hashes to *token_hash*, also an expired one; None when unknown or revoked.

        Raises:
            StateUnavailable: it cannot be looked up now.
        """
        ...

    async def read_directory(self) -> Directory:
        """Return all policies and teams made by admins; raises `StateUnavailable`."""
        ...

    async def revision(self) -> int:
        """Return a number that changes with every change of a key, policy or team; raises `StateUnavailable`."""
        ...


class Registrar(Protocol):
    """Changes of keys, policies and teams. Each takes effect in every process within a second.

    Everything here raises `StateUnavailable` when it may not have been done.
    """

    async def put_policy(self, policy: Policy) -> None:
        """Make a policy or replace it."""
        ...

    async def remove_policy(self, name: str) -> bool:
        """Remove a policy; whether there was one."""
        ...

    async def put_team(self, team: Team) -> None:
        """Make a team or replace it; a closed one can spend nothing from this moment on."""
        ...

    async def add_key(self, key: ApiKey, token_hash: str) -> None:
        """Make a key valid."""
        ...

    async def revoke_key(self, team: str, key_id: str) -> ApiKey | None:
        """Make a key worthless from this moment on; returns it, or None when there is none."""
        ...

    async def list_keys(self, team: str) -> list[ApiKey]:
        """Return the keys of a team, oldest first."""
        ...

    async def note(self, entry: "AuditEntry") -> None:
        """Keep what an admin did."""
        ...

    async def read_audit(self, most: int) -> "list[AuditEntry]":
        """Return the latest *most* acts, newest first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One act of an admin: who (a key id, `bootstrap` or `command line`) did what to what, when."""

    at_s: int
    who: str
    act: str
    target: str
    details: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One sum of the ledger. *outcome* is `made` or `unknown` (paid by the house).

    *unpriced* of the *images* have no known price and are not in *microusd*. *day* is
    `YYYY-MM-DD` in UTC, *user* a keyed hash.
    """

    day: str
    team: str
    user: str
    model: str
    realm: str
    outcome: str
    images: int
    microusd: int
    unpriced: int


class Notices(Protocol):
    """What a gateway leaves for others on the same state, such as commands. All of it raises `StateUnavailable`."""

    async def read_secret_check(self) -> str | None:
        """Return the check value of the secrets in use; None before any gateway has started."""
        ...

    async def put_secret_check(self, check: str) -> None:
        """Replace it."""
        ...

    async def read_declared(self) -> DeclaredNames:
        """Return what the configuration file of the gateway that started last declares."""
        ...

    async def put_declared(self, names: DeclaredNames) -> None:
        """Replace it."""
        ...


class Ledger(Protocol):
    """Reading what `OrderBook` booked."""

    def read(self, team: str, days: Sequence[date], user: str | None = None) -> AsyncIterator[LedgerEntry]:
        """Yield the sums of *team* for *days*, only of *user* if one is named; raises `StateUnavailable`."""
        ...

    async def teams(self) -> list[str]:
        """Return every team that has a ledger; raises `StateUnavailable`."""
        ...

    async def erase(self, team: str, user: str) -> int:
        """Take a person out of the ledger, the limits and the pools of their own.

        Sums stay, under the user `erased`. Returns how many entries were changed;
        raises `StateUnavailable` when not all were.
        """
        ...

    async def compact(self) -> None:
        """Have what was erased leave the server's files too, as far as that can be had; never fails."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptMade:
    """Fact: one attempt of a call ended; *outcome* is `made` or a `FailureKind`."""

    backend: str
    model: str
    outcome: str
    billing: str
    duration_s: float
    images: int
    is_retry: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageDelivered:
    """Fact: an order's image came from *source* (`hit`, `coalesced`, `made`)."""

    asked_model: str
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitDecided:
    """Fact: admission ended as *decision*: `allowed` or the resource that refused."""

    decision: str
    degraded: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StateFailed:
    """Fact: the shared state failed in *operation* because of *reason*."""

    operation: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlight:
    """Fact: orders running, calls sent and orders waiting for another's image, now."""

    orders: int = field(default=0)
    calls: int = field(default=0)
    waiters: int = field(default=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class CostSettled:
    """Fact: an image was paid for; *microusd* None is an unknown price."""

    model: str
    realm: str
    microusd: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderCrashed:
    """Fact: a bug ended an order; *error* is logged in full, never shown."""

    order_id: str
    error: BaseException


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHandled:
    """Fact: an HTTP request was answered; *route* is a template, never a raw path."""

    route: str
    method: str
    status: int
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminActed:
    """Fact: an admin did something; *entry* is the line of the audit."""

    entry: AuditEntry


TelemetryFact = (
    RequestHandled
    | AttemptMade
    | ImageDelivered
    | LimitDecided
    | StateFailed
    | InFlight
    | CostSettled
    | OrderCrashed
    | AdminActed
)


class Telemetry(Protocol):
    """Where use cases put facts; names, labels and buckets belong to one adapter."""

    def record(self, fact: TelemetryFact) -> None:
        """Count a fact; never raises, never blocks."""
        ...
