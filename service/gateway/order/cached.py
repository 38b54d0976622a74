"""Read images that exist already: from the pool, or made under the same `Idempotency-Key`.

Failure behaviour: a variant without bytes is forgotten, so that it is made again; a store that
cannot be read fails the order, since its images would be paid for twice.
"""

import contextlib
from dataclasses import dataclass

from service.domain.errors import ImageMissing, StateUnavailable, StoreUnavailable
from service.domain.images import Delivery
from service.domain.order import ImageOrder, Ticket
from service.gateway.admission.shared import SharedState
from service.gateway.order.keep import Kept
from service.ports.admission import Settlement, Variant
from service.ports.references import References
from service.ports.store import ImageStore
from service.ports.telemetry import ImageForgotten, Telemetry


@dataclass(frozen=True, slots=True, kw_only=True)
class Cached:
    """Reads ready variants of the shared state."""

    state: SharedState
    store: ImageStore
    references: References
    telemetry: Telemetry

    async def read(
        self, order: ImageOrder, ticket: Ticket, variant: Variant, *, is_resumed: bool
    ) -> Kept | StoreUnavailable | None:
        """Return *variant*, with its bytes if the delivery needs them, or None if it is gone; a broken store is returned."""
        # Resumed images come from no pool, and deletion clears only pools.
        if is_resumed and not await self._is_kept(ticket, variant):
            return None
        if order.delivery is Delivery.URL:
            return Kept(variant.image, None)
        try:
            data = await self.store.get(variant.image.name, deadline_s=order.deadline_s)
            return Kept(variant.image, data)
        except StoreUnavailable as error:
            return error
        except ImageMissing:
            await self._forget(ticket, variant)
            return None

    async def _is_kept(self, ticket: Ticket, variant: Variant) -> bool:
        """Tell if an image made before under the same key may still be delivered."""
        try:
            return await self.references.has(ticket.caller.team, variant.image.name)
        except StateUnavailable:
            return True

    async def _forget(self, ticket: Ticket, variant: Variant) -> None:
        """Remove a variant without bytes from the pool, so that it is made again."""
        with contextlib.suppress(StateUnavailable):
            if await self.references.forget(ticket.caller.team, variant.image.name):
                self.telemetry.record(ImageForgotten(reason="lost"))
        forgotten = ((variant.index, variant.image.digest),)
        await self.state.finish(
            Settlement(ticket=ticket, part=f"forget.{variant.index}", fence="", forgotten=forgotten)
        )
