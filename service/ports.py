"""Every dependency of the use cases on the world, as protocols and the values they exchange.

Adapters know these by shape. Each protocol says what it raises and what happens
when the thing behind it fails.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple, Protocol

from service.domain.callers import ApiKey, DeclaredNames, Directory, Policy, Resource, Team
from service.domain.errors import CallFailure, LimitState
from service.domain.images import (
    CallMade,
    Finish,
    Idempotency,
    Image,
    ImageCall,
    InputImage,
    Operation,
    Realm,
)


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


class Downloads(Protocol):
    """Fetches the pictures that a backend answers as URLs."""

    async def fetch(self, url: str, *, deadline_s: float) -> bytes:
        """Return the bytes at *url*; *deadline_s* is an instant of the monotonic clock.

        Raises:
            DownloadFailed: not allowed, no answer in time, too large or empty.
        """
        ...


class DownloadFailed(Exception):
    """The picture could not be fetched; the text is safe to show and names no host."""


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
        """Return every team that has ordered something."""
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


@dataclass(frozen=True, slots=True)
class Round:
    """One walk through the whole store: when it was begun, and which part of it (0 to 255) comes next."""

    began_s: float
    part: int


class Turns(Protocol):
    """Who may do what one process at a time does. Raises `StateUnavailable`."""

    async def take(self, *, hold_s: float) -> bool:
        """Whether it is this process' turn, for *hold_s* from now on."""
        ...

    async def read_round(self) -> Round | None:
        """Return how far the walk through the store has come, whoever did it."""
        ...

    async def keep_round(self, round_: Round) -> None:
        """Keep how far it has come."""
        ...


class StoredImage(NamedTuple):
    """One image of the store as a listing shows it; *modified_s* is seconds since the epoch."""

    name: str
    size_bytes: int
    modified_s: float


class StoreShelves(Protocol):
    """The store as retention sees it; everything raises `StoreUnavailable`."""

    async def modified_s(self, name: str) -> float:
        """Return when the image was last written, in seconds since the epoch; raises `ImageMissing`."""
        ...

    def list(self, part: int | None = None) -> AsyncIterator[StoredImage]:
        """Yield every image in no order, or those of one of 256 parts; holds one page at a time."""
        ...

    async def delete(self, names: Sequence[str]) -> None:
        """Delete images; those that are not there are no mistake."""
        ...

    async def remove_remains(self, *, before_s: float) -> int:
        """Delete what killed writers left before an instant; return how many files."""
        ...


class ImageFiles(Protocol):
    """Reading stored images in parts, for the file routes."""

    async def size(self, name: str) -> int:
        """Return the size in bytes; raises as `ImageStore.get`."""
        ...

    def read(self, name: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield bytes *start* up to, not including, *end*; raises as `ImageStore.get`."""
        ...

    async def presign(self, name: str, *, ttl_s: int) -> str | None:
        """Return a URL that gives the image to anyone for *ttl_s*; None where the store has none.

        Raises:
            StoreUnavailable: there is nothing to sign with.
        """
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

    def sign(self, team: str, name: str) -> str:
        """Return the absolute URL of *name* for *team*, with its expiry and signature."""
        ...

    def check(self, name: str, query: str) -> str:
        """Check the query string that came with *name*; returns the team it was signed for.

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
    there, *only_ready* nothing that is not. *respects_lapsed*: claims
    that have expired still count, since an outage has just ended. *scopes* (name, key) are what the order counts
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
    idempotency: Idempotency | None = None
    max_age_s: float | None = None
    fresh: bool = False
    only_ready: bool = False
    respects_lapsed: bool = False
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
    conclusion: "Conclusion | None" = None
    is_under_way: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclusion:
    """The final outcome of an order: its *images* by place, or *failures* that anyone would meet again."""

    images: tuple[Image, ...] = ()
    failures: tuple[CallFailure, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where images come from, kept with each: the *asked* model, the *fingerprint* and the digests of its inputs.

    *is_brief*: the caller asked for them not to be kept (`no-store`).
    """

    asked_model: str
    operation: Operation
    fingerprint: str
    parents: tuple[str, ...] = ()
    is_brief: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """What became of a part of an order's claims.

    *made* were paid for and are published under their index, where the claim
    still holds or nobody has another (no index: not published; below 0: under a
    free one); *released* go back to the pool; *forgotten* (index, digest) are
    variants whose bytes are gone; *refunded* images go back to the limits;
    *unknown* were sent and may have been billed: the house pays. *part* numbers
    the settlements of one order; sending one twice changes nothing. *origin* is kept
    with every image made, except for digests in *unstored*. The last one of an order with an `Idempotency-Key`
    (*is_last*) has its *conclusion*, or none: then the key may be taken up again.
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
            IdempotencyMismatch: the key came with another order before.
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
    indices: tuple[int, ...] = ()
    scopes: tuple[tuple[str, str], ...] = ()
    idempotency: Idempotency | None = None


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


class Audit(Protocol):
    """Where it is kept what admins did."""

    async def note(self, entry: "AuditEntry") -> None:
        """Keep what an admin did; raises `StateUnavailable`."""
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
class StoreCounted:
    """Fact: all teams together refer to so many images and bytes."""

    images: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageForgotten:
    """Fact: a reference was taken away; *reason* is one of a closed set (docs/metrics.md)."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesDeleted:
    """Fact: so many files of the store were deleted, since no team refers to them."""

    files: int


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
    | StoreCounted
    | ImageForgotten
    | FilesDeleted
    | AdminActed
)


class Telemetry(Protocol):
    """Where use cases put facts; names, labels and buckets belong to one adapter."""

    def record(self, fact: TelemetryFact) -> None:
        """Count a fact; never raises, never blocks."""
        ...
