"""A provider of raw sockets, in the process that judges: a script decides what becomes of each call.

Owns the listener, the journal of the calls it got, and the ways to answer one: whole, by half, slowly, never. A
script is a coroutine; `paint` is the plain one. Every image is a valid PNG unlike all others.
"""

import asyncio
import contextlib
import itertools
import math
import struct
import time
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import pybase64

from tests.bench.stub import picture

USAGE = {
    "input_tokens": 10,
    "output_tokens": 1756,
    "total_tokens": 1766,
    "input_tokens_details": {"text_tokens": 10, "image_tokens": 0},
}
"""The price of one image of the usual size."""
_BACKLOG = 2048
_LARGEST_HEAD_BYTES = 2**16
_serials = itertools.count(1)
_BLANK = picture(2_000)


@dataclass(slots=True)
class Call:
    """One request for images, and the ways to answer it.

    *paid* is the number of images the provider charges for, whether the gateway got them or not; *fate* is the
    word for what became of the call.
    """

    number: int
    path: str
    headers: Mapping[str, str]
    body: bytes
    began_s: float
    writer: asyncio.StreamWriter
    fate: str = "open"
    paid: int = 0
    keeps_alive: bool = True

    @property
    def fields(self) -> dict[str, Any]:
        """Return the members of a JSON body; a form has none."""
        if not self.headers.get("content-type", "").startswith("application/json"):
            return {}
        fields: dict[str, Any] = orjson.loads(self.body)
        return fields

    @property
    def prompt(self) -> str:
        return str(self.fields.get("prompt", ""))

    @property
    def key(self) -> str:
        """Return the key of the call, by OpenAI's header or Azure's."""
        headers = self.headers
        return headers.get("api-key") or headers.get("authorization", "").removeprefix("Bearer ")

    @property
    def asked(self) -> int:
        """Return how many images were asked for."""
        return int(self.fields.get("n", 1))

    async def paint(self, *, usage: Mapping[str, Any] | None = USAGE) -> None:
        """Answer with the images that were asked for."""
        self.paid = self.asked
        data = [{"b64_json": pybase64.b64encode_as_string(new_picture())} for _ in range(self.asked)]
        await self.answer(200, {"created": 1, "data": data, **({"usage": dict(usage)} if usage else {})})
        self.fate = "made"

    async def fail(self, status: int, code: str | None = None, **fields: object) -> None:
        """Answer with an error in the provider's envelope."""
        error = {"message": "It failed.", "type": "server_error", "param": None, "code": code, **fields}
        await self.answer(status, {"error": error})
        self.fate = "failed"

    async def throttle(self, pause_s: float) -> None:
        """Refuse the call, and ask for a pause."""
        error = {"message": "Too many requests.", "type": "requests", "code": "rate_limit_exceeded"}
        headers = (f"retry-after: {math.ceil(pause_s)}", f"retry-after-ms: {math.ceil(pause_s * 1000)}")
        await self.answer(429, {"error": error}, headers=headers)
        self.fate = "throttled"

    async def answer(
        self, status: int, content: object, kind: str = "application/json", *, headers: Sequence[str] = ()
    ) -> None:
        """Answer with *content* as JSON, or as it is if it is bytes; *headers* are more lines of the head."""
        body = content if isinstance(content, bytes) else orjson.dumps(content)
        await self.write(_head(status, kind, f"content-length: {len(body)}", *headers) + body)

    async def begin_stream(self) -> None:
        """Answer with the head of an event stream whose length only the end of the connection tells."""
        self.keeps_alive = False
        await self.write(_head(200, "text/event-stream", "connection: close"))

    async def complete(self) -> None:
        """Send the event of a finished image."""
        self.paid += 1
        image = pybase64.b64encode_as_string(new_picture())
        event = {"type": "image_generation.completed", "b64_json": image, "usage": USAGE}
        await self.write(b"event: image_generation.completed\ndata: " + orjson.dumps(event) + b"\n\n")
        self.fate = "made"

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """Break the connection as a crash would."""
        self.keeps_alive = False
        if self.fate == "open":
            self.fate = "reset"
        self.writer.transport.abort()

    async def hang(self) -> None:
        """Answer nothing until the gateway leaves."""
        self.fate = "hung"
        await asyncio.Event().wait()


Script = Callable[[Call], Awaitable[None]]


