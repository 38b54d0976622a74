"""ImageFinisher: headers read without decoding, pixels only in workers, and bombs that do not go off."""

import asyncio
import contextlib
import io
import os
import signal
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from service.adapters.imaging import pixels
from service.adapters.imaging.headers import read_header
from service.adapters.imaging.images import MAX_PIXELS, WorkerImages, judge
from service.adapters.imaging.segments import MOST_SEGMENTS
from service.domain.images import ContentCredentials, Finish
from service.ports.imaging import FinishedImage, ImageBroken
from service.sandbox.painting.watermark import Watermark, draw_watermark, read_watermark
from tests.adapters.imaging.test_content_credentials import padded, with_png_chunk
from tests.fakes.telemetry import FakeTelemetry

MARK = Watermark(order_hash="0123456789abcdef", serial=77)


def file_of(image: Image.Image, name: str = "PNG") -> bytes:
    target = io.BytesIO()
    image.save(target, name)
    return target.getvalue()


def resample(file: bytes, width: int, height: int) -> bytes:
    return pixels.finish(file, size=(width, height), kind=read(file).format)


def marked(width: int, height: int, name: str = "PNG") -> bytes:
    """Return an image like the sandbox's: grey, with its mark."""
    canvas = Image.new("L", (width, height), 128)
    draw_watermark(canvas, MARK, light=255, dark=0)
    return file_of(canvas.convert("RGB"), name)


def png_claiming(width: int, height: int) -> bytes:
    """Return a PNG of a few bytes whose header claims *width* x *height*."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(b"")), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def size_of(file: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(file)) as image:
        image.load()
        return image.size


def read(data: bytes) -> FinishedImage:
    return judge(data, read_header(data))


@pytest.mark.parametrize(("name", "known"), [("PNG", "png"), ("JPEG", "jpeg"), ("WEBP", "webp")])
def test_an_image_has_its_format_and_size(name: str, known: str) -> None:
    file = marked(320, 200, name)

    result = read(file)

    assert (result.data, result.format, result.width, result.height) == (file, known, 320, 200)


@pytest.mark.parametrize("name", ["BMP", "TIFF", "ICO", "PPM", "PDF"])
def test_other_formats_have_no_header(name: str) -> None:
    with pytest.raises(ImageBroken):
        read(file_of(Image.new("RGB", (64, 64)), name))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        b"\x89PNG",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\x00\x00\x00\x00WEBP",
        b"\xff\xd8\xff",
        b"%PDF-1.7",
    ],
)
def test_bytes_that_are_no_image_are_broken(data: bytes) -> None:
    with pytest.raises(ImageBroken):
        read(data)


@pytest.mark.parametrize(
    ("width", "height"), [(30_000, 30_000), (2**31 - 1, 1), (10_000, 10_000), (MAX_PIXELS + 1, 1), (0, 0)]
)
def test_a_bomb_is_known_by_its_header(width: int, height: int) -> None:
    started_s = time.process_time()

    with pytest.raises(ImageBroken):
        read(png_claiming(width, height))

    assert time.process_time() - started_s < 0.5


def test_the_largest_image_of_a_model_is_not_refused() -> None:
    assert read(png_claiming(3840, 2160)).width == 3840


def test_an_image_with_several_frames_is_judged_like_any_other() -> None:
    """Some phones' JPEG files hold a second image, and Pillow has another name for those."""
    first, second = Image.new("RGB", (64, 64)), Image.new("RGB", (64, 64), "red")
    target = io.BytesIO()
    first.save(target, "MPO", save_all=True, append_images=[second])

    try:
        result = read(target.getvalue())
    except ImageBroken:
        return

    assert result.format == "jpeg"


WHOLE = marked(64, 64)


@settings(deadline=None, max_examples=300)
@given(
    st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=6),
    st.integers(0, len(WHOLE)),
)
def test_no_bytes_do_more_than_be_refused(changes: list[tuple[int, int]], length: int) -> None:
    data = bytearray(WHOLE)
    for place, value in changes:
        data[place] = value

    try:
        result = read(bytes(data[:length]))
    except ImageBroken:
        return

    assert result.width * result.height <= MAX_PIXELS


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("size", [256, 512])
def test_resampling_keeps_format_and_content(name: str, size: int) -> None:
    small = resample(marked(1024, 1024, name), size, size)

    assert size_of(small) == (size, size)
    assert read(small).format == name.lower()
    assert read_watermark(small) == MARK


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_kind_of_pixel_can_be_resampled(mode: str) -> None:
    assert size_of(resample(file_of(Image.new(mode, (128, 128))), 64, 64)) == (64, 64)


