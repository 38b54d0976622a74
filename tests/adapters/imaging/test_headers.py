"""Format and size are read from the header, and the rest of a file may be damaged."""

import asyncio
import io
import struct
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from service.adapters.imaging.headers import Header, read_crowded_header, read_header
from service.adapters.imaging.segments import MOST_SEGMENTS, TooManySegments


def encoded(kind: str, mode: str = "RGB", size: tuple[int, int] = (320, 200), **options: Any) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size).save(file, kind, **options)
    return file.getvalue()


def padding_of_png(size_bytes: int) -> PngInfo:
    padding = PngInfo()
    padding.add(b"prVt", bytes(size_bytes))
    return padding


def decoded_size(file: bytes) -> tuple[int, int] | None:
    """Return the size of an image whose pixels can all be decoded."""
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
def test_every_variety_has_its_format_and_size(file: bytes, kind: str) -> None:
    with Image.open(io.BytesIO(file)) as image:
        assert image.size == (320, 200)

    assert read_header(file) == (kind, 320, 200)


@pytest.mark.parametrize("size", [(1, 1), (16383, 1), (1, 16383), (3840, 2160)])
@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"exif": b"Exif\x00\x00"}])
def test_sizes_of_webp_are_right_to_the_last_bit(size: tuple[int, int], options: dict[str, Any]) -> None:
    assert read_header(encoded("WEBP", size=size, **options)) == ("webp", *size)


@pytest.mark.parametrize(
    "data",
    [
        b"<svg></svg>",
        b' \n<?xml version="1.0"?><svg/>',
        b"<SVG ></SVG >\n",
        b"\xef\xbb\xbf<svg width='8'\n/>",
        b"<!-- <html> --><svg><rect/></svg><!-- made by hand -->",
        b'<?xml version="1.0"?><?xml-stylesheet href="a"?><svg:svg xmlns:svg="b"><svg:rect/></svg:svg>',
        b'<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "a" [<!ENTITY b "c">]>\n<svg\nid="d"><g></g></svg>',
    ],
)
def test_a_drawing_has_no_pixels(data: bytes) -> None:
    assert read_header(data) == ("svg", 0, 0)


def test_a_drawing_may_be_large_but_not_its_preface() -> None:
    for element in (b"<g/>", b"<g></g>"):
        assert read_header(b"<svg>" + element * 300_000 + b"</svg>") == ("svg", 0, 0)
    assert read_header(b"<!---->" * 2 * MOST_SEGMENTS + b"<svg/>") is None


@pytest.mark.parametrize(
    "data",
    [
        b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
        b'<?xml version="1.0"?>',
        b"<!DOCTYPE html><html><svg></svg></html>",
        b"<html><svg></svg></html>",
        b"<!-- <svg></svg> -->",
        b"<svgs></svgs>",
        b"an <svg></svg>",
        b"<",
    ],
)
def test_a_document_with_another_root_is_not_a_drawing(data: bytes) -> None:
    assert read_header(data) is None


def test_an_incomplete_drawing_has_no_header() -> None:
    file = b'<?xml version="1.0"?><svg xmlns="a"><g><rect/></g><!-- b --><rect/></svg>'
    assert read_header(file)

    assert {read_header(file[:end]) for end in range(len(file))} == {None}


BARE = {
    "PNG": encoded("PNG")[:33] + b"\x00\x00\x00\x00IEND\xaeB\x60\x82",
    "JPEG": b"\xff\xd8\xff\xc0\x00\x0b\x08\x00\x10\x00\x10\x01\x01\x11\x00\xff\xd9",
    "JPEG, scan without data": b"\xff\xd8\xff\xc0\x00\x0b\x08\x00\x10\x00\x10\x01\x01\x11\x00\xff\xda",
    "WebP": b"RIFF\x16\x00\x00\x00WEBPVP8X\x0a\x00\x00\x00\x00\x00\x00\x00\x13\x00\x00\x1d\x00\x00",
    "GIF": b"GIF89a\x05\x00\x05\x00\x00\x00\x00\x3b",
    "GIF with a palette": b"GIF89a\x05\x00\x05\x00\x80\x00\x00,,,,,,\x3b",
}


