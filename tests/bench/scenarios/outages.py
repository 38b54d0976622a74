"""j: Redis by a socket, by TCP, 5 ms away, and gone."""

import asyncio
import time
from contextlib import ExitStack

from tests.bench.bench import Bench, of_house
from tests.bench.cores import on_cores
from tests.bench.load import Orders, Took, closed_loop
from tests.bench.results import GATEWAY
from tests.bench.rounds import Lane, measure_latency
from tests.bench.scenarios.orders import BASE64, LINK, SMALL_BYTES, fresh, same
from tests.bench.servers import PERSISTENT, House, run_process
from tests.processes import free_port, run_valkey

HIT, MISS = "j latency of a hit at 50/s, URL", "j latency of a small miss at 50/s, base64"
GONE = "j Redis gone"
SERVED, REFUSED = "served of 40 hits and misses", "refused with 503"
ANSWERED, AGAIN = "ms of an answer", "served again after s"
_AWAY_MS, _RATE_PER_S, _ORDERS = "5", 50, 20
_PATIENCE_S = 60


def measure(bench: Bench) -> None:
    """Measure latency in each place of Redis, and what becomes of orders while there is none."""
    with ExitStack() as stack:
        port, directory = free_port(), bench.directory()
        server = ExitStack()
        with on_cores(bench.cores.measured):
            valkey = server.enter_context(run_valkey(port=port, directory=directory, config=PERSISTENT))
        stack.callback(server.close)
        away = stack.enter_context(
            run_process("tests.bench.relay", "127.0.0.1", str(port), _AWAY_MS, cores=bench.cores.load)
        )
        # The time-out that a gateway has unless it is set.
        tcp = bench.open_house(stack, valkey=valkey, redis_timeout_s=0.25)
        far = bench.open_house(
            stack,
            valkey=valkey,
            redis_timeout_s=0.25,
            redis_url=away.url.replace("http", "redis"),
        )
        places = {
            f"{GATEWAY}, socket": bench.house,
            f"{GATEWAY}, TCP": tcp,
            f"{GATEWAY}, {_AWAY_MS} ms away": far,
        }
        for case, orders in ((HIT, same(LINK, SMALL_BYTES)), (MISS, fresh(BASE64, SMALL_BYTES))):
            lanes = [Lane(of_house(house, name), orders) for name, house in places.items()]
            measure_latency(case, lanes, bench, rate_per_s=_RATE_PER_S)
        bench.tell(f"{GONE}: it ends")
        hits = same(LINK, SMALL_BYTES)
        _order(tcp, hits).check()
        server.close()
        _measure_without(tcp, hits, bench)
        bench.tell(f"{GONE}: it comes back")
        with (
            on_cores(bench.cores.measured),
            run_valkey(port=port, directory=directory, config=PERSISTENT),
        ):
            bench.results.add(GONE, GATEWAY, AGAIN, _served_after_s(tcp))


def _measure_without(house: House, hits: Orders, bench: Bench) -> None:
    began_s = time.monotonic()
    took = [_order(house, orders) for orders in (hits, fresh(BASE64, SMALL_BYTES))]
    bench.results.add(GONE, GATEWAY, SERVED, sum(one.count for one in took))
    refused = sum(count for one in took for what, count in one.failed.items() if what.startswith("503"))
    bench.results.add(GONE, GATEWAY, REFUSED, refused)
    bench.results.add(GONE, GATEWAY, ANSWERED, (time.monotonic() - began_s) / (2 * _ORDERS) * 1000)


def _order(house: House, orders: Orders) -> Took:
    """Send orders one after the other."""
    return asyncio.run(closed_loop(house.targets, orders, connections=1, seconds=_PATIENCE_S, most=_ORDERS))


def _served_after_s(house: House) -> float:
    began_s = time.monotonic()
    while time.monotonic() < began_s + _PATIENCE_S:
        looping = closed_loop(house.targets, fresh(BASE64, SMALL_BYTES), connections=1, seconds=1, most=1)
        if asyncio.run(looping).count:
            return time.monotonic() - began_s
        time.sleep(0.02)
    raise AssertionError(f"{GONE}: no order was served {_PATIENCE_S} s after it came back")
