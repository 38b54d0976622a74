"""Conclude orders with an `Idempotency-Key` once, and repeat their answers (docs/adr/0007).

A key is final, under way, or left off. An order resumes a left-off key with the images made for it,
which the shared state grants first (`cached.py`). `run.py` hands over what concerns a key, so an order without
one passes nothing here. Failure behaviour: closed. While the state of a key is unknown, its order is refused
(`admission/shared.py`).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from service.domain.errors import (
    GatewayError,
    ImageGone,
    ImageMissing,
    OrderFailed,
    OrderUnderWay,
    StateUnavailable,
    StoreUnavailable,
)
from service.domain.images import Delivery, Image, Source
from service.domain.order import ImageOrder, Ticket
from service.domain.progress import Admitted
from service.gateway.admission.shared import SharedState
from service.gateway.order.progress import Progress
from service.ports.admission import Conclusion, Settlement
from service.ports.clock import Clock
from service.ports.references import References
from service.ports.store import ImageStore

_TWIN_PAUSE_S = 0.5
"""Pause between two looks at the order with the same `Idempotency-Key`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedOrders:
    """Carries out orders under their keys; *store* and *references* have the images of earlier answers."""

    state: SharedState
    store: ImageStore
    references: References
    clock: Clock

    async def conclude(self, progress: Progress, carry_out: Callable[[Progress], Awaitable[None]]) -> None:
        """Let *carry_out* run an order, and conclude its key: with a final answer, or for another order to resume."""
        conclusion: Conclusion | None = None
        try:
            await carry_out(progress)
            conclusion = _final(progress, progress.stop)
        except asyncio.CancelledError:
            if progress.is_begun:
                progress.is_begun = False
                conclusion = _final(progress, None)
                self.state.finish_later(_last_settlement(progress.ticket, conclusion))
            raise
        finally:
            if progress.is_begun:
                await self.state.finish(_last_settlement(progress.ticket, conclusion))

    async def may_ask_again(self, progress: Progress, conclusion: Conclusion | None) -> bool:
        """Answer from the *conclusion* of the key, or wait for its order; returns True to ask again."""
        if progress.is_begun:
            # Another order took the key over while this process seemed dead, and answers.
            progress.stop = OrderUnderWay()
        elif conclusion is not None:
            await self._repeat(progress, conclusion)
        elif await self._wait_for_twin(progress.order.deadline_s):
            progress.round = 0
            return not progress.running.is_abandoned
        else:
            progress.stop = OrderUnderWay()
        return False

    async def _repeat(self, progress: Progress, conclusion: Conclusion) -> None:
        """Repeat the first answer: nothing is counted or paid."""
        progress.record.is_replayed = True
        progress.running.emit(Admitted(limits=(), degraded=False, pending=0, is_replayed=True))
        if conclusion.failures:
            progress.stop = progress.failed(conclusion.failures)
        try:
            for place, image in enumerate(conclusion.images):
                data = await self._read_again(progress.ticket, image, progress.order)
                age_s = max(0.0, self.clock.wall_s() - image.created_s)
                progress.fill(place, image, Source.HIT, data, age_s=age_s)
        except (ImageGone, StoreUnavailable, StateUnavailable) as error:
            progress.stop = error

    async def _wait_for_twin(self, deadline_s: float) -> bool:
        """Pause before asking for the key again; returns False after the deadline."""
        left_s = deadline_s - self.clock.monotonic_s()
        if left_s <= 0:
            return False
        await asyncio.sleep(min(_TWIN_PAUSE_S, left_s))
        return True

    async def _read_again(self, ticket: Ticket, image: Image, order: ImageOrder) -> bytes | None:
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


def _final(progress: Progress, stop: GatewayError | None) -> Conclusion | None:
    """Return the final outcome, unless a repeat could not get it: the bytes of an image that the store did not take are gone."""
    return None if progress.unstored else _conclude(progress.order.n, progress.running.delivered, stop)


def _conclude(n: int, images: Mapping[int, Image], stop: GatewayError | None) -> Conclusion | None:
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


def _last_settlement(ticket: Ticket, conclusion: Conclusion | None) -> Settlement:
    """Return the settlement that ends an order's hold of its key."""
    return Settlement(ticket=ticket, part="last", fence="", is_last=True, conclusion=conclusion)