@pytest.mark.parametrize("file", BARE.values(), ids=BARE)
def test_a_file_without_pixels_has_no_header(file: bytes) -> None:
    assert decoded_size(file) is None

    assert read_header(file) is None


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP"])
def test_the_pixels_of_animations_are_found(kind: str) -> None:
    file = encoded(kind, save_all=True, append_images=[Image.new("RGB", (320, 200), "red")])

    assert read_header(file) == (kind.lower(), 320, 200)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {"pnginfo": padding_of_png(2_000_000)}),
        ("JPEG", {"icc_profile": bytes(2_000_000)}),
        ("WEBP", {"icc_profile": bytes(2_000_000)}),
        ("GIF", {"comment": bytes(2_000_000)}),
    ],
    ids=["PNG", "JPEG", "WebP", "GIF"],
)
def test_pixels_behind_megabytes_of_metadata_are_taken_for_granted(
    kind: str, options: dict[str, Any]
) -> None:
    file = encoded(kind, **options)

    assert read_header(file) == (kind.lower(), *(decoded_size(file) or ()))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_an_incomplete_header_is_none(kind: str) -> None:
    file = encoded(kind)
    whole = read_header(file)

    answers: set[Header | None] = {read_header(file[:end]) for end in range(len(file))}

    assert answers <= {None, whole}
    assert None in answers


def test_a_png_with_a_damaged_header_has_none() -> None:
    file = bytearray(encoded("PNG"))
    file[18] ^= 1

    assert read_header(bytes(file)) is None


def test_a_jpeg_that_is_crowded_before_its_frame_is_not_waited_for() -> None:
    file = encoded("JPEG")
    crowded = file[:2] + b"\xff\xfe\x00\x02" * (MOST_SEGMENTS + 1) + file[2:]

    with pytest.raises(TooManySegments):
        read_header(crowded)
    assert asyncio.run(read_crowded_header(crowded)) == ("jpeg", 320, 200)


STRAY = (b"\x00", bytes(16), b"text", b"\r\n", b"\xff\x00", b"\xff\x00x\xff\x00", b"\xff", b"\xff\x01")
"""Bytes between the segments of some JPEGs; decoders warn and skip them."""


def segment_ends(file: bytes) -> list[int]:
    """Return the end of the segments of a valid JPEG, before its scan."""
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


OTHERS = (
    *(encoded(kind, size=(32, 20)) for kind in ("PNG", "GIF", "WEBP")),
    encoded("WEBP", "RGBA", (32, 20), exif=b"Exif\x00\x00"),
)


@given(
    st.sampled_from(OTHERS),
    st.lists(st.tuples(st.integers(12, 300), st.integers(0, 255)), max_size=3),
    st.lists(st.tuples(st.integers(12, 300), st.binary(min_size=1, max_size=3)), max_size=1),
)
@settings(max_examples=200)
def test_every_decodable_image_has_a_header(
    file: bytes, changes: list[tuple[int, int]], strays: list[tuple[int, bytes]]
) -> None:
    """Not always the same size: a GIF's frame may stick out of it."""
    damaged = bytearray(file)
    for place, value in changes:
        if place < len(damaged):
            damaged[place] = value
    for place, stray in strays:
        damaged[place:place] = stray

    assert decoded_size(bytes(damaged)) is None or read_header(bytes(damaged)) is not None


@pytest.mark.parametrize("stray", [b"\xff\x00", b"\x00\xff\xfe\x00\x02"])
def test_a_jpeg_of_stray_bytes_is_not_waited_for(stray: bytes) -> None:
    file = JPEGS[0][:2] + stray * MOST_SEGMENTS + JPEGS[0][2:]

    with pytest.raises(TooManySegments):
        read_header(file)
    assert asyncio.run(read_crowded_header(file)) == ("jpeg", 32, 20)


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
