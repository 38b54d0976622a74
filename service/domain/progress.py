"""Record the course of an order, and report its progress as facts, which its reader turns into an answer or a stream."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from service.domain.errors import GatewayError, LimitState
from service.domain.failures import CallFailure
from service.domain.images import Image, Source


@dataclass(frozen=True, slots=True)
class CallTimes:
    """The time of a call in each stage: for its turn, for its attempts and the pauses between, for its images to be stored."""

    queue_s: float = 0.0
    upstream_s: float = 0.0
    store_s: float = 0.0


_NO_CALL = CallTimes()

ImageOutcome = Literal["hit", "coalesced", "miss", "none"]
"""The source of one image; `none` without the cache."""
CacheOutcome = Literal[ImageOutcome, "partial"]
"""The source of an order's images; `partial` of several sources, `none` without an image, or without the cache."""

OUTCOMES: Mapping[Source, ImageOutcome] = {
    Source.HIT: "hit",
    Source.COALESCED: "coalesced",
    Source.MADE: "miss",
}
"""The outcome of each source, as callers and metrics read it."""


@dataclass(slots=True, kw_only=True)
class OrderRecord:
    """The course of an order, for its log line and its metrics: the order alone writes it.

    Calls run side by side, so their stages are those of one, *last_call*, the call that ended last: with *begin_s*, the time of
    the asks of the shared state, and *read_s*, the time to read images that existed, they add up to the time of the order.
    What is missing is spent in moderation, in waiting for the images of other orders, and in settling. *started_s* is the
    instant of acceptance, *shown_s* that of the first image or stage.

    *calls* were given a turn, *attempts* were sent; *sources* has the source of each delivered image, and *failed*
    counts the others whose call failed, of them *unkept* those that were made, and the store failed. *prices* has the price of each image, in micro-dollars, None if unknown: paid for one made, delivered or
    not, and saved for others. *makers* has the backend and the model of each image made, in the same order.
    """

    started_s: float = 0.0
    shown_s: float | None = None
    ended_s: float | None = None
    begin_s: float = 0.0
    read_s: float = 0.0
    last_call: CallTimes = _NO_CALL
    calls: int = 0
    attempts: int = 0
    sources: list[Source] = field(default_factory=list)
    failed: int = 0
    unkept: int = 0
    prices: list[tuple[Source, int | None]] = field(default_factory=list)
    makers: list[tuple[str, str]] = field(default_factory=list)
    is_replayed: bool = False

    @property
    def stages_s(self) -> dict[str, float]:
        """The seconds in each stage, by its name."""
        call = self.last_call
        return {
            "queue": call.queue_s,
            "begin": self.begin_s,
            "upstream": call.upstream_s,
            "store": self.read_s + call.store_s,
        }

    @property
    def total_s(self) -> float:
        """The seconds from the acceptance of the order to its end; 0 while it runs."""
        return 0.0 if self.ended_s is None else self.ended_s - self.started_s

    @property
    def cost_microusd(self) -> int:
        """The sum of the known prices of the images made."""
        return sum(price or 0 for source, price in self.prices if source is Source.MADE)

    @property
    def unpriced(self) -> int:
        """The number of images made whose price is unknown."""
        return self.prices.count((Source.MADE, None))

    def cache_outcome(self, *, is_cached: bool) -> CacheOutcome:
        """Return the source of the images delivered; *is_cached*: the order may use the cache."""
        if not is_cached or not self.sources:
            return "none"
        return OUTCOMES[self.sources[0]] if len(set(self.sources)) == 1 else "partial"


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
    """Fact: the image for place *position* is ready, with *data* if the delivery needs it; *age_s* is for hits.

    *is_stored* False: the store did not take it, so no link leads to it.
    """

    position: int
    image: Image
    source: Source
    data: bytes | None = None
    age_s: float = 0.0
    is_stored: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PartialReady:
    """Fact: stage *number* (from 0) of the image for *position*."""

    position: int
    number: int
    data: bytes
    shown_at_s: float
    resolved: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailed:
    """Fact: the places *positions* of the answer stay empty."""

    positions: tuple[int, ...]
    failure: CallFailure


@dataclass(frozen=True, slots=True, kw_only=True)
class OrderDone:
    """Fact, always the last: *error* is None if every place was filled."""

    error: GatewayError | None = None


OrderFact = Admitted | PartialReady | ImageReady | CallFailed | OrderDone
