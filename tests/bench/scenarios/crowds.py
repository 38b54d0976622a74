"""g: a thousand equal orders at once, at two gateways: the images that are paid, and the wait for the last answer."""

import asyncio
import time
from contextlib import ExitStack

from tests.bench.bench import Bench
from tests.bench.load import closed_loop
from tests.bench.results import GATEWAY
from tests.bench.scenarios.orders import LINK, SMALL_BYTES, fresh, same
from tests.bench.servers import House
from tests.bench.trees import read_memory_mb

CASE = "g 1,000 equal orders at once, two gateways, URL"
PAID, LATE, WAITING = "images paid", "last answer after the image, ms", "kB of a waiting order"
ORDERS, LATE_MS = 1_000, 4_000


def measure(bench: Bench) -> None:
    """Order, and ask the provider what it made and when."""
    with ExitStack() as stack:
        house = bench.open_house(stack, gateways=2)
        asyncio.run(
            closed_loop(house.targets, fresh(LINK, SMALL_BYTES), connections=16, seconds=5, most=200)
        ).check()
        for number in range(bench.form.rounds):
            bench.tell(f"{CASE}: round {number + 1} of {bench.form.rounds}")
            _measure(house, bench)


def _measure(house: House, bench: Bench) -> None:
    before, idle_mb = house.count_calls(), read_memory_mb(*house.gateway_pids)
    orders = same(LINK, SMALL_BYTES, late_ms=LATE_MS)

    async def run() -> float:
        async with asyncio.TaskGroup() as group:
            looping = closed_loop(house.targets, orders, connections=ORDERS, seconds=60, most=ORDERS)
            ordering = group.create_task(looping)
            await asyncio.sleep(LATE_MS / 1000 * 0.75)
            waiting_mb = await asyncio.to_thread(read_memory_mb, *house.gateway_pids)
        ordering.result().check()
        bench.results.add(CASE, GATEWAY, WAITING, (waiting_mb - idle_mb) / ORDERS * 1000)
        # The clock of all processes of a machine.
        return time.monotonic()

    ended_s = asyncio.run(run())
    after = house.count_calls()
    bench.results.add(CASE, GATEWAY, PAID, after["made"] - before["made"])
    bench.results.add(CASE, GATEWAY, LATE, (ended_s - after["sent_s"]) * 1000)
