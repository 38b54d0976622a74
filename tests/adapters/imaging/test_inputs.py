"""Inputs are judged by their headers, and edits keep the pixels that a mask covers."""

import io
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from service.adapters.imaging import pixels
from service.adapters.imaging.images import WorkerImages
from service.domain.images import Cutout, Finish, InputImage
from tests.http.house import file_of, mask_with_hole, noise

KINDS = ("PNG", "JPEG", "WEBP", "GIF")
HEADERS = [file_of(noise(16), kind) for kind in KINDS]


def spool(imaging: WorkerImages, directory: Path, file: bytes, role: str = "image") -> InputImage:
    path = directory / f"{role}-{len(list(directory.iterdir()))}"
    path.write_bytes(file)
    return imaging.read_input(role, str(path), "digest", len(file))


def cut_out(
    imaging: WorkerImages, directory: Path, source: Image.Image, mask: Image.Image, size: int
) -> Finish:
    image = spool(imaging, directory, file_of(source))
    return Finish(size, size, Cutout(image, spool(imaging, directory, file_of(mask), "mask")))


def composite(data: bytes, finish: Finish) -> bytes:
    cutout = finish.cutout
    return pixels.finish(
        data,
        width=finish.width,
        height=finish.height,
        compression=None,
        image=cutout.image.path if cutout else None,
        mask=cutout.mask.path if cutout else None,
    )


def opened(file: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(file))
    image.load()
    return image


@pytest.mark.parametrize(
    ("image", "kind", "expected"),
    [
        (noise(8, 6), "PNG", ("png", 8, 6, False)),
        (noise(8, 6, mode="RGBA"), "PNG", ("png", 8, 6, True)),
        (noise(8, 6, mode="LA"), "PNG", ("png", 8, 6, True)),
        (noise(8, 6), "JPEG", ("jpeg", 8, 6, False)),
        (noise(8, 6, mode="RGBA"), "WEBP", ("webp", 8, 6, True)),
        (noise(8, 6), "WEBP", ("webp", 8, 6, False)),
        (noise(8, 6, mode="L"), "GIF", ("gif", 8, 6, False)),
        (noise(8, 6), "BMP", ("", 0, 0, False)),
    ],
)
def test_a_header_describes_the_input(
    imaging: WorkerImages, tmp_path: Path, image: Image.Image, kind: str, expected: tuple[object, ...]
) -> None:
    read = spool(imaging, tmp_path, file_of(image, kind))

    assert (read.format, read.width, read.height, read.has_alpha) == expected
    assert (read.role, read.digest) == ("image", "digest")


def test_a_palette_with_a_transparent_colour_has_alpha(imaging: WorkerImages, tmp_path: Path) -> None:
    palette = noise(8).convert("P")

    assert not spool(imaging, tmp_path, file_of(palette)).has_alpha
    assert spool(imaging, tmp_path, file_of(palette, transparency=0)).has_alpha


@given(st.data())
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_no_bytes_are_a_bug(imaging: WorkerImages, tmp_path: Path, data: st.DataObject) -> None:
    file = bytearray(data.draw(st.sampled_from(HEADERS)))
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, 120), st.integers(0, 255)), max_size=8)):
        file[place % len(file)] = value
    path = tmp_path / "fuzz"
    path.write_bytes(file[: data.draw(st.integers(0, len(file)))])

    read = imaging.read_input("image", str(path), "digest", 1)

    assert read.format in ("", "png", "jpeg", "webp", "gif")


@pytest.mark.parametrize("edge", [7_000, 10_000, 60_000])
def test_a_bomb_is_known_by_its_size_and_not_decoded(
    imaging: WorkerImages, tmp_path: Path, edge: int
) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", edge, edge, 8, 2, 0, 0, 0))
    file = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")

    read = spool(imaging, tmp_path, file)

    assert read.width * read.height > 40_000_000


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
def test_covered_pixels_are_those_of_the_input(imaging: WorkerImages, tmp_path: Path, mode: str) -> None:
    source = noise(64).convert(mode)
    finish = cut_out(imaging, tmp_path, source, mask_with_hole(64), 64)

    result = opened(composite(file_of(noise(128, seed=2)), finish))

    kept, free = (0, 0, 32, 64), (32, 0, 64, 64)
    expected = source.convert("RGBA").convert("RGB")
    assert result.mode == "RGB"
    assert result.crop(kept).tobytes() == expected.crop(kept).tobytes()
    painted = noise(128, seed=2).resize((64, 64), Image.Resampling.LANCZOS)
    assert result.crop(free).tobytes() == painted.crop(free).tobytes()


def test_sixteen_bits_of_grey_are_not_clipped_to_white(imaging: WorkerImages, tmp_path: Path) -> None:
    source = Image.new("I;16", (64, 64), 30_000)
    finish = cut_out(imaging, tmp_path, source, mask_with_hole(64), 64)

    result = opened(composite(file_of(noise(64, seed=2)), finish))

    assert result.getpixel((1, 1)) in ((116, 116, 116), (117, 117, 117))


@pytest.mark.parametrize("alpha", [0, 1, 64, 128, 254, 255])
def test_partial_alpha_blends_in_proportion(imaging: WorkerImages, tmp_path: Path, alpha: int) -> None:
    mask = Image.new("RGBA", (8, 8), (9, 9, 9, alpha))
    finish = cut_out(imaging, tmp_path, Image.new("RGB", (8, 8), (200, 0, 100)), mask, 8)

    result = opened(composite(file_of(Image.new("RGB", (8, 8), (0, 200, 100))), finish))

    kept = round(200 * alpha / 255)
    red, green, blue = result.getpixel((4, 4))  # type: ignore[misc]  # an RGB pixel is a triple
    assert abs(red - kept) <= 1
    assert abs(green - (200 - kept)) <= 1
    assert blue == 100


async def test_an_edit_of_the_right_size_is_composited_all_the_same(
    imaging: WorkerImages, tmp_path: Path
) -> None:
    source = noise(64)
    finish = cut_out(imaging, tmp_path, source, Image.new("RGBA", (64, 64), (0, 0, 0, 255)), 64)

    result = await imaging.finish(file_of(noise(64, seed=2)), finish)

    assert (result.format, result.width, result.height) == ("png", 64, 64)
    assert opened(result.data).tobytes() == source.tobytes()


@pytest.mark.parametrize(
    "file", [b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<?xml version='1.0'?><svg/>"]
)
async def test_a_drawing_passes_unchanged_for_any_size(imaging: WorkerImages, file: bytes) -> None:
    """It has no pixels to resample; it was paid for, and must not be lost."""
    result = await imaging.finish(file, Finish(1024, 1024))

    assert (result.data, result.format) == (file, "svg")


async def test_an_animation_keeps_its_frames(imaging: WorkerImages) -> None:
    frames = [noise(64, seed=seed) for seed in range(3)]
    file = file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])

    result = await imaging.finish(file, Finish(32, 32))

    moving = opened(result.data)
    assert (result.format, moving.size) == ("gif", (64, 64))
    assert getattr(moving, "n_frames", 1) == 3
