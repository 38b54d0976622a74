"""Carry an order from its admission to its end: the one owner of its progress.

The order takes ready variants first, then images that other orders are making, and makes calls only for
the rest; it asks again while places are empty. Steps (`cached.py`, `preflight.py`, `make.py`, `share.py`)
return their results. Only this module, and `idempotency.py` for what concerns a key, fills places, reports them to the reader,
and records why an order ends.
"""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

from service.domain.errors import (
    DeadlineExceeded,
    GatewayError,
    OrderFailed,
    StateUnavailable,
    StoreUnavailable,
)
from service.domain.failures import CallFailure
from service.domain.images import Delivery, Source
from service.domain.order import ImageOrder, SentOrder, Ticket
from service.domain.progress import Admitted, CallFailed, OrderDone
from service.gateway.admission.shared import REFUSALS, SharedState
from service.gateway.order.accept import Acceptance
from service.gateway.order.attempt import NOT_SENT
from service.gateway.order.cached import Cached
from service.gateway.order.ends import Ends
from service.gateway.order.idempotency import KeyedOrders
from service.gateway.order.keep import NOT_KEPT, Kept
from service.gateway.order.make import Batch, Maker, split_batch
from service.gateway.order.preflight import Preflight
from service.gateway.order.progress import Progress
from service.gateway.order.runner import OrderRunner, RunningOrder
from service.gateway.order.share import Share
from service.gateway.order.waiting import WaitResult
from service.gateway.queue.turn import Turn
from service.ports.admission import Ask, Grant, Variant
from service.ports.clock import Clock
from service.ports.tracing import OpenSpan


