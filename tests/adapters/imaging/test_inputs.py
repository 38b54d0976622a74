"""Inputs are judged by their headers, and edits keep the pixels that a mask covers."""

import io
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from service.adapters.imaging import pixels
from service.adapters.imaging.images import WorkerImages
from service.domain.images import Cutout, Finish, InputImage
from tests.http.house import file_of, mask_with_hole, noise

KINDS = ("PNG", "JPEG", "WEBP", "GIF")


def swapped_profile() -> bytes:
    """Return sRGB with the colorants of red and blue exchanged: every reader must heed it."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.index(b"rXYZ", 128), profile.index(b"bXYZ", 128)
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    return bytes(profile)


SWAPPED = swapped_profile()
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
        size=(finish.width or 0, finish.height or 0),
        kind="png",
        cutout=(cutout.image.path, cutout.mask.path) if cutout else None,
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
        (noise(8, 6), "BMP", ("bmp", 0, 0, False)),
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

    result = await imaging.finish(file_of(noise(64, seed=2)), finish, "person")

    assert (result.format, result.width, result.height) == ("png", 64, 64)
    assert opened(result.data).tobytes() == source.tobytes()


@pytest.mark.parametrize(
    "file", [b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<?xml version='1.0'?><svg/>"]
)
async def test_a_drawing_passes_unchanged_for_any_size(imaging: WorkerImages, file: bytes) -> None:
    """It has no pixels to resample; it was paid for, and must not be lost."""
    result = await imaging.finish(file, Finish(1024, 1024), "person")

    assert (result.data, result.format) == (file, "svg")


async def test_an_animation_keeps_its_frames(imaging: WorkerImages) -> None:
    frames = [noise(64, seed=seed) for seed in range(3)]
    file = file_of(frames[0], "GIF", save_all=True, append_images=frames[1:])

    result = await imaging.finish(file, Finish(32, 32), "person")

    moving = opened(result.data)
    assert (result.format, moving.size) == ("gif", (64, 64))
    assert getattr(moving, "n_frames", 1) == 3


def with_alpha(width: int, alpha: int, seed: int = 2) -> Image.Image:
    image = noise(width, seed=seed).convert("RGBA")
    image.putalpha(alpha)
    return image


def test_a_transparent_answer_stays_transparent(imaging: WorkerImages, tmp_path: Path) -> None:
    """`background=transparent` with a mask: where nothing is kept, the provider's transparency counts."""
    painted = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    finish = cut_out(imaging, tmp_path, noise(64), mask_with_hole(64), 64)

    result = opened(composite(file_of(painted), finish))

    assert result.mode == "RGBA"
    assert result.crop((32, 0, 64, 64)).getchannel("A").getextrema() == (0, 0)
    kept = (0, 0, 32, 64)
    assert result.crop(kept).tobytes() == noise(64).convert("RGBA").crop(kept).tobytes()


def test_kept_pixels_keep_their_transparency_in_a_transparent_answer(
    imaging: WorkerImages, tmp_path: Path
) -> None:
    source = with_alpha(64, 77, seed=1)
    finish = cut_out(imaging, tmp_path, source, mask_with_hole(64), 64)

    result = opened(composite(file_of(with_alpha(64, 3)), finish))

    assert result.crop((0, 0, 32, 64)).tobytes() == source.crop((0, 0, 32, 64)).tobytes()
    assert result.crop((32, 0, 64, 64)).tobytes() == with_alpha(64, 3).crop((32, 0, 64, 64)).tobytes()


def test_transparent_black_does_not_darken_what_blends_with_it(imaging: WorkerImages, tmp_path: Path) -> None:
    mask = Image.new("RGBA", (8, 8), (0, 0, 0, 128))
    finish = cut_out(imaging, tmp_path, Image.new("RGB", (8, 8), (200, 100, 50)), mask, 8)

    result = opened(composite(file_of(Image.new("RGBA", (8, 8), (0, 0, 0, 0))), finish))

    red, green, blue, alpha = result.getpixel((4, 4))  # type: ignore[misc]  # an RGBA pixel has four
    assert (abs(red - 200) <= 2, abs(green - 100) <= 2, abs(blue - 50) <= 2, alpha) == (True, True, True, 128)


