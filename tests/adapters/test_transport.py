"""Requests and answers on a real socket: the header of the trace, and the memory of large answers."""

import asyncio
import tracemalloc
from collections.abc import Callable

import httpx
import pytest

from service.adapters.transport import open_transport

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


async def head_of_request(traceparent: Callable[[], str] | None) -> str:
    """Return the head of a request that a transport with *traceparent* sends."""
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = "http://127.0.0.1:{1}/".format(*server.sockets[0].getsockname())
        transport = open_transport(url, connections=1, traceparent=traceparent)
        response = await transport.handle_async_request(httpx.Request("GET", url))
        await response.aread()
        await response.aclose()
        await transport.aclose()
    [head] = heads
    return head.decode().lower()


async def test_a_request_carries_the_current_span() -> None:
    assert f"\r\ntraceparent: {TRACEPARENT}\r\n" in await head_of_request(lambda: TRACEPARENT)


@pytest.mark.parametrize("traceparent", [None, lambda: ""], ids=["untold", "no-span"])
async def test_other_requests_have_no_context(traceparent: Callable[[], str] | None) -> None:
    assert "traceparent" not in await head_of_request(traceparent)


class LargeAnswer:
    """A server of one answer; *sent* counts what the network has taken of its body."""

    size = 16 * 2**20

    def __init__(self) -> None:
        self.sent = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.set_write_buffer_limits(0)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % self.size)
        for _ in range(self.size // 2**16):
            writer.write(bytes(2**16))
            await writer.drain()
            self.sent += 2**16
        writer.close()

    async def wait_until_it_stands_still(self) -> None:
        before = -1
        while before < self.sent:
            before = self.sent
            await asyncio.sleep(0.3)


async def test_an_answer_is_read_in_large_pieces_and_waits_in_the_network() -> None:
    """Of a large answer that nothing reads yet, a connection holds a piece or two."""
    answer = LargeAnswer()
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = "http://127.0.0.1:{1}/".format(*server.sockets[0].getsockname())
        transport = open_transport(url, connections=1)
        tracemalloc.start()
        try:
            response = await transport.handle_async_request(httpx.Request("GET", url))
            await answer.wait_until_it_stands_still()
            held_bytes, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        pieces = [len(piece) async for piece in response.aiter_raw()]
        await response.aclose()
        await transport.aclose()

    assert held_bytes < 2**20
    assert sum(pieces) == answer.size
    assert max(pieces) > 2**17
