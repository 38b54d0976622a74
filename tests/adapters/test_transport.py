"""Tell a server of the current trace, or keep it from others: the header on a real socket."""

import asyncio
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
