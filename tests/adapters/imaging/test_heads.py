"""Heads of callers' images: as Pillow reads them, from few bytes of the file, however it is made."""

import io
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from service.adapters.imaging.exif import ORIENTATION, read_number
from service.adapters.imaging.files import FileBytes
from service.adapters.imaging.heads import MOST_HEAD_SEGMENTS, Head, read_head
from service.adapters.imaging.segments import TooManySegments
from tests.http.house import file_of, noise

TRANSPARENT_WEBP = file_of(noise(8, 6, mode="RGBA"), "WEBP", lossless=True)


def exif(orientation: int) -> bytes:
    data = Image.Exif()
    data[ORIENTATION] = orientation
    return data.tobytes()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_orientation_is_that_of_the_exif_data(kind: str, orientation: int) -> None:
    file = file_of(noise(8, 6), kind, exif=exif(orientation))

    assert read_head(file) == Head(kind.lower(), 8, 6, False, orientation)


@pytest.mark.parametrize("number", [0, 9, 65535])
def test_an_unknown_orientation_is_none(number: int) -> None:
    head = read_head(file_of(noise(8, 6), "JPEG", exif=exif(number)))

    assert head is not None
    assert head.orientation == 1


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "form"), [(3, "H"), (4, "I")])
def test_numbers_are_read_in_both_byte_orders_and_types(order: str, kind: int, form: str) -> None:
    start = {"<": b"II*\0", ">": b"MM\0*"}[order]
    value = struct.pack(order + form, 6).ljust(4, b"\0")
    tiff = start + struct.pack(order + "IHHHI", 8, 1, ORIENTATION, kind, 1) + value

    assert read_number(tiff, ORIENTATION) == 6
    assert read_number(tiff, ORIENTATION + 1) is None
    assert read_number(tiff[:-1], ORIENTATION) is None


@pytest.mark.parametrize(
    ("file", "has_alpha"),
    [
        (file_of(noise(8, 6, mode="LA")), True),
        (file_of(noise(8, 6).convert("P"), transparency=3), True),
        (file_of(noise(8, 6), transparency=(1, 2, 3)), True),
        (file_of(noise(8, 6)), False),
        (TRANSPARENT_WEBP, True),
        (file_of(noise(8, 6), "WEBP", lossless=True), False),
        (file_of(noise(8, 6), "WEBP"), False),
        (file_of(noise(8, 6, mode="RGBA"), "WEBP"), True),
        (file_of(noise(8, 6, mode="RGBA"), "WEBP", exif=exif(1)), True),
    ],
    ids=range(9),
)
def test_transparency_is_in_the_head(file: bytes, *, has_alpha: bool) -> None:
    assert read_head(file) == Head("webp" if file[:4] == b"RIFF" else "png", 8, 6, has_alpha, 1)


def test_a_jpeg_of_several_images_has_no_head_and_one_with_a_gain_map_has() -> None:
    several = file_of(noise(8, 6), "MPO", save_all=True, append_images=[noise(8, 6)])
    segment = b'http://ns.adobe.com/xap/1.0/\0<x hdrgm:Version="1.0"/>'
    gain_map = several[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + several[2:]

    assert read_head(several) is None
    assert read_head(gain_map) == Head("jpeg", 8, 6, False, 1)


@pytest.mark.parametrize("count", [MOST_HEAD_SEGMENTS - 20, MOST_HEAD_SEGMENTS + 1])
def test_a_head_of_too_many_segments_is_left_alone(count: int) -> None:
    jpeg, png = file_of(noise(8, 6), "JPEG"), file_of(noise(8, 6))
    files = [
        jpeg[:2] + b"\xff\xfe\x00\x02" * count + jpeg[2:],
        png[:33] + b"\0\0\0\0prVt\0\0\0\0" * count + png[33:],
    ]
    for file in files:
        if count > MOST_HEAD_SEGMENTS:
            with pytest.raises(TooManySegments):
                read_head(file)
        else:
            head = read_head(file)
            assert head is not None
            assert (head.width, head.height) == (8, 6)


def test_few_bytes_of_a_large_file_are_read(tmp_path: Path) -> None:
    """Its size is that of an upload, and its frame is behind 16 MB of Exif segments."""
    whole, path = file_of(noise(8, 6), "JPEG"), tmp_path / "file"
    segment = b"\xff\xe1\xff\xff" + b"Exif\0\0" + bytes(65_527)
    path.write_bytes(whole[:2] + segment * 256 + whole[2:])

    with path.open("rb") as file:
        data = CountedBytes(file)
        assert read_head(data) == Head("jpeg", 8, 6, False, 1)

    assert data.bytes_read < 8 * 1024 * 1024


class CountedBytes(FileBytes):
    """A file that counts what is asked for."""

    bytes_read = 0

    def _read(self, start: int, end: int) -> bytes:
        self.bytes_read += max(end - start, 4096)
        return super()._read(start, end)


SEEDS = [
    file_of(noise(16), "JPEG", exif=exif(6)),
    file_of(noise(16), exif=exif(6)),
    file_of(noise(16).convert("P"), "GIF"),
    file_of(noise(16, mode="RGBA"), "WEBP", exif=exif(6)),
    TRANSPARENT_WEBP,
    file_of(noise(16), "MPO", save_all=True, append_images=[noise(16)]),
]


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_a_file_reads_like_its_bytes(data: st.DataObject) -> None:
    """However damaged it is; and no damage is more than a missing head."""
    changed = bytearray(data.draw(st.sampled_from(SEEDS)))
    for place, value in data.draw(st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6)):
        changed[place % len(changed)] = value
    content = bytes(changed[: data.draw(st.integers(0, len(changed)))])

    with os.fdopen(os.memfd_create("head"), "w+b") as file:
        file.write(content)
        file.flush()
        assert read_head(FileBytes(file)) == read_head(content)


@pytest.mark.parametrize("place", [0, 1, 4095, 4096, 262_143, 262_144, 500_000])
def test_a_mark_is_found_across_the_parts_of_a_search(tmp_path: Path, place: int) -> None:
    content = bytearray(600_000)
    content[place : place + 4] = b"IDAT"
    path = tmp_path / "file"
    path.write_bytes(content)

    with path.open("rb") as file:
        data = FileBytes(file)
        assert (data.find(b"IDAT"), data.find(b"IDAT", place + 1), len(data)) == (place, -1, 600_000)
        assert data.find(b"IDAT", 0, place + 3) == -1
        assert (data[place], data[place : place + 4], data[-1:]) == (ord("I"), b"IDAT", b"\0")
        with pytest.raises(IndexError):
            data[600_000]


def test_an_image_of_pillow_is_read_as_pillow_reads_it() -> None:
    for file in SEEDS[:5]:
        head = read_head(file)
        with Image.open(io.BytesIO(file)) as image:
            assert head is not None
            assert (head.format, (head.width, head.height)) == (str(image.format).lower(), image.size)
            assert head.orientation == image.getexif().get(ORIENTATION, 1)
            assert head.has_alpha == ("A" in image.getbands())
