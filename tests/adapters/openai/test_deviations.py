"""Servers with an API of their own get masks and formats as they declare them."""

import asyncio
import email
import io
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from email.message import Message
from pathlib import Path
from typing import Any

import orjson
import pytest
from PIL import Image

from service.adapters.imaging.images import WorkerImages
from service.adapters.imaging.processes import Bounds
from service.adapters.openai.deviations import DeviatingBackend
from service.domain.failures import Billing, FailureKind
from service.domain.images import CallMade, ImageCall, InputImage, Operation
from service.ports.imaging import white_path
from tests.adapters.openai.conftest import Script, Watched, failed, open_backend
from tests.fakes.telemetry import FakeTelemetry
from tests.fakes.values import a_call
from tests.http.house import file_of, mask_with_hole, noise

ANSWER = orjson.dumps({"created": 1, "data": [{"b64_json": "aW1hZ2U="}]})


@asynccontextmanager
async def deviating(script: Script, **deviations: Any) -> AsyncIterator[DeviatingBackend]:
    script.answer(200, ANSWER, "content-type: application/json", "connection: close")
    async with open_backend(script.url) as backend:
        yield DeviatingBackend(backend, **deviations)


def spooled(directory: Path, image: Image.Image, role: str = "image") -> InputImage:
    path = directory / role
    path.write_bytes(file_of(image))
    return InputImage(
        role=role,
        digest="digest",
        format="png",
        width=image.width,
        height=image.height,
        size_bytes=path.stat().st_size,
        has_alpha="A" in image.mode,
        path=str(path),
    )


def an_edit(*inputs: InputImage, **override: Any) -> ImageCall:
    return a_call(operation=Operation.EDIT, inputs=inputs, holder="team", **override)


def files_of(request: bytes) -> dict[str, bytes]:
    """Return the files of a multipart request by their fields."""
    _, _, rest = request.partition(b"\r\n")
    message: Message = email.message_from_bytes(rest)
    parts = [part for part in message.walk() if part.get_filename()]
    fields = [str(part.get_param("name", header="content-disposition")) for part in parts]
    assert len(fields) == len(set(fields))
    return dict(zip(fields, [bytes(part.get_payload(decode=True) or b"") for part in parts], strict=True))


def opened(file: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(file))
    image.load()
    return image


async def test_the_mask_is_sent_white_where_it_is_transparent(
    script: Script, imaging: WorkerImages, tmp_path: Path
) -> None:
    image, mask = spooled(tmp_path, noise(64)), spooled(tmp_path, mask_with_hole(64), "mask")
    progress = Watched()

    async with deviating(script, masks=imaging) as backend:
        made = await backend.make(an_edit(mask, image), progress)

    assert isinstance(made, CallMade)
    assert len(progress.sent_at_s) == 1
    files = files_of(script.requests[0])
    assert set(files) == {"image", "mask"}
    assert opened(files["image"]).tobytes() == noise(64).tobytes()
    white = opened(files["mask"])
    assert (white.format, white.mode, white.size) == ("PNG", "L", (64, 64))
    assert [white.getpixel((x, 9)) for x in (0, 31, 32, 63)] == [0, 0, 255, 255]


async def test_a_call_without_a_mask_is_sent_as_it_is(
    script: Script, imaging: WorkerImages, tmp_path: Path
) -> None:
    image = spooled(tmp_path, mask_with_hole(64))

    async with deviating(script, masks=imaging, masked_by_alpha={"dall-e-2"}) as backend:
        await backend.make(an_edit(image), Watched())
        await backend.make(a_call(model="dall-e-2"), Watched())

    assert set(files_of(script.requests[0])) == {"image"}
    assert b"POST /v1/images/generations" in script.requests[1]
    assert not white_path(image.path).exists()


async def test_an_image_that_is_its_own_mask_gets_a_white_one(
    script: Script, imaging: WorkerImages, tmp_path: Path
) -> None:
    image = spooled(tmp_path, mask_with_hole(64))

    async with deviating(script, masks=imaging, masked_by_alpha={"dall-e-2"}) as backend:
        await backend.make(an_edit(image, model="dall-e-2"), Watched())

    files = files_of(script.requests[0])
    assert set(files) == {"image", "mask"}
    assert opened(files["image"]).mode == "RGBA"
    assert opened(files["mask"]).tobytes() == bytes([0] * 32 + [255] * 32) * 64


