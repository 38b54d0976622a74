"""Send orders over raw sockets, so that the generator costs little beside what it measures.

A closed loop keeps its connections busy: for CPU. An open loop sends at its own instants, however long answers take, and counts
the time from the instant at which an order was due: a server that stalls is charged for all that it kept waiting.
"""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from tests.bench.wire import Connection, Target

ROUND_S = 300.0
GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"
NO_TOKEN = "bench"
"""For a gateway or a provider that takes any."""
_BOUNDARY = "boundary-of-the-bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One request."""

    body: bytes = b""
    path: str = GENERATIONS
    method: str = "POST"
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


Orders = Callable[[int], Order]
"""Return the order of a number."""


@dataclass(slots=True)
class Took:
    """What became of the orders of one round; latencies are those of answers below 400."""

    latencies_s: list[float] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)
    received_bytes: int = 0
    seconds: float = 0

    @property
    def count(self) -> int:
        """Return the number of orders that were served."""
        return len(self.latencies_s)

    def percentile_ms(self, percent: float) -> float:
        """Return the latency that *percent* of the orders did not exceed."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1000

    def check(self) -> "Took":
        """Return this round; raises AssertionError unless every order was served."""
        if self.failed or not self.latencies_s:
            raise AssertionError(f"{sum(self.failed.values())} orders failed: {self.failed.most_common(3)}")
        return self


def order_json(fields: Mapping[str, object], **headers: str) -> Order:
    """Return an order of images by JSON."""
    return Order(body=orjson.dumps(fields), headers=headers)


def edit_form(file: bytes, **fields: str) -> Order:
    """Return an edit of one PNG by a form."""
    parts = [f'name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
    parts.append(b'name="image"; filename="image.png"\r\ncontent-type: image/png\r\n\r\n' + file)
    lead = f"--{_BOUNDARY}\r\ncontent-disposition: form-data; ".encode()
    body = b"".join(lead + part + b"\r\n" for part in parts) + f"--{_BOUNDARY}--\r\n".encode()
    return Order(body=body, path=EDITS, content_type=f"multipart/form-data; boundary={_BOUNDARY}")


async def closed_loop(
    targets: Sequence[Target], orders: Orders, *, connections: int, seconds: float, most: int | None = None
) -> Took:
    """Keep *connections* busy, in turn with each of *targets*, until *seconds* have passed or *most* orders are sent."""
    took, numbers = Took(), iter(range(most)) if most is not None else itertools.count()
    loop = asyncio.get_running_loop()
    began_s = loop.time()

    async def client(target: Target) -> None:
        async with Connection(target) as connection:
            for number in numbers:
                due_s = loop.time()
                if due_s > began_s + seconds:
                    return
                await _send(connection, orders(number), due_s, took)

    async with asyncio.timeout(ROUND_S), asyncio.TaskGroup() as group:
        for place in range(connections):
            group.create_task(client(targets[place % len(targets)]))
    took.seconds = loop.time() - began_s
    return took


async def open_loop(
    targets: Sequence[Target], orders: Orders, *, rate_per_s: float, seconds: float, seed: int | None = None
) -> Took:
    """Send to *targets* in turn at *rate_per_s*, whatever the answers take: at even instants, or random ones with *seed*."""
    took, loop = Took(), asyncio.get_running_loop()
    idle: list[list[Connection]] = [[] for _ in targets]
    began_s = loop.time()

    async def send(number: int, due_s: float) -> None:
        pool = idle[number % len(targets)]
        connection = pool.pop() if pool else await Connection(targets[number % len(targets)]).open()
        await _send(connection, orders(number), due_s, took)
        if connection.is_open:
            pool.append(connection)

    async with asyncio.timeout(ROUND_S), asyncio.TaskGroup() as group:
        for number, due in enumerate(_instants(rate_per_s, seconds, seed)):
            await asyncio.sleep(began_s + due - loop.time())
            group.create_task(send(number, began_s + due))
    took.seconds = loop.time() - began_s
    for connection in itertools.chain(*idle):
        await connection.close()
    return took


def _instants(rate_per_s: float, seconds: float, seed: int | None) -> Iterator[float]:
    """Yield *rate_per_s* times *seconds* instants; random ones come as from independent callers."""
    apart_s, chance = 1 / rate_per_s, random.Random(seed)
    due_s = 0.0
    for _ in range(int(rate_per_s * seconds)):
        yield due_s
        due_s += apart_s if seed is None else chance.expovariate(rate_per_s)


async def _send(connection: Connection, order: Order, due_s: float, took: Took) -> None:
    loop = asyncio.get_running_loop()
    try:
        answer = await connection.ask(
            order.method,
            order.path,
            {"content-type": order.content_type, **order.headers},
            order.body,
        )
    except OSError as error:
        took.failed[type(error).__name__] += 1
        return
    took.received_bytes += answer.received_bytes
    if answer.status < 400:
        took.latencies_s.append(loop.time() - due_s)
    else:
        took.failed[f"{answer.status} {answer.content[:200].decode(errors='replace')}"] += 1


async def order_many(url: str, orders: Orders, *, count: int, connections: int, token: str = NO_TOKEN) -> int:
    """POST *count* orders over *connections* keep-alive connections; returns the bytes of the answers.

    Raises:
        AssertionError: an answer is not 200.
    """
    took = await closed_loop(
        [Target(url, token)], orders, connections=connections, seconds=ROUND_S, most=count
    )
    return took.check().received_bytes


async def order_at_rate(
    urls: Sequence[str], orders: Orders, *, rate_per_s: float, seconds: float, token: str
) -> int:
    """POST to *urls* in turn at a set rate, whatever the answers take; returns the number of orders.

    Raises:
        AssertionError: an answer is not 200.
    """
    targets = [Target(url, token) for url in urls]
    took = await open_loop(targets, orders, rate_per_s=rate_per_s, seconds=seconds)
    return took.check().count
