"""Deliver images that exist already: from the pool, or made under the same `Idempotency-Key`.

Failure behaviour: a variant whose bytes are gone is forgotten, so that it is made again;
a store that cannot be read fails the order rather than have its images paid for twice.
"""

import contextlib
from dataclasses import dataclass, replace

from service.domain.errors import ImageMissing, StateUnavailable, StoreUnavailable
from service.domain.images import Delivery, Source
from service.gateway.admission.shared import SharedState
from service.gateway.order.progress import Progress
from service.gateway.order.waiting import Flights, Landing
from service.ports.admission import Grant, Variant
from service.ports.references import References
from service.ports.store import ImageStore
from service.ports.telemetry import ImageDelivered, Telemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class Hits:
    """Delivers ready variants of the shared state."""

    state: SharedState
    store: ImageStore
    references: References
    flights: Flights
    telemetry: Telemetry

    async def take(self, progress: Progress, places: tuple[int, ...], grant: Grant) -> tuple[int, ...]:
        """Deliver the ready variants of *grant* to the first *places*; returns the places still empty."""
        for number, variant in enumerate(grant.ready):
            progress.used.append(variant.index)
            # Resumed images come from no pool, and deletion removes images from pools only.
            if number < grant.resumed and not await self._is_kept(progress, variant):
                continue
            data: bytes | None = None
            if progress.order.delivery is Delivery.B64_JSON:
                try:
                    data = await self.store.get(variant.image.name)
                except ImageMissing:
                    await self._forget(progress, variant)
                    continue
                except StoreUnavailable as error:
                    progress.error = error
                    continue
            place, *rest = places
            places = tuple(rest)
            self._deliver(progress, place, variant, data)
        return places

    def _deliver(self, progress: Progress, place: int, variant: Variant, data: bytes | None) -> None:
        if progress.round > 1 and progress.accepted.pool:
            # Other waiters for it in this process need not ask.
            landing = Landing(image=variant.image, data=data)
            self.flights.land(progress.accepted.pool, variant.index, landing)
        # An image that another process made while this order waited was no hit.
        source = Source.COALESCED if variant.index in progress.awaiting else Source.HIT
        progress.deliver(place, variant.image, source, data, age_s=variant.age_s)
        self.telemetry.record(ImageDelivered(asked_model=progress.order.asked_model, source=source))

    async def _is_kept(self, progress: Progress, variant: Variant) -> bool:
        """Tell if an image made under the same key before may still be delivered."""
        try:
            return await self.references.has(progress.order.caller.team, variant.image.name)
        except StateUnavailable:
            return True

    async def _forget(self, progress: Progress, variant: Variant) -> None:
        """Remove a variant whose bytes are gone from the pool, so that it is made again."""
        with contextlib.suppress(StateUnavailable):
            await self.references.forget(progress.order.caller.team, variant.image.name)
        nothing = progress.nothing_made(f"forget.{variant.index}")
        await self.state.finish(replace(nothing, forgotten=((variant.index, variant.image.digest),)))
