"""Edits sent as JSON: their images are read while the body is sent."""

import asyncio
import base64
import hashlib
import random
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import orjson
import pytest

from service.domain.images import CallMade, ImageCall, InputImage
from tests.adapters.openai.conftest import CALL, Watched, make_call, open_backend, run_script

GOOD = orjson.dumps({"created": 1, "data": [{"b64_json": base64.b64encode(b"image").decode()}]})
LARGE = 6 * 1024 * 1024
CALLS = 10


def an_input(path: Path, size: int, role: str = "image") -> InputImage:
    data = random.Random(size).randbytes(size)
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    return InputImage(
        role=role,
        digest=digest,
        format="png",
        width=8,
        height=8,
        size_bytes=size,
        has_alpha=False,
        path=str(path),
    )


def an_edit(*inputs: InputImage) -> ImageCall:
    return replace(CALL, parameters={"moderation": "low"}, inputs=inputs)


def url_of(entry: InputImage) -> str:
    return f"data:image/png;base64,{base64.b64encode(Path(entry.path).read_bytes()).decode()}"


def body_of(request: bytes) -> bytes:
    return request.partition(b"\r\n\r\n")[2]


@dataclass(slots=True)
class Gathering:
    """The requests that a provider read piece by piece: their heads, and the size and SHA-256 of their bodies."""

    url: str = ""
    heads: list[bytes] = field(default_factory=list)
    bodies: set[tuple[int, str]] = field(default_factory=set)


@asynccontextmanager
async def run_gathering(calls: int) -> AsyncIterator[Gathering]:
    """Run a provider that reads a body only when the heads of all *calls* have come."""
    gathering, all_here = Gathering(), asyncio.Barrier(calls)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        gathering.heads.append((await reader.readuntil(b"\r\n\r\n")).lower())
        await all_here.wait()
        length = left = int(gathering.heads[-1].partition(b"content-length: ")[2].split(b"\r\n")[0])
        digest = hashlib.sha256()
        while left and (piece := await reader.read(min(left, 65536))):
            digest.update(piece)
            left -= len(piece)
        gathering.bodies.add((length - left, digest.hexdigest()))
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(GOOD) + GOOD)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        gathering.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        yield gathering


@pytest.mark.parametrize("size", [1, 2, 3, 196_607, 196_608, 196_609, 500_000])
async def test_inputs_are_data_urls(tmp_path: Path, size: int) -> None:
    """Whole and broken pieces of an image are one base64 text."""
    image = an_input(tmp_path / "image", size)

    async with run_script() as script:
        script.answer(200, GOOD)
        result = await make_call(script.url, an_edit(image))

    assert isinstance(result, CallMade), result
    [request] = script.requests
    assert b"transfer-encoding" not in request.lower()
    assert b"\r\ncontent-type: application/json\r\n" in request.lower()
    assert orjson.loads(body_of(request)) == {
        "model": "gpt-image-2",
        "prompt": "a heron",
        "n": 1,
        "moderation": "low",
        "safety_identifier": "hash-of-ann",
        "images": [{"image_url": url_of(image)}],
    }


async def test_several_images_and_a_mask_are_sent_by_role(tmp_path: Path) -> None:
    first, mask, second = (
        an_input(tmp_path / "first", 100),
        an_input(tmp_path / "mask", 101, "mask"),
        an_input(tmp_path / "second", 102),
    )

    async with run_script() as script:
        script.answer(200, GOOD)
        await make_call(script.url, an_edit(first, mask, second, first))

    sent = orjson.loads(body_of(script.requests[0]))
    assert sent["images"] == [{"image_url": url_of(each)} for each in (first, second, first)]
    assert sent["mask"] == {"image_url": url_of(mask)}


async def test_a_repeated_call_sends_the_whole_body_again(tmp_path: Path) -> None:
    edit = an_edit(an_input(tmp_path / "image", 400_000))

    async with run_script() as script, open_backend(script.url) as backend:
        script.answer(503, b"{}", "connection: close")
        await backend.make(edit, Watched())
        script.answer(200, GOOD)
        result = await backend.make(edit, Watched())

    assert isinstance(result, CallMade), result
    first, second = script.requests
    assert body_of(first) == body_of(second)


async def test_calls_at_once_hold_a_piece_of_an_image_each(tmp_path: Path) -> None:
    edit = an_edit(an_input(tmp_path / "image", LARGE))
    async with run_script() as script:
        script.answer(200, GOOD)
        await make_call(script.url, edit)
    body = body_of(script.requests.pop())

    async with (
        run_gathering(CALLS) as provider,
        open_backend(provider.url, transport={"connections": CALLS}) as backend,
    ):
        tracemalloc.start()
        try:
            async with asyncio.TaskGroup() as group:
                calls = [group.create_task(backend.make(edit, Watched())) for _ in range(CALLS)]
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    assert all(isinstance(call.result(), CallMade) for call in calls)
    assert provider.bodies == {(len(body), hashlib.sha256(body).hexdigest())}
    assert peak < CALLS * len(body) / 4
