"""Format and pixels are read from where they stand, and nothing else has to be sound."""

import io
import struct
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from service.domain.headers import Header, read_crowded_header, read_header
from service.domain.segments import MOST_SEGMENTS, Crowded


def encoded(kind: str, mode: str = "RGB", size: tuple[int, int] = (320, 200), **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, kind, **options)
    return file.getvalue()


def decoded_size(file: bytes) -> tuple[int, int] | None:
    """Return the size of a picture whose pixels can all be decoded."""
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(file)) as image:
            image.load()
            return image.size
    except (OSError, ValueError, SyntaxError, LookupError, struct.error, Image.DecompressionBombError):
        return None


@pytest.mark.parametrize(
    ("file", "kind"),
    [
        (encoded("PNG"), "png"),
        (encoded("PNG", "P"), "png"),
        (encoded("JPEG"), "jpeg"),
        (encoded("JPEG", progressive=True, exif=b"Exif\x00\x00" + bytes(5000)), "jpeg"),
        (encoded("JPEG", "CMYK"), "jpeg"),
        (encoded("WEBP"), "webp"),
        (encoded("WEBP", lossless=True), "webp"),
        (encoded("WEBP", "RGBA"), "webp"),
        (encoded("WEBP", icc_profile=b"x" * 100), "webp"),
        (encoded("GIF"), "gif"),
    ],
)
def test_a_header_tells_format_and_size_of_every_variety(file: bytes, kind: str) -> None:
    with Image.open(io.BytesIO(file)) as image:
        assert image.size == (320, 200)

    assert read_header(file) == (kind, 320, 200)


@pytest.mark.parametrize("size", [(1, 1), (16383, 1), (1, 16383), (3840, 2160)])
@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\x00\x00"}])
def test_sizes_of_webp_are_right_to_the_last_bit(size: tuple[int, int], options: dict[str, Any]) -> None:
    assert read_header(encoded("WEBP", size=size, **options)) == ("webp", *size)


@pytest.mark.parametrize("data", [b"<svg>", b' \n<?xml version="1.0"?><svg/>', b"<SVG >"])
def test_a_drawing_has_no_pixels(data: bytes) -> None:
    assert read_header(data) == ("svg", 0, 0)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_header_that_is_cut_off_tells_nothing(kind: str) -> None:
    file = encoded(kind)
    whole = read_header(file)

    answers: set[Header | None] = {read_header(file[:end]) for end in range(len(file))}

    assert answers <= {None, whole}
    assert None in answers


def test_a_png_whose_header_is_damaged_tells_nothing() -> None:
    file = bytearray(encoded("PNG"))
    file[18] ^= 1

    assert read_header(bytes(file)) is None


def test_a_jpeg_that_is_crowded_before_its_frame_is_not_waited_for() -> None:
    file = encoded("JPEG")
    crowded = file[:2] + b"\xff\xfe\x00\x02" * (MOST_SEGMENTS + 1) + file[2:]

    with pytest.raises(Crowded):
        read_header(crowded)
    assert read_crowded_header(crowded) == ("jpeg", 320, 200)


STRAY = (b"\x00", bytes(16), b"text", b"\r\n", b"\xff\x00", b"\xff\x00x\xff\x00", b"\xff", b"\xff\x01")
"""What stands between the segments of some JPEGs; decoders warn of it and go on."""


def segment_ends(file: bytes) -> list[int]:
    """Return where the segments of a sound JPEG end, before its scan."""
    ends = [2]
    while file[ends[-1] + 1] != 0xDA:
        ends.append(ends[-1] + 2 + int.from_bytes(file[ends[-1] + 2 : ends[-1] + 4]))
    return ends


JPEGS = tuple(encoded("JPEG", size=(32, 20), progressive=is_progressive) for is_progressive in (False, True))


@pytest.mark.parametrize("stray", STRAY)
@pytest.mark.parametrize("file", JPEGS)
def test_stray_bytes_between_the_segments_of_a_jpeg_are_skipped(file: bytes, stray: bytes) -> None:
    for end in segment_ends(file):
        assert read_header(file[:end] + stray + file[end:]) == ("jpeg", 32, 20)


@given(
    st.sampled_from(JPEGS),
    st.lists(st.tuples(st.integers(2, 300), st.sampled_from(STRAY) | st.binary(max_size=3)), max_size=3),
    st.lists(st.tuples(st.integers(2, 300), st.integers(0, 255)), max_size=3),
)
@settings(max_examples=200)
def test_every_jpeg_that_can_be_decoded_has_a_header(
    file: bytes, strays: list[tuple[int, bytes]], changes: list[tuple[int, int]]
) -> None:
    damaged = bytearray(file)
    for place, value in changes:
        damaged[place] = value
    for place, stray in strays:
        damaged[place:place] = stray

    size = decoded_size(bytes(damaged))

    assert size is None or read_header(bytes(damaged)) == ("jpeg", *size)


@pytest.mark.parametrize("stray", [b"\xff\x00", b"\x00\xff\xfe\x00\x02"])
def test_a_jpeg_of_stray_bytes_is_not_waited_for(stray: bytes) -> None:
    file = JPEGS[0][:2] + stray * MOST_SEGMENTS + JPEGS[0][2:]

    with pytest.raises(Crowded):
        read_header(file)
    assert read_crowded_header(file) == ("jpeg", 32, 20)


HEADS = (
    b"\x89PNG\r\n\x1a\n",
    b"\xff\xd8",
    b"RIFF\x00\x00\x00\x00WEBP",
    b"RIFF\x00\x00\x00\x00WEBPVP8X",
    b"GIF89a",
)


@given(st.sampled_from(HEADS), st.binary(max_size=200))
def test_no_bytes_are_a_fault(head: bytes, rest: bytes) -> None:
    read_header(head + rest)