async def paint(call: Call) -> None:
    """Answer at once."""
    await call.paint()


def paint_after(seconds: float) -> Script:
    """Return the script of a provider that needs *seconds* for a call."""

    async def script(call: Call) -> None:
        await asyncio.sleep(seconds)
        await call.paint()

    return script


@dataclass(slots=True)
class Provider:
    """A running provider; *script* may be replaced at any time."""

    url: str = ""
    script: Script = paint
    calls: list[Call] = field(default_factory=list)
    open_calls: int = 0
    most_open: int = 0

    @property
    def paid(self) -> int:
        """Return how many images were made so far."""
        return sum(call.paid for call in self.calls)

    def calls_with(self, key: str, *, since_s: float = 0, until_s: float = math.inf) -> int:
        """Return how many calls with *key* came between two instants of the monotonic clock."""
        return sum(call.key == key and since_s <= call.began_s < until_s for call in self.calls)

    def count(self, *fates: str) -> int:
        return sum(call.fate in fates for call in self.calls)

    async def until_called(self, calls: int, *, patience_s: float = 30) -> None:
        """Wait until it has been called so often."""
        async with asyncio.timeout(patience_s):
            while len(self.calls) < calls:  # noqa: ASYNC110 - a gateway calls
                await asyncio.sleep(0.005)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                while await self._serve_one(reader, writer):
                    pass
        finally:
            writer.close()

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        line, headers, body = await _read_request(reader)
        _, path, _ = line.split(" ")
        if "/images/" not in path:
            answer = b'{"object": "list", "data": []}'
            writer.write(_head(200, "application/json", f"content-length: {len(answer)}") + answer)
            return True
        call = Call(len(self.calls) + 1, path, headers, body, time.monotonic(), writer)
        self.calls.append(call)
        self.open_calls += 1
        self.most_open = max(self.most_open, self.open_calls)
        try:
            await self._act(call, reader)
        finally:
            self.open_calls -= 1
        return call.keeps_alive

    async def _act(self, call: Call, reader: asyncio.StreamReader) -> None:
        """Run the script, and stop it when the gateway leaves."""
        async with asyncio.TaskGroup() as group:
            script = group.create_task(_script(self.script, call))
            leaving = group.create_task(_until_left(reader))
            await asyncio.wait((script, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not script.done():
                call.keeps_alive = False
                call.fate = "left" if call.fate == "open" else call.fate
            script.cancel()
            leaving.cancel()


@contextlib.asynccontextmanager
async def run_provider(script: Script = paint, *, port: int = 0) -> AsyncIterator[Provider]:
    """Listen until the block ends, on a free port unless told."""
    provider = Provider(script=script)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        with contextlib.suppress(asyncio.CancelledError):
            await provider.serve(reader, writer)

    server = await asyncio.start_server(serve, "127.0.0.1", port, limit=_LARGEST_HEAD_BYTES, backlog=_BACKLOG)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield provider
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()


def new_picture() -> bytes:
    """Return a small PNG that was never returned before."""
    return unlike(_BLANK)


def unlike(png: bytes) -> bytes:
    """Return *png* with a number of its own in it."""
    text = b"tEXt" + b"Serial\0%d" % next(_serials)
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    return png[:-12] + chunk + png[-12:]


def prompts_of(calls: Iterable[Call]) -> set[str]:
    return {call.prompt for call in calls}


async def _script(script: Script, call: Call) -> None:
    with contextlib.suppress(OSError):
        await script(call)


async def _until_left(reader: asyncio.StreamReader) -> None:
    """Wait until the other side hangs up; it sends nothing before it has its answer."""
    while not reader.at_eof() and reader.exception() is None:  # noqa: ASYNC110 - a reader has no such event
        await asyncio.sleep(0.1)


async def _read_request(reader: asyncio.StreamReader) -> tuple[str, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    line, *rest = head.strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (each.partition(":") for each in rest)}
    if headers.get("transfer-encoding") == "chunked":
        return line, headers, await _read_chunks(reader)
    return line, headers, await reader.readexactly(int(headers.get("content-length", "0")))


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readline()).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readline()
    await reader.readline()
    return body


def _head(status: int, kind: str, *fields: str) -> bytes:
    lines = [f"HTTP/1.1 {status} So", f"content-type: {kind}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"
