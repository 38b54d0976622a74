"""Report the progress of an order as facts, which its reader turns into an answer or a stream."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from service.domain.errors import GatewayError, LimitState
from service.domain.failures import CallFailure
from service.domain.images import Image, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """Fact: the order may proceed; *pending* images must still be made.

    *is_replayed*: this repeats the answer to the same `Idempotency-Key`. *equal* is the order's number among equal ones
    at once, 0 if they are not told apart.
    """

    limits: tuple[LimitState, ...]
    degraded: bool
    pending: int
    is_replayed: bool = False
    equal: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageReady:
    """Fact: the image for place *position* is ready, with *data* if the delivery needs it; *age_s* is for hits."""

    position: int
    image: Image
    source: Source
    data: bytes | None = None
    age_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialReady:
    """Fact: stage *number* (from 0) of the image for *position*."""

    position: int
    number: int
    data: bytes
    shown_at_s: float
    resolved: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallWaited:
    """Fact: a call of the order waited for its turn."""

    waited_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailed:
    """Fact: the places *positions* of the answer stay empty."""

    positions: tuple[int, ...]
    failure: CallFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderDone:
    """Fact, always the last: *error* is None if every place was filled."""

    error: GatewayError | None = None


OrderFact = Admitted | PartialReady | ImageReady | CallWaited | CallFailed | OrderDone
