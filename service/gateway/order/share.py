"""Wait for images that other orders are making, instead of paying for them again.

Failure behaviour: a wait that yields nothing, or an image that cannot be delivered,
leaves its place empty, and the order asks again; a full waiting room fails the order.
"""

from dataclasses import dataclass

from service.domain.errors import ImageMissing, OrderFailed, StoreUnavailable
from service.domain.failures import CallFailure
from service.domain.images import CallFailed, Delivery, Image, Source
from service.gateway.order.attempt import NOT_SENT
from service.gateway.order.progress import Progress
from service.gateway.order.waiting import Flights, Landing
from service.ports.clock import Clock
from service.ports.store import ImageStore
from service.ports.telemetry import ImageDelivered, InFlight, Telemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class Coalescing:
    """Takes images from the waiting room for an order."""

    flights: Flights
    store: ImageStore
    clock: Clock
    telemetry: Telemetry

    async def wait(
        self, progress: Progress, places: tuple[int, ...], awaited: tuple[int, ...]
    ) -> tuple[int, ...]:
        """Wait for images of other orders; returns the places to ask for again."""
        if self.flights.is_full:
            progress.error = OrderFailed((NOT_SENT,), kept=progress.filled)
            return places
        progress.awaiting = awaited
        # Not a coroutine of its own: thousands may wait at once, and each frame is memory.
        self.telemetry.record(InFlight(waiters=1))
        try:
            left_s = max(0.0, progress.order.deadline_s - self.clock.monotonic_s())
            # A stream wants each image as soon as it exists; a JSON answer wants them all.
            landings = await self.flights.wait(
                progress.accepted.pool or "", awaited, left_s=left_s, for_all=not progress.order.is_streamed
            )
        finally:
            self.telemetry.record(InFlight(waiters=-1))
        for index, landing in landings.items():
            outcome = landing.failure or await self._load(progress, landing)
            if outcome is None:
                continue
            place, *rest = places
            places = tuple(rest)
            progress.used.append(index)
            if isinstance(outcome, CallFailure):
                progress.failures.append(outcome)
                progress.running.emit(CallFailed(positions=(place,), failure=outcome))
            else:
                self._deliver(progress, place, *outcome)
        return places

    def send_another(self, progress: Progress) -> None:
        """Wake another waiter for the same images; this order, the scout, stops here."""
        for index in progress.awaiting:
            self.flights.wake(progress.accepted.pool or "", index)

    async def _load(self, progress: Progress, landing: Landing) -> tuple[Image, bytes | None] | None:
        """Return the image as it will be delivered, or None if that is impossible."""
        image, data = landing.image, landing.data
        if image is None:
            return None
        if progress.order.delivery is Delivery.URL:
            return (image, data) if landing.is_stored else None
        if data is None:
            try:
                data = await self.store.get(image.name)
            except (ImageMissing, StoreUnavailable):
                return None
        return image, data

    def _deliver(self, progress: Progress, place: int, image: Image, data: bytes | None) -> None:
        progress.deliver(place, image, Source.COALESCED, data)
        self.telemetry.record(ImageDelivered(asked_model=progress.order.asked_model, source=Source.COALESCED))
