"""Share images between orders of this process: wait for those others make, hand on those made here.

Failure behaviour: after a wait without a result, or for an image that cannot be delivered, the
order asks again; a full waiting room fails the order.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from service.domain.errors import ImageMissing, StoreUnavailable
from service.domain.failures import CallFailure
from service.domain.images import Delivery
from service.domain.order import ImageOrder
from service.gateway.order.keep import Kept, Outcome
from service.gateway.order.waiting import WaitingRoom, WaitResult
from service.ports.clock import Clock
from service.ports.store import ImageStore


@dataclass(slots=True, kw_only=True)
class Share:
    """Takes images from the waiting room for an order; *waiting* counts the orders that wait."""

    room: WaitingRoom
    store: ImageStore
    clock: Clock
    waiting: int = field(default=0, init=False)

    async def wait(
        self, order: ImageOrder, pool: str, indices: tuple[int, ...], wanted_until_s: Callable[[], float]
    ) -> dict[int, WaitResult] | None:
        """Wait for images of other orders; returns the results by index, or None if the room is full.

        *wanted_until_s* returns the deadline of the order while its reader waits, and then 0: it keeps calls in the queue
        for so long.
        """
        if self.room.is_full:
            return None
        self.waiting += 1
        try:
            left_s = max(0.0, order.deadline_s - self.clock.monotonic_s())
            # A stream wants each image as soon as it exists; a JSON answer wants them all.
            return await self.room.wait(
                pool, indices, left_s=left_s, for_all=not order.is_streamed, wanted_until_s=wanted_until_s
            )
        finally:
            self.waiting -= 1

    def hand_on(self, pool: str | None, index: int, outcome: Outcome) -> None:
        """End the waits of other orders for an image of *pool*, or have one of them ask again.

        Failures that every equal order would meet are shared, and those that cost nothing: the others would fail one
        after the other. After the rest, waiters try for themselves.
        """
        if pool is None:
            return
        match outcome:
            case Kept():
                result = WaitResult(image=outcome.image, data=outcome.data, is_stored=outcome.is_stored)
            case CallFailure(is_callers_own=True) | CallFailure(is_shared=True):
                result = WaitResult(failure=outcome)
            case _:
                self.room.wake(pool, index)
                return
        self.room.resolve(pool, index, result)

    def awaited_until_s(self, pool: str | None, indices: Iterable[int]) -> float:
        """Return the latest deadline of the orders of this process that wait for one of these images of *pool*, or 0."""
        return max(self.room.awaited_until_s(pool, index) for index in indices) if pool else 0.0

    def wake_others(self, pool: str | None, indices: Iterable[int]) -> None:
        """Have one waiter for each of these images of *pool* ask for it."""
        for index in indices:
            self.room.wake(pool or "", index)

    async def load(self, result: WaitResult, order: ImageOrder) -> Outcome | None:
        """Return the image as it will be delivered, or None if that is impossible."""
        image, data = result.image, result.data
        if image is None:
            return result.failure
        if order.delivery is Delivery.URL:
            return Kept(image, data) if result.is_stored else None
        if data is None:
            try:
                data = await self.store.get(image.name, deadline_s=order.deadline_s)
            except (ImageMissing, StoreUnavailable):
                return None
        return Kept(image, data, is_stored=result.is_stored)
