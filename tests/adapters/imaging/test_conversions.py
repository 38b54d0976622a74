"""Images and masks in another form, for backends that make one format only, or repaint what is white."""

import asyncio
from pathlib import Path

import pytest
from PIL import Image

from service.adapters.imaging.images import WorkerImages
from service.adapters.imaging.processes import Bounds
from service.domain.images import ContentCredentials, Cutout, Finish, InputImage
from service.ports.imaging import ImageBroken, white_path
from service.ports.telemetry import ImageUnprocessed
from tests.adapters.imaging.test_content_credentials import with_png_chunk
from tests.adapters.imaging.test_images import png_claiming
from tests.adapters.imaging.test_inputs import opened, spool
from tests.fakes.telemetry import FakeTelemetry
from tests.http.house import file_of, mask_with_hole, noise

KINDS = ("PNG", "JPEG", "WEBP")


def bytes_of(image: InputImage) -> bytes:
    return Path(image.path).read_bytes()


def identity_of(image: InputImage) -> tuple[str, int, int]:
    """Return the place of the file and the time at which it was written."""
    state = Path(image.path).stat()
    return image.path, state.st_ino, state.st_mtime_ns


def names_in(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


@pytest.mark.parametrize("made", KINDS)
@pytest.mark.parametrize("asked", KINDS)
async def test_an_image_is_converted_to_the_asked_format(
    imaging: WorkerImages, made: str, asked: str
) -> None:
    file = file_of(noise(8).resize((64, 48)), made)

    result = await imaging.finish(file, Finish(format=asked.lower()), "person")

    assert (result.format, result.width, result.height) == (asked.lower(), 64, 48)
    assert (opened(result.data).format, opened(result.data).size) == (asked, (64, 48))
    assert (result.data == file) is (made == asked)
    before, after = (
        opened(each).convert("RGB").resize((1, 1), Image.Resampling.BOX) for each in (file, result.data)
    )
    assert all(abs(a - b) <= 3 for a, b in zip(before.tobytes(), after.tobytes(), strict=True))


async def test_the_finish_plan_is_kept_when_an_image_is_converted(
    imaging: WorkerImages, tmp_path: Path
) -> None:
    source = noise(64)
    cutout = Cutout(
        spool(imaging, tmp_path, file_of(source)),
        spool(imaging, tmp_path, file_of(mask_with_hole(64)), "mask"),
    )

    result = await imaging.finish(
        file_of(noise(128, seed=2), "JPEG"), Finish(64, 64, cutout, format="png"), "person"
    )

    assert (result.format, result.width, result.height) == ("png", 64, 64)
    assert opened(result.data).crop((0, 0, 32, 64)).tobytes() == source.crop((0, 0, 32, 64)).tobytes()


@pytest.mark.parametrize("asked", ["jpeg", "webp"])
async def test_the_asked_compression_applies_to_a_converted_image(imaging: WorkerImages, asked: str) -> None:
    file = file_of(noise(256).resize((512, 512)))

    coarse, fine = [
        (await imaging.finish(file, Finish(format=asked, compression=compression), "person")).data
        for compression in (20, None)
    ]

    assert len(fine) > 3 * len(coarse)


def white_in(mode: str) -> bytes:
    """Return a PNG that is seen as white, on white paper."""
    if mode in ("RGBA", "LA"):
        return file_of(Image.new(mode, (32, 32)))
    if mode == "P":
        red = Image.new("RGB", (32, 32), "red").convert("P")
        return file_of(red, transparency=red.getpixel((0, 0)))
    return file_of(Image.new(mode, (32, 32), 65_535 if mode == "I;16" else 1))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "1", "I;16"])
async def test_any_png_becomes_a_jpeg_on_white(imaging: WorkerImages, mode: str) -> None:
    result = await imaging.finish(white_in(mode), Finish(format="jpeg"), "person")

    assert result.format == "jpeg"
    assert opened(result.data).convert("RGB").getpixel((9, 9)) == (255, 255, 255)


async def test_credentials_of_a_converted_image_are_lost(imaging: WorkerImages) -> None:
    signed = with_png_chunk()

    as_made = await imaging.finish(signed, Finish(format="png"), "person")
    converted = await imaging.finish(signed, Finish(format="webp"), "person")

    assert as_made.credentials is ContentCredentials.KEPT
    assert converted.credentials is ContentCredentials.LOST