def test_a_tall_image_is_blended_without_seams(imaging: WorkerImages, tmp_path: Path) -> None:
    source, mask = noise(16, 600), mask_with_hole(16, 600)
    image = spool(imaging, tmp_path, file_of(source))
    finish = Finish(16, 600, Cutout(image, spool(imaging, tmp_path, file_of(mask), "mask")))

    result = opened(composite(file_of(noise(16, 600, seed=2)), finish))

    assert result.tobytes() == Image.composite(source, noise(16, 600, seed=2), mask.getchannel("A")).tobytes()


@pytest.mark.parametrize("level", [0, 1, 255, 256, 30_000, 65_535])
def test_a_deep_grey_mask_is_transparent_at_its_level(
    imaging: WorkerImages, tmp_path: Path, level: int
) -> None:
    """Its tRNS chunk names one of 65,536 greys."""
    covered, free = ((level + 256) % 65_536).to_bytes(2, "little"), level.to_bytes(2, "little")
    mask = Image.frombytes("I;16", (64, 64), (covered * 32 + free * 32) * 64)
    image = spool(imaging, tmp_path, file_of(noise(64)))
    file = file_of(mask, transparency=level)
    finish = Finish(64, 64, Cutout(image, spool(imaging, tmp_path, file, "mask")))

    result = opened(composite(file_of(noise(64, seed=2)), finish))

    assert result.crop((0, 0, 32, 64)).tobytes() == noise(64).crop((0, 0, 32, 64)).tobytes()
    assert result.crop((32, 0, 64, 64)).tobytes() == noise(64, seed=2).crop((32, 0, 64, 64)).tobytes()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_resampling_keeps_the_colour_profile(kind: str) -> None:
    file = file_of(noise(64), kind, icc_profile=SWAPPED)

    result = pixels.finish(file, size=(32, 32), kind=kind)

    assert opened(result).info["icc_profile"] == SWAPPED


def test_a_composite_has_the_profile_of_the_pixels_it_keeps(imaging: WorkerImages, tmp_path: Path) -> None:
    """The provider's pixels are translated into it, and look as before."""
    image = spool(imaging, tmp_path, file_of(noise(64), icc_profile=SWAPPED))
    finish = Finish(64, 64, Cutout(image, spool(imaging, tmp_path, file_of(mask_with_hole(64)), "mask")))

    result = opened(composite(file_of(Image.new("RGB", (64, 64), (200, 30, 60))), finish))

    assert result.info["icc_profile"] == SWAPPED
    assert result.crop((0, 0, 32, 64)).tobytes() == noise(64).crop((0, 0, 32, 64)).tobytes()
    shown = ImageCms.profileToProfile(
        result, ImageCms.ImageCmsProfile(io.BytesIO(SWAPPED)), ImageCms.createProfile("sRGB")
    )
    assert shown is not None
    assert all(abs(a - b) <= 3 for a, b in zip(shown.getpixel((50, 5)), (200, 30, 60), strict=True))  # type: ignore[arg-type]  # a triple


def test_a_broken_profile_is_no_reason_to_lose_an_image(imaging: WorkerImages, tmp_path: Path) -> None:
    image = spool(imaging, tmp_path, file_of(noise(64), icc_profile=b"no profile"))
    finish = Finish(64, 64, Cutout(image, spool(imaging, tmp_path, file_of(mask_with_hole(64)), "mask")))

    result = opened(composite(file_of(noise(64, seed=2)), finish))

    assert "icc_profile" not in result.info
    assert result.crop((0, 0, 32, 64)).tobytes() == noise(64).crop((0, 0, 32, 64)).tobytes()


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_the_asked_compression_decides_the_size(kind: str) -> None:
    file = file_of(noise(256).resize((512, 512)), kind, quality=100)

    sizes = [
        len(pixels.finish(file, size=(256, 256), kind=kind, compression=compression))
        for compression in (0, 50, 90, None)
    ]

    assert sizes == sorted(sizes)
    assert sizes[3] > 2 * sizes[1]