def test_transparency_stays() -> None:
    half = Image.new("RGBA", (128, 128), (255, 0, 0, 255))
    half.paste((0, 0, 0, 0), (0, 0, 128, 64))

    with Image.open(io.BytesIO(resample(file_of(half), 64, 64))) as image:
        assert [image.getchannel("A").getpixel((32, y)) for y in (8, 56)] == [0, 255]


def test_another_shape_keeps_the_middle() -> None:
    wide = Image.new("RGB", (400, 100), "white")
    wide.paste("red", (150, 0, 250, 100))

    with Image.open(io.BytesIO(resample(file_of(wide), 100, 100))) as image:
        assert [image.getpixel(place) for place in ((5, 50), (50, 50), (94, 50))] == [(255, 0, 0)] * 3


@pytest.mark.parametrize("finish", [None, Finish(1024, 1024)])
async def test_an_image_of_the_right_size_is_not_changed(
    imaging: WorkerImages, finish: Finish | None
) -> None:
    """Nor is a process started for it."""
    file = marked(1024, 1024)
    before = workers()

    result = await imaging.finish(file, finish, "person")

    assert result.data is file
    assert workers() <= before


async def test_an_image_of_another_size_is_resampled_in_a_worker(imaging: WorkerImages) -> None:
    result = await imaging.finish(marked(1024, 1024), Finish(256, 256), "person")

    assert (result.format, result.width, result.height) == ("png", 256, 256)
    assert size_of(result.data) == (256, 256)
    assert read_watermark(result.data) == MARK
    assert workers()


async def test_the_loop_is_not_blocked_while_an_image_is_resampled(imaging: WorkerImages) -> None:
    await imaging.finish(marked(64, 64), Finish(32, 32), "person")
    turns = 0

    async with asyncio.TaskGroup() as group:
        working = group.create_task(imaging.finish(marked(3840, 2160), Finish(1920, 1080), "person"))
        while not working.done():
            await asyncio.sleep(0.005)
            turns += 1

    # Resampling takes hundreds of milliseconds; in the loop it would leave time for one or two turns.
    assert turns > 10