async def test_calls_of_an_order_send_one_white_mask(
    script: Script, imaging: WorkerImages, tmp_path: Path
) -> None:
    image, mask = spooled(tmp_path, noise(64)), spooled(tmp_path, mask_with_hole(64), "mask")

    async with deviating(script, masks=imaging) as backend:
        await backend.make(an_edit(image, mask), Watched())
        written_ns = white_path(mask.path).stat().st_mtime_ns
        await backend.make(an_edit(image, mask), Watched())

    first, second = [files_of(request)["mask"] for request in script.requests]
    assert first == second
    assert white_path(mask.path).stat().st_mtime_ns == written_ns


async def test_a_broken_mask_is_refused_and_nothing_is_sent(
    script: Script, imaging: WorkerImages, tmp_path: Path
) -> None:
    image, mask = spooled(tmp_path, noise(64)), spooled(tmp_path, mask_with_hole(64), "mask")
    (tmp_path / "mask").write_bytes(b"\x89PNG\r\n\x1a\n")
    progress = Watched()

    async with deviating(script, masks=imaging) as backend:
        failure = failed(await backend.make(an_edit(image, mask), progress))

    assert (failure.kind, failure.billing, failure.param) == (
        FailureKind.INVALID,
        Billing.NOT_BILLED,
        "mask",
    )
    assert (script.requests, progress.sent_at_s) == ([], [])


async def test_a_mask_for_which_no_worker_has_time_is_not_sent(script: Script, tmp_path: Path) -> None:
    imaging = WorkerImages(telemetry=FakeTelemetry(), checking=Bounds(workers=1, waiting=0))
    image, mask = spooled(tmp_path, noise(64)), spooled(tmp_path, mask_with_hole(64), "mask")
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    async with deviating(script, masks=imaging) as backend, asyncio.TaskGroup() as group:
        # It waits for ever: the pipe has no writer.
        busy = group.create_task(imaging.check_transparency(replace(mask, path=str(pipe)), "another"))
        await asyncio.sleep(0)
        failure = failed(await backend.make(an_edit(image, mask), Watched()))
        busy.cancel()
    await imaging.aclose()

    assert (failure.kind, failure.billing) == (FailureKind.NOT_SENT, Billing.NOT_BILLED)
    assert script.requests == []


@pytest.mark.parametrize(
    ("asked", "sent"),
    [
        ({}, {}),
        ({"output_format": "webp", "output_compression": 50}, {}),
        (
            {"output_format": "jpeg", "output_compression": 50},
            {"output_format": "jpeg", "output_compression": 50},
        ),
    ],
    ids=["nothing", "another", "its own"],
)
async def test_a_server_of_one_format_is_asked_for_no_other(
    script: Script, asked: dict[str, Any], sent: dict[str, Any]
) -> None:
    progress = Watched()
    async with deviating(script, makes="jpeg") as backend:
        await backend.make(a_call(parameters={"quality": "low", **asked}), progress)

    assert len(progress.sent_at_s) == 1
    body = orjson.loads(script.requests[0].partition(b"\r\n\r\n")[2])
    assert {name: body[name] for name in body if name.startswith("output_")} == sent
    assert body["quality"] == "low"


async def test_stages_are_shown_in_the_format_they_have(script: Script) -> None:
    shown = list[dict[str, str]]()

    class Shown(Watched):
        def show(self, number: int, data: bytes, resolved: Any) -> None:
            shown.append(dict(resolved))

    event = orjson.dumps(
        {
            "type": "image_generation.partial_image",
            "partial_image_index": 0,
            "b64_json": "aW1hZ2U=",
            "size": "1024x1024",
        }
    )
    async with deviating(script, makes="jpeg") as backend:
        script.begin_stream(
            b"event: image_generation.partial_image\ndata: " + event + b"\n\n", holds_on=False
        )
        await backend.make(a_call(partial_images=1), Shown())

    assert shown == [{"size": "1024x1024", "output_format": "jpeg"}]
