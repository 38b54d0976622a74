"""Measure the memory of a gateway with hundreds of orders in flight, and the CPU of two replicas at a set rate."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from uuid import uuid4

import psutil

from tests.bench.load import Order, Orders, order_at_rate, order_json, order_many
from tests.bench.servers import House, open_house

_LATE_S = 8.0
_SAMPLE_S = 0.02
_IDLE_S = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Flight:
    """Memory above idle: of one order that waits for its image, and of all at the worst moment."""

    name: str
    waiting_bytes: float
    peak_bytes: int


def measure_flight(size_bytes: int, delivery: str, orders: int, name: str) -> Flight:
    """Send *orders* at once; the provider answers all of them at the same time."""
    with ExitStack() as stack:
        house = open_house(
            stack, size_bytes, late_s=_LATE_S, max_calls_in_flight=2000, max_calls_waiting=2000
        )
        url = house.gateways[0].url
        asyncio.run(order_many(url, _fresh(delivery), count=8, connections=8, token=house.token))
        idle_bytes = _memory(house)
        with _sampled(house) as samples:
            asyncio.run(
                order_many(url, _fresh(delivery), count=orders, connections=orders, token=house.token)
            )
        began_s = samples[0][0]
        waiting = max(size for at_s, size in samples if at_s < began_s + _LATE_S - 1)
        return Flight(
            name=name,
            waiting_bytes=(waiting - idle_bytes) / orders,
            peak_bytes=max(size for _, size in samples) - idle_bytes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """A real run: CPU as shares of a core, without orders and at a rate; gateways are two."""

    rate_per_s: float
    idle: tuple[float, float]
    """Of both gateways, and of Redis."""
    busy: tuple[float, float]


def measure_replicas(size_bytes: int, rate_per_s: float, seconds: float) -> Trial:
    """Send misses for links to two replicas in turn at a set rate."""
    with ExitStack() as stack:
        house = open_house(stack, size_bytes, late_s=0.5, gateways=2)
        urls = [gateway.url for gateway in house.gateways]

        def order(seconds: float) -> int:
            sending = order_at_rate(
                urls, _fresh("url"), rate_per_s=rate_per_s, seconds=seconds, token=house.token
            )
            return asyncio.run(sending)

        order(2)
        _, idle = _shares(house, lambda: time.sleep(_IDLE_S))
        rate_per_s, busy = _shares(house, lambda: order(seconds))
        return Trial(rate_per_s=rate_per_s, idle=idle, busy=busy)


def _shares(house: House, act: Callable[[], int | None]) -> tuple[float, tuple[float, float]]:
    """Return how many orders a second *act* sent, and the shares of a core that gateways and Redis took."""
    cpu_s, redis_cpu_s, began_s = house.cpu_s(), house.redis_cpu_s(), time.monotonic()
    count = act() or 0
    took_s = time.monotonic() - began_s
    return count / took_s, ((house.cpu_s() - cpu_s) / took_s, (house.redis_cpu_s() - redis_cpu_s) / took_s)


def _fresh(delivery: str) -> Orders:
    def order(_: int) -> Order:
        return order_json(
            {"model": "dall-e-3", "prompt": f"a boat {uuid4().hex}", "response_format": delivery}
        )

    return order


def _memory(house: House) -> int:
    return int(psutil.Process(house.gateways[0].process.pid).memory_info().rss)


@contextmanager
def _sampled(house: House) -> Iterator[list[tuple[float, int]]]:
    """Note the memory over time."""
    samples, is_over = [(time.monotonic(), _memory(house))], threading.Event()

    def sample() -> None:
        while not is_over.wait(_SAMPLE_S):
            samples.append((time.monotonic(), _memory(house)))

    thread = threading.Thread(target=sample)
    thread.start()
    try:
        yield samples
    finally:
        is_over.set()
        thread.join()
