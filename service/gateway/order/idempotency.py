"""Conclude orders with an `Idempotency-Key` once, and repeat their answers (docs/adr/0007).

A key is final, under way, or left off. An order resumes a left-off key with the images made for it,
which the shared state grants first (`cached.py`). Failure behaviour: closed. While the state of a key
is unknown, its order is refused (`admission/shared.py`).
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from service.domain.errors import GatewayError, ImageGone, ImageMissing, OrderFailed
from service.domain.images import Delivery, Image
from service.domain.order import ImageOrder, Ticket
from service.ports.admission import Conclusion, Settlement
from service.ports.clock import Clock
from service.ports.references import References
from service.ports.store import ImageStore

_TWIN_PAUSE_S = 0.5
"""Pause between two looks at the order with the same `Idempotency-Key`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """Waits for orders with the same key, and reads their images again."""

    store: ImageStore
    references: References
    clock: Clock

    async def wait_for_twin(self, deadline_s: float) -> bool:
        """Pause before asking for the key again; returns False after the deadline."""
        left_s = deadline_s - self.clock.monotonic_s()
        if left_s <= 0:
            return False
        await asyncio.sleep(min(_TWIN_PAUSE_S, left_s))
        return True

    async def read_again(self, ticket: Ticket, image: Image, order: ImageOrder) -> bytes | None:
        """Return the bytes of *image* where the delivery of *order* needs them.

        Raises:
            ImageGone: it was deleted or has expired.
            StoreUnavailable: its bytes are needed and cannot be read now.
            StateUnavailable: the team's right to it is unknown now.
        """
        if not await self.references.has(ticket.caller.team, image.name):
            raise ImageGone
        if order.delivery is Delivery.URL:
            return None
        try:
            return await self.store.get(image.name, deadline_s=order.deadline_s)
        except ImageMissing as error:
            raise ImageGone from error


def conclude(n: int, images: Mapping[int, Image], stop: GatewayError | None) -> Conclusion | None:
    """Return the final outcome of an order of *n* that made *images*, by place, and ended with *stop*.

    Final are a complete answer, and failures that every order like it would meet. None leaves the key to
    another order: a reader that left while its order waited ends it without an error, and incomplete.
    """
    if len(images) == n:
        return Conclusion(images=tuple(images[place] for place in sorted(images)))
    if isinstance(stop, OrderFailed) and not images:
        is_final = all(failure.is_callers_own for failure in stop.failures)
        return Conclusion(failures=stop.failures) if is_final else None
    return None


def last_settlement(ticket: Ticket, conclusion: Conclusion | None) -> Settlement:
    """Return the settlement that ends an order's hold of its key."""
    return Settlement(ticket=ticket, part="last", fence="", is_last=True, conclusion=conclusion)
