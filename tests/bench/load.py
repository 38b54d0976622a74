"""Closed-loop load over raw sockets, so that the generator costs little beside what it measures."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import orjson

ROUND_S = 120.0
GENERATIONS, EDITS = "/v1/images/generations", "/v1/images/edits"
NO_TOKEN = "bench"
"""For a gateway or a provider that takes any."""
_MOST_AT_ONCE = 100
_BOUNDARY = "boundary-of-the-bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One request."""

    body: bytes
    path: str = GENERATIONS
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


Orders = Callable[[int], Order]
"""Return the order of a number."""


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


async def order_many(url: str, orders: Orders, *, count: int, connections: int, token: str = NO_TOKEN) -> int:
    """POST *count* orders over *connections* keep-alive connections; returns the bytes of the answers.

    Raises:
        AssertionError: an answer is not 200.
    """
    parts = urlsplit(url)
    numbers = iter(range(count))
    async with asyncio.timeout(ROUND_S), asyncio.TaskGroup() as group:
        clients = [
            group.create_task(_client(str(parts.hostname), parts.port or 80, numbers, orders, token))
            for _ in range(connections)
        ]
    return sum(client.result() for client in clients)


async def order_at_rate(
    urls: Sequence[str], orders: Orders, *, rate_per_s: float, seconds: float, token: str
) -> int:
    """POST to *urls* in turn at a set rate, whatever the answers take; returns the number of orders.

    Raises:
        AssertionError: an answer is not 200.
    """
    count = int(rate_per_s * seconds / len(urls)) * len(urls)
    async with asyncio.timeout(ROUND_S), asyncio.TaskGroup() as group:
        for place, url in enumerate(urls):
            parts = urlsplit(url)
            due = _Due(asyncio.get_running_loop().time() + place / rate_per_s, len(urls) / rate_per_s)
            numbers = iter(range(count // len(urls)))
            for _ in range(_MOST_AT_ONCE):
                group.create_task(
                    _client(str(parts.hostname), parts.port or 80, numbers, orders, token, due=due)
                )
    return count


@dataclass(frozen=True, slots=True)
class _Due:
    """The instants at which orders are sent."""

    began_s: float
    apart_s: float

    async def wait(self, number: int) -> None:
        await asyncio.sleep(self.began_s + number * self.apart_s - asyncio.get_running_loop().time())


async def _client(
    host: str, port: int, numbers: Iterator[int], orders: Orders, token: str, *, due: _Due | None = None
) -> int:
    received_bytes = 0
    async with AsyncExitStack() as stack:
        streams = None
        for number in numbers:
            order = orders(number)
            if due:
                await due.wait(number)
            if streams is None:
                # Not before its first order is due: a gateway closes connections that send nothing.
                streams = await asyncio.open_connection(host, port, limit=2**24)
                stack.callback(streams[1].close)
            reader, writer = streams
            headers = {
                "host": f"{host}:{port}",
                "content-type": order.content_type,
                "authorization": f"Bearer {token}",
                "content-length": str(len(order.body)),
                **order.headers,
            }
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            writer.write(f"POST {order.path} HTTP/1.1\r\n{lines}\r\n".encode() + order.body)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            answer = await reader.readexactly(length)
            received_bytes += len(head) + length
            if not head.startswith(b"HTTP/1.1 200"):
                raise AssertionError((head + answer).decode())
    return received_bytes