@dataclass(frozen=True, slots=True, kw_only=True)
class Orders:
    """The use case behind the image routes."""

    acceptance: Acceptance
    runner: OrderRunner
    state: SharedState
    keyed: KeyedOrders
    cached: Cached
    preflight: Preflight
    maker: Maker
    share: Share
    clock: Clock
    ends: Ends
    span: OpenSpan = nullcontext

    def start(
        self, order: ImageOrder, when_done: Callable[[], None] = lambda: None
    ) -> tuple[RunningOrder, SentOrder, Ticket]:
        """Check, translate and start *order*; *when_done* is called once it no longer needs its inputs.

        Raises as `Acceptance.accept` and `OrderRunner.start` do; nothing was spent then.
        """
        started_s = self.clock.monotonic_s()

        async def work(running: RunningOrder) -> None:
            progress = Progress(order=order, sent=sent, ticket=ticket, running=running, clock=self.clock)
            error: GatewayError | None = GatewayError()  # of a bug, until the order ends by itself
            try:
                try:
                    if ticket.idempotency is None:
                        await self._carry_out(progress)
                    else:
                        await self.keyed.conclude(progress, self._carry_out)
                except asyncio.CancelledError:
                    progress.stop = progress.find_end_of_cut_off()
                # Only now: calls may end after a reason to stop was found.
                error = progress.counted_stop(is_degraded=self.state.is_degraded)
            finally:
                when_done()
                self.ends.record(progress, error)
                # A turn asks its order if it is still wanted: without this, each order is left to the garbage collector.
                progress.calls.clear()
            if error is not None:
                raise error

        try:
            sent, ticket = self.acceptance.accept(order)
            running = self.runner.start(order.id, work)
        except GatewayError as refusal:
            self.ends.record_refusal(order, refusal, started_s)
            raise
        running.record.started_s = started_s
        return running, sent, ticket

    async def _carry_out(self, progress: Progress) -> None:
        async with asyncio.TaskGroup() as calls:
            try:
                await self._fill_places(progress, calls)
            finally:
                # However it ends: others that wait for the same images may need another prober.
                if progress.awaiting:
                    self.share.wake_others(progress.ticket.pool, progress.awaiting)
            await self._answer_in_time(progress)
        if progress.failures and progress.stop is None:
            if not progress.record.sources:
                self.preflight.remember(progress.ticket, progress.failures)
            progress.stop = progress.failed(progress.failures)

    async def _answer_in_time(self, progress: Progress) -> None:
        """Wait for the calls until the deadline, and answer the reader then if others wait longer for some of them."""
        if not progress.calls:
            return
        deadline_s = progress.order.deadline_s
        left_s = max(0.0, deadline_s - self.clock.monotonic_s())
        _, late = await asyncio.wait(progress.calls, timeout=left_s)
        if late and (own := [call for call, turn in progress.calls.items() if turn.deadline_s <= deadline_s]):
            await asyncio.wait(own)
        if not all(call.done() for call in progress.calls):
            failed = progress.failed(progress.failures) if progress.failures else DeadlineExceeded()
            error = progress.count_in(progress.stop or failed, is_degraded=self.state.is_degraded)
            progress.running.emit(OrderDone(error=error))

    async def _fill_places(self, progress: Progress, calls: asyncio.TaskGroup) -> None:
        """Fill all places: ask, take ready variants, make calls, wait for the rest, ask again."""
        places = tuple(range(progress.order.n))
        while places and self._may_go_on(progress):
            if (begun := await self._begin(progress, len(places))) is None:
                return
            ask, grant = begun
            places = await self._take_ready(progress, ask, grant, places)
            made_here, places = places[: len(grant.mine)], places[len(grant.mine) :]
            if made_here:
                await self._dispatch(progress, ask, Batch(made_here, grant.mine[: len(made_here)]), calls)
            if not grant.degraded:
                # Redis has just confirmed that the makers live.
                progress.waits_since_s = self.clock.monotonic_s()
            if places and grant.awaited:
                # Inline, as thousands may wait at once and each coroutine takes memory.
                pool, progress.awaiting = progress.ticket.pool or "", grant.awaited
                self.maker.share_turns(progress.ticket, grant.awaited, progress.order.deadline_s)
                wanted_until_s = progress.wanted_until_s
                results = await self.share.wait(progress.order, pool, grant.awaited, wanted_until_s)
                if results is None:
                    progress.stop = OrderFailed((NOT_SENT,))
                else:
                    places = await self._take_shared(progress, places, results)
            elif places and not grant.ready and not grant.mine:
                progress.stop = progress.stop or progress.nothing_granted()

    def _may_go_on(self, progress: Progress) -> bool:
        """Tell if the order may ask again for its empty places; the first time, always."""
        if progress.round == 0:
            return True
        if progress.order.cache.only_if_cached:
            progress.stop = progress.stop or progress.nothing_granted()
        elif progress.order.deadline_s <= self.clock.monotonic_s():
            progress.stop = progress.stop or DeadlineExceeded()
        return progress.stop is None and not progress.running.is_abandoned

    async def _begin(self, progress: Progress, n: int) -> tuple[Ask, Grant] | None:
        """Ask the shared state for *n* images; returns None to end the order, refused or answered."""
        while True:
            asked_s = self.clock.monotonic_s()
            ask = progress.next_ask(n, asked_s)
            try:
                grant = await self.state.begin(ask)
            except (*REFUSALS, StateUnavailable) as refusal:
                progress.stop = refusal
                return None
            finally:
                progress.record.begin_s += self.clock.monotonic_s() - asked_s
            if grant.conclusion is None and not grant.is_under_way:
                break
            if not await self.keyed.may_ask_again(progress, grant.conclusion):
                return None
        progress.is_begun = True
        progress.used.extend(grant.passed_over)
        if len(grant.ready) + len(grant.mine) > ask.n:
            grant = self.maker.give_up_surplus(ask, grant, progress.order.n)
        if ask.round == 0:
            pending = n - len(grant.ready)
            progress.running.emit(
                Admitted(limits=grant.limits, degraded=grant.degraded, pending=pending, equal=grant.equal)
            )
        return ask, grant

    async def _take_ready(
        self, progress: Progress, ask: Ask, grant: Grant, places: tuple[int, ...]
    ) -> tuple[int, ...]:
        """Fill places with the ready variants; returns the places still empty."""
        if not grant.ready:
            return places
        left, started_s = places, self.clock.monotonic_s()
        try:
            for number, variant in enumerate(grant.ready):
                progress.used.append(variant.index)
                found = await self.cached.read(
                    progress.order, progress.ticket, variant, is_resumed=number < grant.resumed
                )
                if isinstance(found, StoreUnavailable):
                    progress.stop = found
                elif found is not None:
                    left = self._take_found(progress, ask, variant, found, left)
        except BaseException:
            if grant.mine:
                self.maker.give_up(ask, [Batch(places[: len(grant.mine)], grant.mine)])
            raise
        progress.note_reading(started_s)
        return left

    def _take_found(
        self, progress: Progress, ask: Ask, variant: Variant, found: Kept, places: tuple[int, ...]
    ) -> tuple[int, ...]:
        if ask.round > 0:
            self.share.hand_on(progress.ticket.pool, variant.index, found)
        # An image that another process made while this order waited was no hit.
        source = Source.COALESCED if variant.index in progress.awaiting else Source.HIT
        progress.fill(places[0], variant.image, source, found.data, age_s=variant.age_s)
        return places[1:]

    async def _dispatch(self, progress: Progress, ask: Ask, granted: Batch, calls: asyncio.TaskGroup) -> None:
        """Start the calls for the indices of this order, or give them back unused."""
        progress.used.extend(granted.indices)
        # A call returns all its images together; a stream wants each as soon as it exists.
        most = 1 if progress.order.is_streamed else progress.sent.images_per_call
        batches = split_batch(granted, most)
        is_wanted = partial(self._is_wanted, progress)
        turns = self.maker.make_turns(progress.order, progress.sent, ask, batches, is_wanted)
        try:
            reason = progress.reason_to_end() or await self.preflight.check(
                progress.order, progress.sent, progress.ticket, turns, is_judged=progress.record.calls > 0
            )
            # Moderation may take seconds.
            reason = reason or progress.reason_to_end()
        except BaseException:
            self.maker.give_up(ask, batches)
            raise
        if reason is not None:
            failure = reason if isinstance(reason, CallFailure) else NOT_SENT
            progress.stop = progress.failed([reason]) if isinstance(reason, CallFailure) else reason
            await self.maker.give_back(ask, batches)
            for place, index in zip(granted.places, granted.indices, strict=True):
                progress.running.emit(CallFailed(positions=(place,), failure=failure))
                self.share.hand_on(progress.ticket.pool, index, failure)
            return
        progress.running.when_abandoned = partial(self.maker.queue.drop_unwanted, progress.calls.values())
        for batch, turn in zip(batches, turns, strict=True):
            progress.record.calls += 1
            call = calls.create_task(self._make(progress, ask, batch, turn))
            call.add_done_callback(partial(self._give_up_unbegun, ask, batch))
            progress.calls[call] = turn

    def _give_up_unbegun(self, ask: Ask, batch: Batch, call: asyncio.Task[None]) -> None:
        """Return *batch* unused if its task ran no line; one that has begun is never cancelled, and settles by itself."""
        if call.cancelled():
            self.maker.give_up(ask, [batch])

    def _is_wanted(self, progress: Progress, batch: Batch) -> bool:
        """Tell if the order, or another of this process, waits for the images of *batch*."""
        awaited_until_s = self.share.awaited_until_s
        return bool(progress.wanted_until_s() or awaited_until_s(progress.ticket.pool, batch.indices))

    async def _take_shared(
        self, progress: Progress, places: tuple[int, ...], results: Mapping[int, WaitResult]
    ) -> tuple[int, ...]:
        """Fill places with the images of other orders; returns the places still empty."""
        started_s = self.clock.monotonic_s()
        for index, result in results.items():
            outcome = await self.share.load(result, progress.order)
            if outcome is not None:
                progress.fill_shared(places[0], index, outcome)
                places = places[1:]
        progress.note_reading(started_s)
        return places

    async def _make(self, progress: Progress, ask: Ask, batch: Batch, turn: Turn) -> None:
        """Make one call, and report each of its images to the reader and to waiting orders."""

        def show(number: int, data: bytes, resolved: Mapping[str, str]) -> None:
            progress.show(batch.places[0], number, data, resolved, self.clock.wall_s())

        if self.share.waiting:
            # For those that wait already; `share_turns` adds the others.
            awaited_until_s = self.share.awaited_until_s(progress.ticket.pool, batch.indices)
            turn.deadline_s = max(turn.deadline_s, awaited_until_s)
        with self.span("call"):
            end = await self.maker.make(progress.order, progress.sent, ask, batch, turn, show)
        progress.record.attempts += end.attempts
        progress.record.last_call = end.times
        for place, index, outcome in zip(batch.places, batch.indices, end.outcomes, strict=True):
            if isinstance(outcome, CallFailure):
                progress.fail(place, outcome)
            elif outcome.is_stored or progress.order.delivery is not Delivery.URL:
                progress.fill(place, outcome.image, Source.MADE, outcome.data, is_stored=outcome.is_stored)
            else:
                progress.note_price(outcome.image, Source.MADE)
                progress.fail(place, NOT_KEPT)
            self.share.hand_on(progress.ticket.pool, index, outcome)
