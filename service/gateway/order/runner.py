"""Run every order as one task that outlives its request.

A closed browser tab must not end paid calls, and a slow reader must not slow an order down. So an
order belongs to the application's task group, reports its progress as facts, and settles its own
claims. Background loops live in the same group and end after the last order, and after all that the
orders left to settle is settled.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from types import TracebackType
from typing import Self

from service.domain.errors import Draining, GatewayError
from service.domain.images import Image
from service.domain.progress import ImageReady, OrderDone, OrderFact, OrderRecord
from service.ports.telemetry import Crashed, Telemetry
from service.ports.tracing import OpenSpan


class RunningOrder:
    """One order under way, written by the order and read by one reader.

    *delivered* are its images by place, and *record* its course, with or without a reader. *is_abandoned*: the reader has
    left, which stops further asks and calls *when_abandoned*; sent calls are finished. Facts are few for each image, and dropped once
    the reader has left or was told that the order is done.
    """

    # Thousands may wait at once: no dictionary, queue or event each, which would cost a kilobyte and more.
    __slots__ = (
        "_facts",
        "_is_done",
        "_is_over",
        "_news",
        "_wants_all",
        "delivered",
        "id",
        "is_abandoned",
        "record",
        "when_abandoned",
    )

    def __init__(self, order_id: str) -> None:
        self.id = order_id
        self._facts: list[OrderFact] = []
        self._news: asyncio.Future[None] | None = None
        self.is_abandoned = False
        self._is_done = False
        self._is_over = False
        self._wants_all = False
        self.delivered: dict[int, Image] = {}
        self.record = OrderRecord()
        self.when_abandoned: Callable[[], None] = lambda: None

    def emit(self, fact: OrderFact) -> None:
        """Pass a fact to the reader, if it still reads; never blocks. `OrderDone` is the last."""
        if isinstance(fact, ImageReady):
            self.delivered[fact.position] = fact.image
        if self.is_read():
            self._facts.append(fact)
            self._is_done = isinstance(fact, OrderDone)
            if not self._wants_all or self._is_done:
                self._wake_reader()

    def abandon(self) -> None:
        """Stop reading, because the caller has left."""
        self.is_abandoned = True
        self._facts.clear()
        self._wake_reader()
        self.when_abandoned()

    def is_read(self) -> bool:
        """Tell if the reader is still there, and waits for more."""
        return not (self.is_abandoned or self._is_done)

    async def next_fact(self) -> OrderFact | None:
        """Return the next fact, or None after `OrderDone` or when abandoned; a cancelled wait loses none."""
        while not self.is_abandoned and not self._facts:
            if self._is_over:
                return None
            await self._wait_for_news()
        if self.is_abandoned:
            return None
        fact = self._facts.pop(0)
        self._is_over = isinstance(fact, OrderDone)
        return fact

    def _wake_reader(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def all_facts(self) -> list[OrderFact]:
        """Return all facts once the order is over, or none when abandoned."""
        self._wants_all = True
        while not self.is_abandoned and not (self._facts and isinstance(self._facts[-1], OrderDone)):
            await self._wait_for_news()
        facts, self._facts = self._facts, []
        return facts

    async def _wait_for_news(self) -> None:
        self._news = asyncio.get_running_loop().create_future()
        try:
            await self._news
        finally:
            self._news = None


_LOOP_PAUSE_S = 1.0

OrderWork = Callable[[RunningOrder], Awaitable[None]]


class OrderRunner:
    """Owns the task group of all orders; an async context manager for the lifespan.

    Leaving it refuses new orders, gives running ones *drain_s* seconds, then cancels the rest (each
    still settles), awaits *flush*, and ends the background loops last. *is_ready* tells balancers whether
    to send more orders, which are still taken for a while after `announce_end`.
    """

    def __init__(
        self,
        *,
        telemetry: Telemetry,
        drain_s: float,
        flush: Callable[[], Awaitable[None]],
        span: OpenSpan = nullcontext,
    ) -> None:
        self._telemetry = telemetry
        self._span = span
        self._drain_s = drain_s
        self._flush = flush
        self._group = asyncio.TaskGroup()
        self._orders: set[asyncio.Task[None]] = set()
        self._loops: list[asyncio.Task[None]] = []
        self.is_ready = True
        self.is_draining = False

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.begin_drain()
        while self._orders:
            await asyncio.wait(set(self._orders))
        await self._flush()
        while running := [loop for loop in self._loops if not loop.done()]:
            # Repeatedly: a library may drop a cancellation, and the process must still end.
            for loop in running:
                loop.cancel()
            await asyncio.wait(running, timeout=_LOOP_PAUSE_S)
        await self._group.__aexit__(kind, error, trace)

    @property
    def running(self) -> int:
        """The number of orders under way."""
        return len(self._orders)

    def announce_end(self) -> None:
        """Turn unready, and go on taking orders."""
        self.is_ready = False

    def begin_drain(self) -> None:
        """Take no new orders, and cut off running ones in *drain_s* seconds."""
        self.announce_end()
        if not self.is_draining:
            self.is_draining = True
            self._loops.append(self._group.create_task(self._cut_off_later()))

    def cut_off(self) -> None:
        """Cancel every order; each still settles and answers its reader."""
        for task in set(self._orders):
            # After its first step: a task cancelled before that runs no line, not even the one that answers its reader.
            task.get_loop().call_soon(task.cancel)

    def keep(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        """Run a background loop until the last order has ended; only a crash restarts it."""
        self._loops.append(self._group.create_task(self._run_to_its_end(name, loop)))

    def start(self, order_id: str, work: OrderWork) -> RunningOrder:
        """Run an order's work to its end, even without its caller.

        Raises:
            Draining: the process is shutting down.
        """
        if self.is_draining:
            raise Draining
        running = RunningOrder(order_id)
        task = self._group.create_task(self._run(running, work))
        self._orders.add(task)
        task.add_done_callback(self._orders.discard)
        return running

    async def _cut_off_later(self) -> None:
        await asyncio.sleep(self._drain_s)
        self.cut_off()

    async def _run_to_its_end(self, name: str, loop: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                return await loop()
            except Exception as error:  # noqa: BLE001 - the top of a task: paid orders run beside it
                self._telemetry.record(Crashed(where="loop", id=name, error=error))
            await asyncio.sleep(_LOOP_PAUSE_S)

    async def _run(self, running: RunningOrder, work: OrderWork) -> None:
        failed: GatewayError | None = None
        try:
            with self._span("order"):
                await work(running)
        except GatewayError as error:
            failed = error
        except Exception as error:  # noqa: BLE001 - the top of a task: one bug must not end the other orders
            self._telemetry.record(Crashed(where="order", id=running.id, error=error))
            failed = GatewayError("The gateway failed while working on this order.")
        except BaseException:
            failed = Draining()
            raise
        finally:
            running.emit(OrderDone(error=failed))
