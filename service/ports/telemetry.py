"""Record facts of use cases; names, labels and buckets belong to the adapters.

Failure behaviour: open. Recording never raises and never blocks.
"""

from dataclasses import dataclass
from typing import Literal, Protocol

from service.domain.backends import KeyName
from service.domain.errors import LimitState, RefusedFor
from service.domain.failures import CallFailure
from service.domain.images import Operation
from service.domain.progress import CacheOutcome, OrderRecord
from service.domain.rests import Rest
from service.ports.audit import AuditEntry

WorkerTrouble = Literal["failed", "memory", "timed_out", "died", "not_started", "busy"]
"""Reasons why an image is not processed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHandled:
    """Fact: an HTTP request was answered; *route* is a template, never a raw path.

    The bytes are those of the bodies.
    """

    route: str
    method: str
    status: int
    duration_s: float
    received_bytes: int = 0
    sent_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptMade:
    """Fact: one attempt of a call ended, at a *key* of *backend*; *outcome* is `made` or the `FailureKind` of *failure*."""

    backend: str
    model: str
    outcome: str
    billing: str
    duration_s: float
    images: int
    is_retry: bool
    failure: CallFailure | None = None
    key: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCrossed:
    """Fact: a call that failed at the key *left*, at no cost, goes on at the key *to*."""

    left: KeyName
    to: KeyName


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRested:
    """Fact: a key of a backend gets no calls for a while, because of *failure*."""

    rest: Rest
    failure: CallFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyBack:
    """Fact: a key of a backend that has had a *rest* is trusted again."""

    rest: Rest


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderChecked:
    """Fact: a backend got a free request; it answered unless *failure* is set, and *is_sure* if it took the key."""

    backend: str
    failure: CallFailure | None
    is_sure: bool
    key: str = ""


OrderOutcome = Literal["delivered", "partial", "failed", "refused", "abandoned"]
"""All images; some; none; none, and nothing was tried; none or some, as the caller left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderEnded:
    """Fact: an order ended, or was refused. *code* names its error, from a closed set, and is empty without one.

    *is_dying*: the asked model has a date of shutdown. An order refused before it was translated has no *sent_model*.
    """

    operation: Operation
    asked_model: str
    sent_model: str
    realm: str
    team: str
    is_dying: bool
    is_streamed: bool
    outcome: OrderOutcome
    code: str
    cache: CacheOutcome
    record: OrderRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderUnread:
    """Fact: an order was refused before it was read. *team* is empty if the caller could not be identified."""

    operation: Operation
    team: str
    code: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LimitDecided:
    """Fact: admission decided on an order of *team*; *limit* and its *scope* refused it, and are empty if it is allowed.

    *limits* has the states of all limits that were judged.
    """

    decision: Literal["allowed", "refused"]
    team: str
    degraded: bool
    limit: str = ""
    scope: str = ""
    limits: tuple[LimitState, ...] = ()


HeldIn = Literal["memory", "disk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BytesDeclined:
    """Fact: a body was refused for lack of room in *place*."""

    place: HeldIn
    reason: RefusedFor


@dataclass(frozen=True, slots=True, kw_only=True)
class StateFailed:
    """Fact: the shared state failed in *operation* for *reason*; both are closed sets."""

    operation: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockCompared:
    """Fact: this process's clock is *skew_s* ahead of the shared one; if it *is_off*, nothing is deleted by its age."""

    skew_s: float
    is_off: bool


@dataclass(frozen=True, slots=True)
class StateBack:
    """Fact: the shared state, which counted as gone, works again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crashed:
    """Fact: a bug ended an order, a turn of a background loop or a request.

    *id* is that of the order or request, or the loop's name. *error* is logged in full, never shown.
    """

    where: Literal["order", "loop", "request"]
    id: str
    error: BaseException


StoreTrouble = Literal["denied", "files", "missing", "timeout", "other"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreFailed:
    """Fact: the image store failed for *reason*."""

    reason: StoreTrouble


StoreOperation = Literal["read", "write", "delete", "check"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreAsked:
    """Fact: an operation of the image store ended after *duration_s*, well or not."""

    operation: StoreOperation
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreCounted:
    """Fact: the numbers of images and bytes that all teams together refer to."""

    images: int
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageForgotten:
    """Fact: a reference was removed; *reason* is one of a closed set (docs/metrics.md)."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FilesDeleted:
    """Fact: files of the store were deleted, since no team refers to them."""

    files: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageSpilled:
    """Fact: the store did not take an image; *outcome* is `kept` in the spill, `refused` by it, or `brought_home`."""

    name: str
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageUnprocessed:
    """Fact: no worker could process an image of a caller or of the provider."""

    origin: Literal["caller", "provider"]
    reason: WorkerTrouble


@dataclass(frozen=True, slots=True, kw_only=True)
class SpillCounted:
    """Fact: the number of images in the spill that wait for the store."""

    images: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AdminActed:
    """Fact: an admin acted; *entry* is the line of the audit."""

    entry: AuditEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class CallQueued:
    """Fact: a call had to wait for its turn, for *waited_s*, and is sent now."""

    waited_s: float


QueueRefusal = Literal["full", "late", "slow", "hurried", "untrusted"]
"""The queue is full; its wait is too long; calls of this kind take too long, or its caller leaves too little time; outcomes
of the provider are unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRefused:
    """Fact: the queue refused an order, or a call at its turn, for *reason*."""

    reason: QueueRefusal


@dataclass(frozen=True, slots=True, kw_only=True)
class LoopLagged:
    """Fact: the event loop took up a task *lag_s* after it was due."""

    lag_s: float


Part = Literal["redis", "store", "journal", "provider"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartAway:
    """Fact: *part* did not work for another *away_s*."""

    part: Part
    away_s: float


TelemetryFact = (
    RequestHandled
    | AttemptMade
    | CallCrossed
    | KeyRested
    | KeyBack
    | ProviderChecked
    | OrderEnded
    | OrderUnread
    | LimitDecided
    | BytesDeclined
    | StateFailed
    | StateBack
    | ClockCompared
    | Crashed
    | StoreFailed
    | StoreAsked
    | StoreCounted
    | ImageForgotten
    | FilesDeleted
    | ImageSpilled
    | ImageUnprocessed
    | SpillCounted
    | AdminActed
    | CallQueued
    | CallRefused
    | LoopLagged
    | PartAway
)


class Telemetry(Protocol):
    """Records facts of use cases."""

    def record(self, fact: TelemetryFact) -> None:
        """Count a fact; never raises, never blocks."""
