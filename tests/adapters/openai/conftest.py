"""A provider to fail against: the sandbox behind its fault proxy, and a server that answers byte for byte."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from service.adapters.downloads import ImageDownloads
from service.adapters.openai.address import BackendAddress, Timeouts
from service.adapters.openai.backend import OpenAIBackend
from service.adapters.transport import open_transport
from service.domain.failures import CallFailure
from service.domain.images import CallMade, ImageCall, Realm
from tests.sandbox.process import SandboxHandle, run_sandbox

TIMEOUTS = Timeouts(pool_s=2.0, connect_s=2.0, read_s=0.5)
CALL = ImageCall(model="gpt-image-2", prompt="a heron", n=1, parameters={}, safety_identifier="hash-of-ann")

ADDRESS = BackendAddress(name="openai", realm=Realm.LIVE, url="https://provider/v1", api_key="sk-ours")

Make = Callable[..., Awaitable[CallMade | CallFailure]]


@asynccontextmanager
async def open_backend(
    url: str,
    *,
    timeouts: Timeouts = TIMEOUTS,
    transport: Mapping[str, Any] | None = None,
    **address: Any,
) -> AsyncIterator[OpenAIBackend]:
    """Open a backend whose address and transport have what is given."""
    opened = open_transport(url, **{"connections": 4, **(transport or {})})
    downloads = ImageDownloads(url)
    try:
        yield OpenAIBackend(
            BackendAddress(
                url=url, **{"name": "openai", "realm": Realm.LIVE, "api_key": "sk-ours", **address}
            ),
            transport=opened,
            timeouts=timeouts,
            downloads=downloads,
        )
    finally:
        await opened.aclose()
        await downloads.aclose()


class Watched:
    """Implements `ports.provider.CallProgress`; records the reports of a call."""

    def __init__(self) -> None:
        self.sent_at_s: list[float] = []
        self.shown: list[int] = []

    def sending(self) -> None:
        self.sent_at_s.append(time.monotonic())

    def show(self, number: int, data: bytes, resolved: Mapping[str, str]) -> None:
        self.shown.append(number)


async def make_call(url: str, call: ImageCall = CALL, **address: Any) -> CallMade | CallFailure:
    """Make one call on a connection of its own."""
    async with open_backend(url, **address) as backend:
        return await backend.make(call, Watched())


def failed(result: CallMade | CallFailure) -> CallFailure:
    assert isinstance(result, CallFailure), result
    return result


@dataclass(slots=True)
class Script:
    """The answer of a `ScriptedServer` to every request, and the requests it got."""

    url: str
    reply: bytes = b""
    holds_on: bool = False
    """Keep the connection open after the reply, until the other side closes it."""
    requests: list[bytes] = field(default_factory=list)

    def begin_stream(self, body: bytes, *, holds_on: bool) -> None:
        """Answer with a stream that hangs after *body*, or breaks."""
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n"
        self.reply = head % (len(body) + 1) + body
        self.holds_on = holds_on

    def answer(self, status: int, body: bytes, *fields: str) -> None:
        lines = [f"HTTP/1.1 {status} So", f"content-length: {len(body)}", *fields]
        self.reply = "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@asynccontextmanager
async def run_script() -> AsyncIterator[Script]:
    """Run a server that reads one request a connection, says its reply and closes."""
    script = Script("")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            (
                int(line.split(b":")[1])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            ),
            0,
        )
        script.requests.append(head + await reader.readexactly(length))
        writer.write(script.reply)
        if script.holds_on:
            await reader.read()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        script.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        yield script


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def provider_urls() -> AsyncGenerator[tuple[str, str]]:
    async with run_sandbox(fault_proxy=True, today="2026-11-22") as handle:
        yield handle.url, handle.fault_url


@pytest.fixture
async def provider(provider_urls: tuple[str, str]) -> AsyncGenerator[SandboxHandle]:
    """The sandbox, as good as new."""
    async with SandboxHandle(*provider_urls) as handle:
        await handle.reset()
        yield handle
