"""Closed-loop load over raw sockets, so that the generator costs little beside what it measures."""

import asyncio
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

import orjson

ROUND_S = 120.0


async def order_many(
    url: str, bodies: Callable[[int], dict[str, object]], *, count: int, connections: int
) -> None:
    """POST *count* orders over *connections* keep-alive connections.

    Raises:
        AssertionError: an answer is not 200.
    """
    parts = urlsplit(url)
    numbers = iter(range(count))
    async with asyncio.timeout(ROUND_S), asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(_client(str(parts.hostname), parts.port or 80, numbers, bodies))


async def _client(
    host: str, port: int, numbers: Iterator[int], bodies: Callable[[int], dict[str, object]]
) -> None:
    reader, writer = await asyncio.open_connection(host, port, limit=2**24)
    try:
        for number in numbers:
            body = orjson.dumps(bodies(number))
            writer.write(
                b"POST /v1/images/generations HTTP/1.1\r\nhost: %b:%d\r\ncontent-type: application/json\r\n"
                b"authorization: Bearer bench\r\ncontent-length: %d\r\n\r\n"
                % (host.encode(), port, len(body))
                + body
            )
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
            answer = await reader.readexactly(length)
            if not head.startswith(b"HTTP/1.1 200"):
                raise AssertionError((head + answer).decode())
    finally:
        writer.close()
