"""f: two hundred orders at once whose answers have 4 MB, again and again: memory at its highest, and a minute after the last."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.bench.bench import Bench, Service, of_house
from tests.bench.load import closed_loop
from tests.bench.scenarios.orders import BASE64, LARGER_BYTES, fresh
from tests.bench.trees import read_memory_mb

CASE = "f 200 orders of 3 MB (4 MB of JSON) at once, base64, provider 50 ms"
IDLE, PEAK, AFTERWARDS, FAILED = "idle MB", "peak MB", "afterwards MB", "failed orders"
ORDERS, LATE_MS = 200, 50
_SAMPLE_S = 0.05


def measure(bench: Bench) -> None:
    """Measure the memory of a new gateway, and of peers that have run before; the gateway keeps its usual calls in flight."""
    with ExitStack() as stack:
        house = bench.open_house(stack)
        chosen = [of_house(house), *bench.peers("Portkey", "LiteLLM")]
        for service in chosen:
            bench.results.add(CASE, service.name, IDLE, read_memory_mb(*service.pids))
            for number in range(2 * bench.form.rounds):
                bench.tell(f"f: {service.name}, repetition {number + 1}")
                peak_mb, failed = _burst(service)
                bench.results.add(CASE, service.name, PEAK, peak_mb)
                bench.results.add(CASE, service.name, FAILED, failed)
        bench.tell(f"f: {bench.form.rest_seconds:.0f} s later")
        time.sleep(bench.form.rest_seconds)
        for service in chosen:
            bench.results.add(CASE, service.name, AFTERWARDS, read_memory_mb(*service.pids))


def _burst(service: Service) -> tuple[float, int]:
    """Return the highest memory, and the orders that failed: a machine too slow for the burst lets some time out."""
    orders = fresh(BASE64, LARGER_BYTES, late_ms=LATE_MS)
    with _sampled(service) as samples:
        looping = closed_loop([service.target], orders, connections=ORDERS, seconds=300, most=ORDERS)
        took = asyncio.run(looping)
    return max(samples), sum(took.failed.values())


@contextmanager
def _sampled(service: Service) -> Iterator[list[float]]:
    """Note the memory over time."""
    samples, is_over = [read_memory_mb(*service.pids)], threading.Event()

    def sample() -> None:
        while not is_over.wait(_SAMPLE_S):
            samples.append(read_memory_mb(*service.pids))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        is_over.set()
        thread.join()
