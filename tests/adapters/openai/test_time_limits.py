"""The longest time of a call, by the quality it asks for: it ends a call in whatever state, and its connection."""

import asyncio
import base64
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import orjson
import pytest

from service.adapters.openai.address import Timeouts
from service.domain.failures import Billing, CallFailure, FailureKind
from service.domain.images import CallMade, ImageCall, InputImage, Operation
from tests.adapters.openai.conftest import CALL, Watched, failed, open_backend

PATIENCE_S = 20.0
LIMIT_S = 0.4
SHORT = Timeouts(read_s=PATIENCE_S, call_s={"default": LIMIT_S})
IMAGE = base64.b64encode(b"image").decode()
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: 1000000\r\n\r\n"


@dataclass(slots=True)
class Slow:
    """A provider that answers by *act*; *gone* is set once a client has closed its connection."""

    url: str
    gone: asyncio.Event
    pieces: int = 0

    async def drip(self, writer: asyncio.StreamWriter, kind: bytes, piece: bytes) -> None:
        """Begin an answer of *kind* and say *piece* every 10 ms, for ever."""
        writer.write(HEAD % kind)
        while not self.gone.is_set():
            writer.write(piece)
            self.pieces += 1
            await asyncio.sleep(0.01)


Act = Callable[[Slow, asyncio.StreamWriter], Coroutine[None, None, None]]


@asynccontextmanager
async def run_slow(act: Act) -> AsyncIterator[Slow]:
    slow, served = Slow("", asyncio.Event()), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def watch() -> None:
            try:
                while await reader.read(65_536):
                    pass
            except ConnectionError:
                pass
            slow.gone.set()

        await reader.readuntil(b"\r\n\r\n")
        async with asyncio.TaskGroup() as group:
            group.create_task(watch())
            group.create_task(act(slow, writer))
        writer.close()
        served.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        slow.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        yield slow
        await served.wait()


async def silent(slow: Slow, writer: asyncio.StreamWriter) -> None:
    """Answer nothing."""


async def head_only(slow: Slow, writer: asyncio.StreamWriter) -> None:
    writer.write(HEAD % b"application/json")


async def drip_json(slow: Slow, writer: asyncio.StreamWriter) -> None:
    await slow.drip(writer, b"application/json", b" ")


async def drip_head(slow: Slow, writer: asyncio.StreamWriter) -> None:
    while not slow.gone.is_set():
        writer.write(b"HTTP/1.1 200 OK\r\n" if not slow.pieces else b"x-more: 1\r\n")
        slow.pieces += 1
        await asyncio.sleep(0.01)


async def drip_events(slow: Slow, writer: asyncio.StreamWriter) -> None:
    await slow.drip(writer, b"text/event-stream", b": still painting\n\n")


async def drip_failure(slow: Slow, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 500 No\r\ncontent-length: 1000000\r\n\r\n")
    await slow.drip(writer, b"", b" ")


async def make(slow: Slow, call: ImageCall, timeouts: Timeouts = SHORT) -> CallMade | CallFailure:
    async with asyncio.timeout(PATIENCE_S), open_backend(slow.url, timeouts=timeouts) as backend:
        result = await backend.make(call, Watched())
        # While the pool is open: it was the call that closed its connection.
        await slow.gone.wait()
    return result


@pytest.mark.parametrize("act", [silent, head_only, drip_json, drip_head, drip_events, drip_failure])
async def test_a_call_that_takes_too_long_ends_with_its_connection(
    act: Act,
) -> None:
    async with run_slow(act) as slow:
        failure = failed(await make(slow, CALL))

    assert (failure.kind, failure.billing) == (FailureKind.TIMED_OUT, Billing.UNKNOWN)
    assert failure.advice.startswith("The provider did not answer in time")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can break a stalled connection")
async def test_an_edit_whose_upload_is_not_read_leaves_no_connection(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    path.write_bytes(bytes(24 * 1024 * 1024))
    photo = InputImage(
        role="image",
        digest="d",
        format="png",
        width=8,
        height=8,
        size_bytes=path.stat().st_size,
        has_alpha=False,
        path=str(path),
    )
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer before the body was read, and go on saying a byte at a time."""
        writer.write(HEAD % b"application/json")
        try:
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.01)
        except OSError:
            writer.close()
            ended.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, limit=1024) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        edit = replace(CALL, operation=Operation.EDIT, inputs=(photo,))
        async with (
            asyncio.timeout(PATIENCE_S),
            open_backend(url, timeouts=SHORT, transport={"stalled_s": 0.3}) as backend,
        ):
            failure = failed(await backend.make(edit, Watched()))
            await ended.wait()

    assert (failure.kind, failure.billing) == (FailureKind.TIMED_OUT, Billing.UNKNOWN)


async def test_an_image_that_a_stream_had_finished_is_kept() -> None:
    async def act(slow: Slow, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD % b"text/event-stream")
        event = {"type": "image_generation.completed", "b64_json": IMAGE}
        writer.write(b"data: " + orjson.dumps(event) + b"\n\n")

    async with run_slow(act) as slow:
        made = await make(slow, replace(CALL, n=2, partial_images=1))

    assert isinstance(made, CallMade)
    assert [image.data for image in made.images] == [b"image"]


@pytest.mark.parametrize(
    ("quality", "is_long"), [("high", True), ("low", False), ("auto", False), (None, False), (7, False)]
)
async def test_each_quality_has_its_own_limit(quality: object, *, is_long: bool) -> None:
    """What takes longer than the limit of all others may take the time of `high`."""
    answered = asyncio.Event()

    async def act(slow: Slow, writer: asyncio.StreamWriter) -> None:
        body = orjson.dumps({"data": [{"b64_json": IMAGE}]})
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body))
        await asyncio.sleep(2 * LIMIT_S)
        writer.write(body)
        writer.close()
        answered.set()

    limits = Timeouts(read_s=0.1, call_s={"high": PATIENCE_S, "low": LIMIT_S, "default": LIMIT_S})
    async with run_slow(act) as slow:
        parameters = {} if quality is None else {"quality": quality}
        result = await make(slow, replace(CALL, parameters=parameters), limits)
        await answered.wait()

    assert isinstance(result, CallMade) == is_long


async def test_without_a_limit_only_silence_ends_a_call() -> None:
    async with run_slow(drip_json) as slow, open_backend(slow.url, timeouts=Timeouts(read_s=0.2)) as backend:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.6):
                await backend.make(CALL, Watched())
        await slow.gone.wait()

    assert slow.pieces > 1


def test_a_connection_may_be_lost_thrice_before_it_is_given_up() -> None:
    """Linux sends a first packet again after one, two and four more seconds."""
    assert Timeouts().connect_s > 1 + 2 + 4
    assert Timeouts().pool_s > Timeouts().connect_s
