"""Hold the progress of one order: build its asks, fill its places, and report facts to its reader.

Owned by `run.py`, which alone changes it. Nothing here waits, so no change can stop half-way.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from service.domain.bridge import with_codes_of
from service.domain.errors import GatewayError, OrderFailed
from service.domain.failures import CallFailure
from service.domain.images import Image, Source
from service.domain.order import ImageOrder, SentOrder, Ticket
from service.domain.progress import CallFailed, ImageReady, PartialReady
from service.gateway.admission.shared import LEASE_S
from service.gateway.order.keep import Outcome
from service.gateway.order.runner import RunningOrder
from service.ports.admission import Ask


@dataclass(slots=True, kw_only=True)
class Progress:
    """The progress of one order. *stop* is the reason to ask for no more; calls under way still end.

    *used* are pool indices that it must not get again, *awaiting* indices that other orders make for it,
    *sources* the sources of the images delivered so far.
    """

    order: ImageOrder
    sent: SentOrder
    ticket: Ticket
    running: RunningOrder
    round: int = 0
    used: list[int] = field(default_factory=list)
    awaiting: tuple[int, ...] = ()
    waits_since_s: float = 0.0
    sources: list[Source] = field(default_factory=list)
    failures: list[CallFailure] = field(default_factory=list)
    stop: GatewayError | None = None
    is_dispatched: bool = False
    is_begun: bool = False

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
        self, place: int, image: Image, source: Source, data: bytes | None, *, age_s: float = 0.0
    ) -> None:
        """Fill *place* of the answer."""
        self.sources.append(source)
        self.running.emit(ImageReady(position=place, image=image, source=source, data=data, age_s=age_s))

    def fill_shared(self, place: int, index: int, outcome: Outcome) -> None:
        """Fill *place* with the outcome that another order had for *index*."""
        self.used.append(index)
        if isinstance(outcome, CallFailure):
            self.fail(place, outcome)
        else:
            self.fill(place, outcome.image, Source.COALESCED, outcome.data)

    def fail(self, place: int, failure: CallFailure) -> None:
        """Leave *place* of the answer empty after a failed call."""
        self.failures.append(failure)
        self.running.emit(CallFailed(positions=(place,), failure=failure))

    def show(self, place: int, number: int, data: bytes, resolved: Mapping[str, str], at_s: float) -> None:
        """Show stage *number* of the image for *place*, received at *at_s*."""
        stage = PartialReady(position=place, number=number, data=data, shown_at_s=at_s, resolved=resolved)
        self.running.emit(stage)

    def failed(self, failures: Iterable[CallFailure]) -> OrderFailed:
        """Return *failures* as the order's error, with the codes of the asked model."""
        asked = self.order.asked
        return OrderFailed(tuple([with_codes_of(asked, each) for each in failures]), kept=len(self.sources))