async def test_an_incomplete_image_is_broken_and_the_next_is_not(imaging: WorkerImages) -> None:
    file = marked(1024, 1024)

    with pytest.raises(ImageBroken):
        await imaging.finish(file[: len(file) // 2], Finish(256, 256), "person")

    assert (await imaging.finish(file, Finish(256, 256), "person")).width == 256


async def test_an_image_survives_the_death_of_its_worker(imaging: WorkerImages) -> None:
    """The kernel kills a process that takes too much memory, and not always the guilty one."""
    file = marked(1024, 1024)
    await imaging.finish(file, Finish(256, 256), "person")
    for pid in workers():
        os.kill(pid, signal.SIGKILL)

    assert (await imaging.finish(file, Finish(256, 256), "person")).width == 256


def png_of_two_sizes() -> bytes:
    """Return a PNG whose first header is harmless; decoders believe the second."""
    whole = marked(64, 64)
    return whole[:33] + png_claiming(60_000, 60_000)[8:33] + whole[33:]


def jpeg_of_two_sizes() -> bytes:
    """Return a JPEG with a second frame of 60000 x 60000."""
    whole = marked(64, 64, "JPEG")
    start = whole.index(b"\xff\xc0")
    end = start + 2 + int.from_bytes(whole[start + 2 : start + 4])
    frame = whole[start : start + 5] + struct.pack(">HH", 60_000, 60_000) + whole[start + 9 : end]
    return whole[:end] + frame + whole[end:]


def png_with_an_empty_profile() -> bytes:
    """Return a PNG with a colour profile behind its pixels that ends after its name: an IndexError."""
    whole = marked(64, 64)
    return whole[:-12] + chunk(b"iCCP", b"name\0") + whole[-12:]


@pytest.mark.parametrize("make", [png_of_two_sizes, jpeg_of_two_sizes, png_with_an_empty_profile])
async def test_an_image_is_broken_if_its_decoder_raises_anything(
    imaging: WorkerImages, make: Callable[[], bytes]
) -> None:
    file = make()
    with pytest.raises(ImageBroken):
        await imaging.finish(file, Finish(32, 32), "person")

    assert (await imaging.finish(marked(64, 64), Finish(32, 32), "person")).width == 32


async def test_an_input_is_broken_if_its_decoder_raises_anything(
    imaging: WorkerImages, tmp_path: Path
) -> None:
    path = tmp_path / "input"
    path.write_bytes(png_with_an_empty_profile())
    image = imaging.read_input("image", str(path), "0" * 64, path.stat().st_size)

    with pytest.raises(ImageBroken):
        await imaging.check_transparency(image, "caller")


async def test_workers_end_with_their_owner() -> None:
    imaging = WorkerImages(telemetry=FakeTelemetry())
    await imaging.finish(marked(128, 128), Finish(64, 64), "person")
    alive = workers()
    assert alive

    await imaging.aclose()

    deadline_s = time.monotonic() + 5
    while workers() & alive and time.monotonic() < deadline_s:  # noqa: ASYNC110 - a process tells nobody
        await asyncio.sleep(0.02)
    assert not workers() & alive


def workers() -> set[int]:
    """Return the processes of pools that live."""
    children = psutil.Process().children(recursive=True)
    found = set()
    for child in children:
        try:
            if "imaging.worker" in " ".join(child.cmdline()):
                found.add(child.pid)
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return found


def test_a_header_is_read_without_a_trace_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    read(marked(64, 64))

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP"])
def test_a_truncated_image_is_broken(name: str) -> None:
    """Its header is valid; only its end is missing."""
    whole = file_of(Image.effect_noise((256, 256), 90).convert("RGB"), name)

    with pytest.raises(ImageBroken):
        read(whole[: len(whole) // 2])


@pytest.mark.parametrize("padding", [b"\xff" * 300_000, b"\xff\xfe\x00\x02" * (MOST_SEGMENTS + 1)])
async def test_a_jpeg_that_is_mostly_padding_is_kept(imaging: WorkerImages, padding: bytes) -> None:
    """It is paid for, so all of it is walked."""
    whole = marked(64, 48, "JPEG")
    file = whole[:2] + padding + whole[2:]

    result = await imaging.finish(file, None, "person")

    assert (result.data, result.format, result.width, result.height) == (file, "jpeg", 64, 48)


async def test_a_crowded_head_is_walked_in_parts(imaging: WorkerImages) -> None:
    """Other tasks run in between, and no worker is needed."""
    whole, before, turns = marked(64, 48, "JPEG"), workers(), 0
    file = whole[:2] + b"\xff\xfe\x00\x02" * (20 * MOST_SEGMENTS) + whole[2:]

    async with asyncio.TaskGroup() as group:
        reading = group.create_task(imaging.finish(file, None, "person"))
        while not reading.done():
            await asyncio.sleep(0)
            turns += 1

    assert (reading.result().width, reading.result().height) == (64, 48)
    assert turns >= 20
    assert workers() <= before


async def test_a_jpeg_of_nothing_but_padding_is_broken(imaging: WorkerImages) -> None:
    with pytest.raises(ImageBroken):
        await imaging.finish(b"\xff\xd8" + b"\xff\x01" * (MOST_SEGMENTS + 1) + b"\xff\xd9", None, "person")


async def test_a_million_empty_chunks_are_not_looked_at(imaging: WorkerImages) -> None:
    """Its size is in the first chunk."""
    whole, empty = marked(64, 48), b"\x00\x00\x00\x00prVt" + zlib.crc32(b"prVt").to_bytes(4)
    file = whole[:33] + empty * 1_000_000 + whole[33:]
    before = workers()

    result = await imaging.finish(file, None, "person")

    assert (result.data, result.width, result.height) == (file, 64, 48)
    assert workers() <= before


@pytest.mark.parametrize(
    ("file", "credentials"),
    [
        (with_png_chunk(), ContentCredentials.KEPT),
        (file_of(Image.new("RGB", (64, 64))), ContentCredentials.NONE),
        (padded(with_png_chunk(), "PNG", MOST_SEGMENTS + 1), ContentCredentials.UNKNOWN),
    ],
)
async def test_untouched_bytes_keep_their_credentials(file: bytes, credentials: ContentCredentials) -> None:
    async with contextlib.aclosing(WorkerImages(telemetry=FakeTelemetry())) as images:
        finished = await images.finish(file, None, "person")

    assert (finished.data, finished.credentials) == (file, credentials)


async def test_new_pixels_lose_the_credentials_of_the_old() -> None:
    async with contextlib.aclosing(WorkerImages(telemetry=FakeTelemetry())) as images:
        finished = await images.finish(with_png_chunk(), Finish(32, 32), "person")

    assert (finished.width, finished.height) == (32, 32)
    assert finished.credentials is ContentCredentials.LOST