async def test_an_image_that_cannot_be_converted_is_delivered_as_it_was_made() -> None:
    telemetry = FakeTelemetry()
    imaging = WorkerImages(telemetry=telemetry, finishing=Bounds(workers=1, job_s=0))
    file = file_of(noise(64), "JPEG")

    result = await imaging.finish(file, Finish(format="png"), "person")
    await imaging.aclose()

    assert (result.data, result.format) == (file, "jpeg")
    assert ImageUnprocessed(origin="provider", reason="timed_out") in telemetry.facts


async def test_an_animation_and_a_drawing_stay_what_they_are(imaging: WorkerImages) -> None:
    moving, drawing = file_of(noise(64).convert("P"), "GIF"), b"<svg xmlns='http://www.w3.org/2000/svg'/>"

    results = [await imaging.finish(each, Finish(format="png"), "person") for each in (moving, drawing)]

    assert [(each.data, each.format) for each in results] == [(moving, "gif"), (drawing, "svg")]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
async def test_a_mask_is_white_where_it_was_transparent(
    imaging: WorkerImages, tmp_path: Path, mode: str
) -> None:
    mask = mask_with_hole(64, 48)
    if mode == "P":
        # Two colours, of which the first is transparent.
        file = file_of(mask.getchannel("A").point([7] + [9] * 255).convert("P"), transparency=7)
    else:
        file = file_of(mask.convert(mode))
    spooled = spool(imaging, tmp_path, file, "mask")
    before = bytes_of(spooled)

    white = await imaging.whiten(spooled, "person")

    assert (white.role, white.format, white.width, white.height, white.has_alpha) == (
        "mask",
        "png",
        64,
        48,
        False,
    )
    painted = opened(bytes_of(white))
    assert (painted.format, painted.mode, painted.size) == ("PNG", "L", (64, 48))
    assert painted.crop((0, 0, 32, 48)).getextrema() == (0, 0)
    assert painted.crop((32, 0, 64, 48)).getextrema() == (255, 255)
    assert white.size_bytes == len(bytes_of(white))
    assert Path(white.path) == white_path(spooled.path)
    assert bytes_of(spooled) == before


async def test_partial_alpha_becomes_grey(imaging: WorkerImages, tmp_path: Path) -> None:
    mask = noise(64, mode="RGBA")

    white = await imaging.whiten(spool(imaging, tmp_path, file_of(mask), "mask"), "person")

    expected = bytes(255 - alpha for alpha in mask.getchannel("A").tobytes())
    assert opened(bytes_of(white)).tobytes() == expected


async def test_the_calls_of_an_order_make_a_mask_white_once(imaging: WorkerImages, tmp_path: Path) -> None:
    spooled = spool(imaging, tmp_path, file_of(mask_with_hole(64)), "mask")

    async def call() -> tuple[str, int, int]:
        return identity_of(await imaging.whiten(spooled, "person"))

    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(call()) for _ in range(5)]

    assert {each.result() for each in calls} == {await call()}
    assert names_in(tmp_path) == ["mask-0", "mask-0.white"]


async def test_a_cancelled_call_leaves_the_mask_to_the_next_one(
    imaging: WorkerImages, tmp_path: Path
) -> None:
    spooled = spool(imaging, tmp_path, file_of(mask_with_hole(2048)), "mask")
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(imaging.whiten(spooled, "person")) for _ in range(2)]
        await asyncio.sleep(0)
        calls[0].cancel()
    white = calls[1].result()

    assert calls[0].cancelled()
    assert opened(bytes_of(white)).getextrema() == (0, 255)
    assert names_in(tmp_path) == ["mask-0", "mask-0.white"]


@pytest.mark.parametrize(
    "file",
    [b"no image", png_claiming(64, 64), png_claiming(9000, 9000)],
    ids=["no image", "no pixels", "a bomb"],
)
async def test_a_mask_that_is_none_is_refused_and_leaves_nothing(
    imaging: WorkerImages, tmp_path: Path, file: bytes
) -> None:
    spooled = spool(imaging, tmp_path, file, "mask")
    (tmp_path / "mask-0.white.begun").write_bytes(b"of a worker that was killed")

    with pytest.raises(ImageBroken):
        await imaging.whiten(spooled, "person")

    assert names_in(tmp_path) == ["mask-0"]
