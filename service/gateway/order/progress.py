"""Hold the progress of one order: build its asks, fill its places, and report facts to its reader.

Owned by `run.py`, which alone changes it. Nothing here waits, so no change can stop half-way.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from service.domain.bridge import with_codes_of
from service.domain.errors import (
    CutOff,
    DeadlineExceeded,
    Draining,
    GatewayError,
    NotCached,
    OrderFailed,
    StateUnavailable,
)
from service.domain.failures import CallFailure, FailureKind
from service.domain.images import Delivery, Image, Source
from service.domain.order import ImageOrder, SentOrder, Ticket
from service.domain.progress import CallFailed, ImageReady, OrderRecord, PartialReady
from service.gateway.admission.shared import LEASE_S
from service.gateway.order.keep import Outcome
from service.gateway.order.runner import RunningOrder
from service.gateway.queue.turn import Turn
from service.ports.admission import Ask
from service.ports.clock import Clock

_REPEATED_WITHIN_S = 60.0
"""Longest delay of an SDK before it repeats an order."""


@dataclass(slots=True, kw_only=True)
class Progress:
    """The progress of one order, of which *record* has what its log line and metrics tell. *stop* is the reason to ask for no more; calls under way still end.

    *used* are pool indices that it must not get again, *awaiting* indices that other orders make for it,
    *calls* are its calls with their turns, *unstored* is the number of delivered images that the store did not take.
    """

    order: ImageOrder
    sent: SentOrder
    ticket: Ticket
    running: RunningOrder
    clock: Clock
    record: OrderRecord = field(init=False)
    round: int = 0
    used: list[int] = field(default_factory=list)
    awaiting: tuple[int, ...] = ()
    waits_since_s: float = 0.0
    unstored: int = 0
    failures: list[CallFailure] = field(default_factory=list)
    calls: dict[asyncio.Task[None], Turn] = field(default_factory=dict)
    stop: GatewayError | None = None
    is_begun: bool = False

    def __post_init__(self) -> None:
        self.record = self.running.record

    def next_ask(self, n: int, now_s: float) -> Ask:
        """Return the next ask, for *n* images, at the monotonic instant *now_s*."""
        ask = Ask(
            ticket=self.ticket,
            round=self.round,
            fence=f"{self.ticket.id}.{self.round}",
            n=n,
            cache=self.order.cache,
            used=tuple(self.used),
            # After a lease without an answer, the maker may be as dead as Redis.
            awaiting=self.awaiting if now_s - self.waits_since_s < LEASE_S else (),
        )
        self.round += 1
        return ask

    def fill(
        self,
        place: int,
        image: Image,
        source: Source,
        data: bytes | None,
        *,
        age_s: float = 0.0,
        is_stored: bool = True,
    ) -> None:
        """Fill *place* of the answer."""
        self._note_first_event()
        self.record.sources.append(source)
        self.note_price(image, source)
        self.unstored += not is_stored
        self.running.emit(
            ImageReady(
                position=place, image=image, source=source, data=data, age_s=age_s, is_stored=is_stored
            )
        )

    def fill_shared(self, place: int, index: int, outcome: Outcome) -> None:
        """Fill *place* with the outcome that another order had for *index*."""
        self.used.append(index)
        if isinstance(outcome, CallFailure):
            self.fail(place, outcome)
        else:
            self.fill(place, outcome.image, Source.COALESCED, outcome.data, is_stored=outcome.is_stored)

    def note_price(self, image: Image, source: Source) -> None:
        """Note the price of *image*: it cost so much when it was made, or else would cost what the order was estimated at.

        Of an image made for this order, note its maker, too.
        """
        price = image.cost_microusd
        if price is None and source is not Source.MADE:
            price = self.ticket.price.microusd
        self.record.prices.append((source, price))
        if source is Source.MADE:
            self.record.makers.append((image.backend, image.sent_model))

    def note_reading(self, since_s: float) -> None:
        """Add the time since the monotonic instant *since_s* to that of reading images; an order for links reads none."""
        if self.order.delivery is not Delivery.URL:
            self.record.read_s += self.clock.monotonic_s() - since_s

    def fail(self, place: int, failure: CallFailure) -> None:
        """Leave *place* of the answer empty after a failed call."""
        self.failures.append(failure)
        self.record.failed += 1
        self.record.unkept += failure.kind is FailureKind.NOT_KEPT
        self.running.emit(CallFailed(positions=(place,), failure=failure))

    def show(self, place: int, number: int, data: bytes, resolved: Mapping[str, str], at_s: float) -> None:
        """Show stage *number* of the image for *place*, received at *at_s*."""
        self._note_first_event()
        stage = PartialReady(position=place, number=number, data=data, shown_at_s=at_s, resolved=resolved)
        self.running.emit(stage)

    def reason_to_end(self) -> GatewayError | None:
        """Return a reason to pay for nothing more, if there is one already."""
        left = GatewayError("The caller has left.") if self.running.is_abandoned else None
        return self.stop or left

    def failed(self, failures: Iterable[CallFailure]) -> OrderFailed:
        """Return *failures* as the order's error, with the codes of the asked model."""
        return OrderFailed(tuple([with_codes_of(self.order.asked, each) for each in failures]))

    def wanted_until_s(self) -> float:
        """Return the deadline of the order while its reader waits, and then 0."""
        return self.order.deadline_s if self.running.is_read() else 0.0

    def nothing_granted(self) -> GatewayError:
        """Return the error of an order that gets no more images."""
        if self.order.cache.only_if_cached:
            return NotCached(f"Only {len(self.record.sources)} of {self.order.n} images are in the cache.")
        return StateUnavailable("inconsistent")

    def counted_stop(self, *, is_degraded: bool) -> GatewayError | None:
        """Return the error that ends the order, if any, as `count_in` does."""
        return None if self.stop is None else self.count_in(self.stop, is_degraded=is_degraded)

    def count_in(self, error: GatewayError, *, is_degraded: bool) -> GatewayError:
        """Return *error*, which ends the order, with the use of its images for a repeat of the order.

        If *is_degraded*, a repeat does not find the pool.
        """
        is_found = self._is_resumable or (self._fills_reusable_pool and not is_degraded)
        is_made_again = not is_found and not all(call.done() for call in self.calls)
        kept = len(self.record.sources) - self.unstored if is_found else 0
        lost = len(self.record.sources) - kept
        match error:
            case OrderFailed():
                error = OrderFailed(error.failures, kept=kept, lost=lost)
            case DeadlineExceeded():
                error = DeadlineExceeded(kept=kept)
            case CutOff():
                error = CutOff(kept=kept)
            case _:
                pass
        error.pays_again |= (
            lost > 0 or is_made_again or any(failure.may_be_billed for failure in self.failures)
        )
        return error

    def find_end_of_cut_off(self) -> GatewayError | None:
        """Return the reason why the order ends, once it is cut off; None if nothing is missing."""
        if len(self.record.sources) == self.order.n:
            return None
        is_paid = Source.MADE in self.record.sources or any(
            failure.may_be_billed for failure in self.failures
        )
        return CutOff() if is_paid else Draining()

    def _note_first_event(self) -> None:
        if self.record.shown_s is None:
            self.record.shown_s = self.clock.monotonic_s()

    @property
    def _is_resumable(self) -> bool:
        return self.ticket.idempotency is not None

    @property
    def _fills_reusable_pool(self) -> bool:
        """Tell if equal orders get the images of this one."""
        cache = self.order.cache
        lasts = cache.max_age_s is None or cache.max_age_s >= _REPEATED_WITHIN_S
        return self.ticket.pool is not None and cache.reuse and lasts
