import asyncio
from collections.abc import Awaitable, Callable

import pytest

from service.domain.errors import Draining, GatewayError, NotCached
from service.domain.progress import Admitted, CallFailed, OrderDone
from service.gateway.order.runner import OrderRunner, RunningOrder
from service.ports.telemetry import Crashed
from tests.fakes.clock import FakeClock, until_idle
from tests.fakes.telemetry import FakeTelemetry
from tests.fakes.values import a_failure
from tests.gateway.assembly import read

ADMITTED = Admitted(limits=(), degraded=False, pending=1)
FAILED = CallFailed(positions=(0,), failure=a_failure())


class Work:
    """An order's work that the test steers; *log* tells what became of it."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.go_on = asyncio.Event()

    async def __call__(self, running: RunningOrder) -> None:
        running.emit(ADMITTED)
        try:
            await self.go_on.wait()
            running.emit(FAILED)
            self.log.append("finished")
        finally:
            self.log.append("settled")


async def flush_nothing() -> None:
    pass


def open_runner(
    *,
    drain_s: float = 10.0,
    telemetry: FakeTelemetry | None = None,
    flush: Callable[[], Awaitable[None]] = flush_nothing,
) -> OrderRunner:
    return OrderRunner(telemetry=telemetry or FakeTelemetry(), drain_s=drain_s, flush=flush)


async def test_facts_come_in_the_order_they_happen() -> None:
    work = Work()
    async with open_runner() as runner:
        running = runner.start("order-1", work)

        first = await running.next_fact()
        work.go_on.set()

        assert [first, *await read(running)] == [ADMITTED, FAILED, OrderDone()]


async def test_all_facts_come_once_the_order_is_over() -> None:
    work = Work()
    async with open_runner() as runner, asyncio.TaskGroup() as group:
        reading = group.create_task(runner.start("order-1", work).all_facts())
        await until_idle()
        assert not reading.done()
        work.go_on.set()

    assert reading.result() == [ADMITTED, FAILED, OrderDone()]


async def test_an_abandoned_order_has_no_facts_to_read() -> None:
    running = RunningOrder("order-1")
    running.emit(ADMITTED)
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(running.all_facts())
        await until_idle()
        running.abandon()

    assert reading.result() == []


async def test_facts_wait_for_a_late_reader() -> None:
    work = Work()
    work.go_on.set()
    async with open_runner() as runner:
        running = runner.start("order-1", work)
        await until_idle()

        assert await read(running) == [ADMITTED, FAILED, OrderDone()]


async def test_an_order_whose_reader_left_goes_on_to_its_end() -> None:
    work = Work()
    async with open_runner() as runner:
        running = runner.start("order-1", work)
        await until_idle()
        running.abandon()
        assert running.is_abandoned
        work.go_on.set()
        await until_idle()

        assert work.log == ["finished", "settled"]
        assert await read(running) == []


async def test_a_reader_in_waiting_is_freed_when_its_order_is_abandoned() -> None:
    work = Work()
    async with open_runner() as runner, asyncio.TaskGroup() as readers:
        running = runner.start("order-1", work)
        reading = readers.create_task(read(running))
        await until_idle()

        running.abandon()

        assert await reading == [ADMITTED]
        work.go_on.set()


async def test_an_abandoned_order_reports_no_more_facts() -> None:
    running = RunningOrder("order-1")
    running.emit(ADMITTED)
    running.emit(FAILED)
    assert await running.next_fact() == ADMITTED

    running.abandon()
    running.emit(OrderDone())

    assert await read(running) == []


async def test_an_order_with_a_reader_is_not_abandoned() -> None:
    assert not RunningOrder("order-1").is_abandoned
    assert RunningOrder("order-1").id == "order-1"


async def test_an_error_of_the_gateway_is_passed_on() -> None:
    error = NotCached("Only 1 of 2.")

    async def work(running: RunningOrder) -> None:
        raise error

    async with open_runner() as runner:
        assert await read(runner.start("order-1", work)) == [OrderDone(error=error)]


async def test_a_bug_in_one_order_ends_no_other_and_shows_no_detail() -> None:
    telemetry = FakeTelemetry()
    bug = ZeroDivisionError("secret detail")
    other = Work()

    async def broken(running: RunningOrder) -> None:
        raise bug

    async with open_runner(telemetry=telemetry) as runner:
        healthy = runner.start("order-2", other)
        [done] = await read(runner.start("order-1", broken))
        other.go_on.set()

        assert await read(healthy) == [ADMITTED, FAILED, OrderDone()]

    assert isinstance(done, OrderDone)
    assert type(done.error) is GatewayError
    assert "secret" not in str(done.error)
    assert telemetry.of(Crashed) == [Crashed(where="order", id="order-1", error=bug)]


async def test_leaving_waits_for_orders_under_way(clock: FakeClock) -> None:
    work = Work()
    started_s = clock.monotonic_s()
    async with asyncio.TaskGroup() as group, open_runner(drain_s=10.0) as runner:
        running = runner.start("order-1", work)
        group.create_task(_after(4.0, work.go_on))

    assert clock.monotonic_s() - started_s == pytest.approx(4.0)
    assert await read(running) == [ADMITTED, FAILED, OrderDone()]


async def test_leaving_cancels_late_orders_and_lets_them_settle(clock: FakeClock) -> None:
    telemetry, work = FakeTelemetry(), Work()
    started_s = clock.monotonic_s()
    async with open_runner(drain_s=10.0, telemetry=telemetry) as runner:
        running = runner.start("order-1", work)

    assert clock.monotonic_s() - started_s == pytest.approx(10.0)
    assert work.log == ["settled"]
    facts = await read(running)
    assert facts[0] == ADMITTED
    assert isinstance(facts[-1], OrderDone)
    assert isinstance(facts[-1].error, Draining)
    assert runner.running == 0


async def test_leaving_without_orders_waits_for_nothing(clock: FakeClock) -> None:
    started_s = clock.monotonic_s()
    async with open_runner():
        pass

    assert clock.monotonic_s() == started_s


async def test_background_loops_outlive_the_last_order_and_its_flush() -> None:
    log: list[str] = []

    async def flush() -> None:
        await asyncio.sleep(1.0)
        log.append("flushed")

    async def work(running: RunningOrder) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(1.0)
            log.append("settled")

    async def loop() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            log.append("loop ended")

    async with open_runner(drain_s=1.0, flush=flush) as runner:
        runner.keep("loop", loop)
        runner.start("order-1", work)

    assert log == ["settled", "flushed", "loop ended"]


async def test_an_unready_runner_takes_orders_until_it_drains() -> None:
    work = Work()
    work.go_on.set()
    async with open_runner() as runner:
        was_ready = runner.is_ready
        runner.announce_end()
        facts = await read(runner.start("order-1", work))
        is_ready = runner.is_ready
        runner.begin_drain()
        with pytest.raises(Draining):
            runner.start("order-2", work)

    assert (was_ready, is_ready, runner.is_ready) == (True, False, False)
    assert facts == [ADMITTED, FAILED, OrderDone()]


async def test_no_order_starts_while_the_runner_drains() -> None:
    late: list[str] = []
    runner = open_runner(drain_s=1.0)

    async def work(running: RunningOrder) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            late.append("draining" if runner.is_draining else "serving")
            with pytest.raises(Draining):
                runner.start("order-2", work)
            late.append("refused")

    async with runner:
        runner.start("order-1", work)
        await until_idle()

    assert late == ["draining", "refused"]
    with pytest.raises(Draining):
        runner.start("order-3", work)


async def test_a_runner_does_not_drain_before_it_is_left() -> None:
    async with open_runner() as runner:
        assert not runner.is_draining
        assert runner.is_ready


async def test_running_orders_are_counted() -> None:
    work = Work()
    async with open_runner() as runner:
        running = runner.start("order-1", work)
        await until_idle()
        assert runner.running == 1

        work.go_on.set()
        await read(running)

    assert runner.running == 0


async def test_a_crashed_background_loop_ends_no_order() -> None:
    work, runner = Work(), open_runner()

    async def loop() -> None:
        raise ZeroDivisionError

    async with runner:
        runner.start("order-1", work)
        await until_idle()
        runner.keep("loop", loop)
        await until_idle()
        work.go_on.set()
        await until_idle()

    assert work.log == ["finished", "settled"]


async def test_a_loop_that_crashes_is_started_again_and_one_that_returns_is_not() -> None:
    telemetry = FakeTelemetry()
    crashes, ends = 0, 0

    async def crash() -> None:
        nonlocal crashes
        crashes += 1
        if crashes < 3:
            raise ZeroDivisionError
        await asyncio.Event().wait()

    async def end() -> None:
        nonlocal ends
        ends += 1

    async with open_runner(telemetry=telemetry) as runner:
        runner.keep("crash", crash)
        runner.keep("end", end)
        await asyncio.sleep(60)

    assert (crashes, ends) == (3, 1)
    assert [(crash.where, crash.id) for crash in telemetry.of(Crashed)] == [("loop", "crash")] * 2


async def test_a_loop_that_drops_a_cancellation_is_cancelled_again() -> None:
    dropped: list[bool] = []

    async def loop() -> None:
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                if dropped:
                    raise
                dropped.append(True)

    async with open_runner() as runner:
        runner.keep("loop", loop)
        await until_idle()

    assert dropped == [True]


async def _after(delay_s: float, event: asyncio.Event) -> None:
    await asyncio.sleep(delay_s)
    event.set()


async def test_draining_twice_is_draining_once(clock: FakeClock) -> None:
    """The signal comes first, then the end of the lifespan: the time counts from the signal."""
    started_s = clock.monotonic_s()

    async def work(running: RunningOrder) -> None:
        await asyncio.Event().wait()

    async with open_runner(drain_s=10.0) as runner:
        runner.start("order-1", work)
        await until_idle()
        runner.begin_drain()
        await asyncio.sleep(4.0)

    assert clock.monotonic_s() - started_s == pytest.approx(10.0, abs=0.01)
