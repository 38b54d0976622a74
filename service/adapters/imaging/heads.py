"""Read all that the rules ask of a caller's image, from the part of its file before the pixels.

Work is bounded: at most `MOST_HEAD_SEGMENTS` are visited, and few bytes of each are read.
"""

from codecs import BOM_UTF8
from dataclasses import dataclass

from service.adapters.imaging.exif import NUMBER_OF_IMAGES, ORIENTATION, read_number
from service.adapters.imaging.headers import Header, read_pixel_header
from service.adapters.imaging.segments import (
    JPEG,
    Bytes,
    Segment,
    bounded,
    jpeg_segments,
    png_chunks,
    riff_chunks,
)

MOST_HEAD_SEGMENTS = 1024
"""Visited in a few milliseconds. A JPEG has about 300 at most: 255 of its colour profile, and its metadata."""

_MOST_NAME_BYTES = 1024
_MOST_METADATA_BYTES = 64 * 1024
_EXIF = b"Exif\0\0"
_MULTIPLE = b"MPF\0"
_GAIN_MAP = b' hdrgm:Version="'
_ALPHA_TYPES = (4, 6)
"""Colour types of PNG with an alpha channel."""
_HAS_ALPHA, _HAS_EXIF = 0x10, 0x08
"""Flags of WebP's `VP8X` (RFC 9649, 2.7.1)."""


@dataclass(frozen=True, slots=True)
class Head:
    """The head of an image: *width* and *height* of its pixels as stored, and their Exif *orientation*, 1 to 8."""

    format: str
    width: int
    height: int
    has_alpha: bool
    orientation: int


def read_head(data: Bytes) -> Head | None:
    """Return the head of a PNG, JPEG, WebP or GIF, of another format only its name, or None.

    Raises:
        TooManySegments: it has more than a camera or a program writes.
    """
    is_jpeg = data[:2] == JPEG
    segments = list(bounded(jpeg_segments(data), MOST_HEAD_SEGMENTS)) if is_jpeg else []
    header = read_pixel_header(data, segments)
    if header is None:
        name = name_format(data[:_MOST_NAME_BYTES])
        return Head(name, 0, 0, False, 1) if name else None
    if is_jpeg:
        return None if _holds_several(data, segments) else Head(*header, False, _turn_of_jpeg(data, segments))
    if header[0] == "png":
        return _of_png(data, header)
    # A GIF is refused by its format, so its transparency does not matter.
    return _of_webp(data, header) if header[0] == "webp" else Head(*header, False, 1)


def name_format(start: bytes) -> str:
    """Return the name of an image format that no provider takes, by the first bytes of a file; empty if unknown.

    Sources: the formats' own signatures; the brands of HEIF and AVIF (ISO/IEC 23008-12, AV1 in ISOBMFF 2).
    """
    if start[4:8] == b"ftyp":
        brand = start[8:12].decode("latin-1")
        return next((name for name, brands in _BRANDS.items() if brand in brands), "")
    if start.removeprefix(BOM_UTF8).lstrip().startswith(b"<") and b"<svg" in start.lower():
        return "svg"
    return next((name for name, marks in _MARKS.items() if start.startswith(marks)), "")


_MARKS = {
    "bmp": (b"BM",),
    "tiff": (b"II*\0", b"MM\0*"),
    "ico": (b"\0\0\1\0",),
    "jxl": (b"\xff\x0a", b"\0\0\0\x0cJXL "),
    "psd": (b"8BPS",),
    "pdf": (b"%PDF-",),
}
_BRANDS = {"heic": ("heic", "heix", "heim", "heis", "hevc", "hevx", "mif1", "msf1"), "avif": ("avif", "avis")}


def _of_png(data: Bytes, header: Header) -> Head:
    has_alpha, orientation = data[25] in _ALPHA_TYPES, 1
    for kind, start, end in bounded(png_chunks(data), MOST_HEAD_SEGMENTS):
        if kind == b"IDAT":
            break
        if kind == b"tRNS" and end > start:
            has_alpha = True
        elif kind == b"eXIf":
            orientation = _orientation(_content(data, start, end))
    return Head(*header, has_alpha, orientation)


def _of_webp(data: Bytes, header: Header) -> Head:
    kind, flags = data[12:16], data[20]
    if kind == b"VP8L":
        return Head(*header, bool(data[24] & 0x10), 1)
    if kind != b"VP8X":
        return Head(*header, False, 1)
    orientation = 1
    if flags & _HAS_EXIF:
        # Behind the pixels, where decoders expect it.
        for name, start, end in bounded(riff_chunks(data), MOST_HEAD_SEGMENTS):
            if name == b"EXIF":
                orientation = _orientation(_content(data, start, end).removeprefix(_EXIF))
                break
    return Head(*header, bool(flags & _HAS_ALPHA), orientation)


def _turn_of_jpeg(data: Bytes, segments: list[Segment]) -> int:
    for marker, start, end in segments:
        if marker == b"\xe1" and data[start : start + len(_EXIF)] == _EXIF:
            return _orientation(_content(data, start, end).removeprefix(_EXIF))
    return 1


def _holds_several(data: Bytes, segments: list[Segment]) -> bool:
    """Tell if a JPEG is one of several in its file (MPF), which providers refuse; a gain map is none of them."""
    numbers = [
        read_number(_content(data, start, end).removeprefix(_MULTIPLE), NUMBER_OF_IMAGES)
        for marker, start, end in segments
        if marker == b"\xe2" and data[start : start + len(_MULTIPLE)] == _MULTIPLE
    ]
    if not any(number is not None and number > 1 for number in numbers):
        return False
    return not any(
        marker == b"\xe1" and _GAIN_MAP in _content(data, start, end) for marker, start, end in segments
    )


def _content(data: Bytes, start: int, end: int) -> bytes:
    return data[start : min(end, start + _MOST_METADATA_BYTES)]


def _orientation(tiff: bytes) -> int:
    number = read_number(tiff, ORIENTATION)
    return number if number is not None and 1 <= number <= 8 else 1
