"""Handle orders with an `Idempotency-Key`: concluded once, repeated, or left to a twin (docs/adr/0007).

A key is final, under way, or left off; an order takes up a left-off key again with the
images made for it, which the shared state grants first (`hits.py`). Failure behaviour:
closed. While the state of a key is unknown, its order is refused (`state.py`).
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from service.domain.errors import (
    ImageGone,
    ImageMissing,
    OrderFailed,
    OrderUnderWay,
    StateUnavailable,
    StoreUnavailable,
)
from service.domain.images import Admitted, Delivery, Image, Source
from service.gateway.admission.shared import SharedState
from service.gateway.order.progress import Progress
from service.ports.admission import Conclusion, Grant, Settlement
from service.ports.clock import Clock
from service.ports.references import References
from service.ports.store import ImageStore

_TWIN_PAUSE_S = 0.5
"""Pause between two looks at the order with the same `Idempotency-Key`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Idempotence:
    """Makes one order of all orders with the same key."""

    state: SharedState
    store: ImageStore
    references: References
    clock: Clock

    async def conclude(self, progress: Progress, work: Callable[[Progress], Awaitable[None]]) -> None:
        """Do *work*, and conclude its key: the answer is final, or another order may take the key up again."""
        if progress.accepted.idempotency is None:
            await work(progress)
            return
        conclusion: Conclusion | None = None
        try:
            await work(progress)
            images = progress.running.delivered
            # An order whose reader left while it waited ends without an error, and incomplete.
            if len(images) == progress.order.n:
                conclusion = Conclusion(images=tuple(images[place] for place in sorted(images)))
        except OrderFailed as error:
            if error.kept == 0 and all(failure.is_callers_own for failure in error.failures):
                conclusion = Conclusion(failures=error.failures)
            raise
        except asyncio.CancelledError:
            if progress.is_begun:
                self.state.finish_later(_last(progress, None))
            raise
        finally:
            if progress.is_begun and not progress.is_concluded:
                await self.state.finish(_last(progress, conclusion))

    async def answer(self, progress: Progress, grant: Grant) -> bool:
        """Answer from the state of the key; returns True to ask again, after waiting for a twin."""
        if progress.is_begun:
            # Another order took the key over while this process seemed dead: the new owner answers.
            progress.error = OrderUnderWay()
            return False
        if grant.conclusion is not None:
            await self._repeat(progress, grant.conclusion)
            return False
        return await self._wait_for_twin(progress)

    async def _wait_for_twin(self, progress: Progress) -> bool:
        """Wait for the other order with the same key; returns True to ask again."""
        progress.round = 0
        left_s = progress.order.deadline_s - self.clock.monotonic_s()
        if left_s <= 0:
            progress.error = OrderUnderWay()
            return False
        await asyncio.sleep(min(_TWIN_PAUSE_S, left_s))
        return not progress.running.is_abandoned

    async def _repeat(self, progress: Progress, conclusion: Conclusion) -> None:
        """Repeat the first answer: nothing is counted or paid."""
        progress.running.emit(Admitted(limits=(), degraded=False, pending=0, is_replayed=True))
        if conclusion.failures:
            progress.error = progress.failed(conclusion.failures)
        for place, image in enumerate(conclusion.images):
            try:
                data = await self._read_again(progress, image)
            except (ImageMissing, StoreUnavailable, StateUnavailable) as error:
                progress.error = ImageGone() if isinstance(error, ImageMissing) else error
                return
            age_s = max(0.0, self.clock.wall_s() - image.created_s)
            progress.deliver(place, image, Source.HIT, data, age_s=age_s)

    async def _read_again(self, progress: Progress, image: Image) -> bytes | None:
        if not await self.references.has(progress.order.caller.team, image.name):
            raise ImageMissing
        if progress.order.delivery is Delivery.URL:
            return None
        return await self.store.get(image.name)


def _last(progress: Progress, conclusion: Conclusion | None) -> Settlement:
    progress.is_concluded = True
    return replace(
        progress.nothing_made("last"),
        idempotency=progress.accepted.idempotency,
        is_last=True,
        conclusion=conclusion,
    )
