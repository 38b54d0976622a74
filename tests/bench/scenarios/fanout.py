"""e: an order of ten images beside one of one; no other order is under way, so latency counts."""

import asyncio
import statistics

from tests.bench.bench import Bench, Service
from tests.bench.load import Orders, Took, closed_loop
from tests.bench.rounds import P50, P99, note_cpu
from tests.bench.scenarios.orders import BASE64, LARGER_BYTES, LINK, SMALL_BYTES, fresh
from tests.bench.trees import read_cpu

SMALL = "e one image and ten, small, base64, provider 50 ms"
LARGER, LARGER_LINK = (
    f"e one image and ten, 3 MB (4 MB of JSON), {how}, provider 50 ms" for how in ("base64", "URL")
)
ONE, TEN, DIRECT = "one image", "ten images", "ten calls at once, direct"
COUNT, LATE_MS = 10, 50
_ORDERS, _DIRECTLY = 20, 5


def measure(bench: Bench) -> None:
    """Measure latency and CPU of an order; the provider must have made as many images as were ordered."""
    gateway = bench.gateway
    for case, delivery, size_bytes in (
        (SMALL, BASE64, SMALL_BYTES),
        (LARGER, BASE64, LARGER_BYTES),
        (LARGER_LINK, LINK, LARGER_BYTES),
    ):
        for number in range(bench.form.rounds + 1):
            bench.tell(f"{case}: round {number} of {bench.form.rounds}")
            for lane, count in ((ONE, 1), (TEN, COUNT)):
                before, calls = read_cpu(*gateway.pids), bench.house.count_calls()["calls"]
                took = _order(gateway, fresh(delivery, size_bytes, late_ms=LATE_MS, count=count), bench)
                spent = read_cpu(*gateway.pids) - before
                sent = bench.house.count_calls()["calls"] - calls
                if sent != took.count * count:
                    raise AssertionError(f"{case}: {took.count} orders of {count} sent {sent:.0f} calls")
                # The first round warms up.
                if number:
                    bench.results.add(case, lane, P50, took.percentile_ms(50))
                    bench.results.add(case, lane, P99, took.percentile_ms(99))
                    note_cpu(bench.results, case, lane, spent, took)

            if number:
                bench.results.add(case, DIRECT, P50, _take_directly(bench, size_bytes))


def _take_directly(bench: Bench, size_bytes: int) -> float:
    """Return the median milliseconds of ten calls at once to the provider: what provider and load themselves take."""
    orders, times_ms = fresh(BASE64, size_bytes, late_ms=LATE_MS), []
    for _ in range(_DIRECTLY):
        looping = closed_loop(
            [bench.direct.target], orders, connections=COUNT, seconds=bench.form.open_seconds, most=COUNT
        )
        times_ms.append(asyncio.run(looping).check().seconds * 1000)
    return statistics.median(times_ms)


def _order(gateway: Service, orders: Orders, bench: Bench) -> Took:
    """Send orders one after the other."""
    looping = closed_loop(
        [gateway.target], orders, connections=1, seconds=bench.form.open_seconds, most=_ORDERS
    )
    return asyncio.run(looping).check()
