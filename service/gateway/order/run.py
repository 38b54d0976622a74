"""Take an order to its images by the shortest and cheapest way.

Ready variants first, then images that other orders are making, and calls only for the rest.
The whole path of one order is `_work` → `_fill`; each way to an image has a module of
its own: `hits.py`, `dispatch.py`, `coalescing.py`.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace

from service.domain.errors import (
    DeadlineExceeded,
    GatewayError,
    IdempotencyMismatch,
    NotCached,
    PermissionDenied,
    RateLimited,
    StateUnavailable,
    Unauthenticated,
)
from service.domain.fanout import split_order
from service.domain.images import Admitted, ImageOrder, SentOrder, Source
from service.gateway.admission.shared import SharedState
from service.gateway.order.accept import Acceptance
from service.gateway.order.attempt import NOT_SENT
from service.gateway.order.cached import Hits
from service.gateway.order.idempotency import Idempotence
from service.gateway.order.make import Dispatcher, Job, Seats
from service.gateway.order.preflight import Obstacles
from service.gateway.order.progress import Progress
from service.gateway.order.runner import OrderRunner, RunningOrder
from service.gateway.order.share import Coalescing
from service.ports.admission import Ask, Grant
from service.ports.clock import Clock
from service.ports.telemetry import ImageDelivered, Telemetry

_REFUSALS = (RateLimited, Unauthenticated, PermissionDenied, IdempotencyMismatch, StateUnavailable)
"""Refusals of the shared state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Generate:
    """The use case behind the image routes."""

    acceptance: Acceptance
    runner: OrderRunner
    state: SharedState
    idempotence: Idempotence
    hits: Hits
    obstacles: Obstacles
    dispatcher: Dispatcher
    coalescing: Coalescing
    clock: Clock
    telemetry: Telemetry

    def start(
        self, order: ImageOrder, when_done: Callable[[], None] = lambda: None
    ) -> tuple[RunningOrder, SentOrder]:
        """Check, translate and start *order*; *when_done* is called when its inputs may be removed.

        Raises:
            InvalidOrder: nothing was spent.
            ModelNotAllowed: a policy of the caller does not list the model.
            PriceUnknown: the caller has a budget and the model has no price.
            Draining: the process is shutting down.
        """
        accepted = self.acceptance.accept(order)

        async def work(running: RunningOrder) -> None:
            try:
                await self.idempotence.conclude(Progress(accepted=accepted, running=running), self._work)
            finally:
                when_done()

        return self.runner.start(order.id, work), accepted.sent

    async def _work(self, progress: Progress) -> None:
        places = tuple(range(progress.order.n))
        async with asyncio.TaskGroup() as calls:
            await self._fill(progress, places, calls)
        if progress.error is not None:
            raise progress.error
        if progress.failures:
            self.obstacles.remember(progress)
            raise progress.failed(progress.failures)

    async def _fill(self, progress: Progress, places: tuple[int, ...], calls: asyncio.TaskGroup) -> None:
        """Fill *places*: ask, take ready variants, make calls, wait for the rest, ask again."""
        while places and self._may_go_on(progress):
            begun = await self._begin(progress, len(places))
            if begun is None:
                self.coalescing.send_another(progress)
                return
            ask, grant = begun
            places = await self._take_ready(progress, ask, grant, places)
            made_here, places = places[: len(grant.mine)], places[len(grant.mine) :]
            await self._dispatch(progress, ask, grant, made_here, calls)
            if not grant.degraded:
                # Redis has just confirmed that the makers live.
                progress.waits_since_s = self.clock.monotonic_s()
            if places and grant.awaited:
                places = await self.coalescing.wait(progress, places, grant.awaited)
            elif places and not grant.ready and not grant.mine:
                # Nothing granted and nothing under way: the order may not fill the cache, or the pool is inconsistent.
                progress.error = progress.error or _nothing_granted(progress)

    async def _begin(self, progress: Progress, n: int) -> tuple[Ask, Grant] | None:
        """Ask the shared state for *n* images; None when the order ends here, refused or answered."""
        while True:
            ask = progress.next_ask(n, self.clock.monotonic_s())
            try:
                grant = await self.state.begin(ask)
            except _REFUSALS as refusal:
                progress.error = refusal
                return None
            if grant.conclusion is None and not grant.is_under_way:
                break
            if not await self.idempotence.answer(progress, grant):
                return None
        progress.is_begun = True
        grant = self._give_back_surplus(progress, ask, grant)
        if ask.round == 0:
            pending = n - len(grant.ready)
            progress.running.emit(Admitted(limits=grant.limits, degraded=grant.degraded, pending=pending))
        return ask, grant

    def _give_back_surplus(self, progress: Progress, ask: Ask, grant: Grant) -> Grant:
        """Release the indices that *ask* no longer needs.

        A repeated ask may resume images for which its lost first answer had claimed indices.
        """
        most = max(0, ask.n - len(grant.ready))
        surplus = grant.mine[most:]
        if not surplus:
            return grant
        nowhere = tuple(range(progress.order.n, progress.order.n + len(surplus)))
        self.dispatcher.give_up(_job(progress, ask), Seats(nowhere, surplus))
        return replace(grant, mine=grant.mine[:most])

    async def _take_ready(
        self, progress: Progress, ask: Ask, grant: Grant, places: tuple[int, ...]
    ) -> tuple[int, ...]:
        """Deliver the ready variants; returns the places still empty."""
        try:
            return await self.hits.take(progress, places, grant)
        except BaseException:
            if grant.mine:
                unused = Seats(places[: len(grant.mine)], grant.mine)
                self.dispatcher.give_up(_job(progress, ask), unused)
            raise

    async def _dispatch(
        self,
        progress: Progress,
        ask: Ask,
        grant: Grant,
        places: tuple[int, ...],
        calls: asyncio.TaskGroup,
    ) -> None:
        """Start the calls for the indices of this order, or give them back unused."""
        if not grant.mine:
            return
        job = _job(progress, ask)
        progress.used.extend(grant.mine)
        # A ready variant that turned out to be gone may leave more places than indices, never fewer.
        seats = [
            Seats(group, tuple(grant.mine[places.index(place)] for place in group))
            # A call returns all its images at once; a stream wants each as soon as it exists.
            for group in split_order(places, 1 if job.order.is_streamed else job.sent.images_per_call)
        ]
        try:
            obstacle = await self.obstacles.find(progress)
            while obstacle is not None and seats:
                progress.error = obstacle
                await self.dispatcher.give_back(job, seats.pop(0), progress.running, NOT_SENT)
        except BaseException:
            # Seats being given back settle by themselves; for the others only this frame knows that nothing was sent.
            for group in seats:
                self.dispatcher.give_up(job, group)
            raise
        for group in seats:
            progress.is_dispatched = True
            calls.create_task(self._make(job, group, progress))

    async def _make(self, job: Job, seats: Seats, progress: Progress) -> None:
        failures = await self.dispatcher.make(job, seats, progress.running)
        progress.failures.extend(failures)
        made = len(seats.places) - len(failures)
        progress.filled += made
        for _ in range(made):
            self.telemetry.record(ImageDelivered(asked_model=job.order.asked_model, source=Source.MADE))

    def _may_go_on(self, progress: Progress) -> bool:
        """Tell if the order may ask again for its empty places; the first time, always."""
        if progress.round == 0:
            return True
        if progress.order.cache.only_if_cached:
            progress.error = progress.error or _nothing_granted(progress)
        elif progress.order.deadline_s <= self.clock.monotonic_s():
            progress.error = progress.error or DeadlineExceeded(
                dispatched=progress.is_dispatched, kept=progress.filled
            )
        return progress.error is None and not progress.running.is_abandoned


def _job(progress: Progress, ask: Ask) -> Job:
    accepted = progress.accepted
    return Job(
        order=accepted.order,
        sent=accepted.sent,
        model=accepted.target,
        ask=ask,
        origin=accepted.origin,
        realm=accepted.realm,
        safety_identifier=accepted.safety_identifier,
    )


def _nothing_granted(progress: Progress) -> GatewayError:
    if progress.order.cache.only_if_cached:
        return NotCached(f"Only {progress.filled} of {progress.order.n} images are in the cache.")
    return StateUnavailable("inconsistent")
