"""Read an image's format and pixels from its first bytes.

PNG (ISO/IEC 15948, 11.2.2), JPEG (ITU-T T.81, B.2.2), WebP (RFC 9649, 2.5 to 2.7), GIF (GIF89a, 18);
an SVG is only recognised. Image libraries read all metadata too, which takes seconds for megabytes
of it. Other formats have no header, nor has a file without content: a backend's error or
incomplete answer must not be charged and cached. Does not check if the content can be decoded.
"""

import asyncio
import zlib
from collections.abc import Iterable
from itertools import islice

from service.adapters.imaging.segments import (
    JPEG,
    MOST_SEGMENTS,
    PNG,
    Bytes,
    Segment,
    bounded,
    gif_palette_end,
    jpeg_segments,
    svg_elements,
)

Header = tuple[str, int, int]
"""Format, width and height."""

_NO_FRAMES = (0xC4, 0xC8, 0xCC)
"""Markers between those of frames: Huffman tables, an extension, arithmetic conditioning."""

_MOST_SEARCHED_BYTES = 1024 * 1024
"""Most bytes to search for content, which takes milliseconds; a larger file has some: no error page is as large."""

_SCAN = (b"\xff\xda",)
_PIXELS = (b"IDAT", b"fdAT")
_FRAMES = (b"VP8 ", b"VP8L", b"ANMF")
_IMAGE = (b",",)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MOST_CLOSING_BYTES = 64
"""More than the closing tag of a drawing."""


def read_header(data: bytes) -> Header | None:
    """Return the header, or None; raises `TooManySegments` for a JPEG with too many before its frame."""
    begins_as_text = data[:64].removeprefix(_BYTE_ORDER_MARK).lstrip().startswith(b"<")
    if begins_as_text:
        return ("svg", 0, 0) if _is_drawing(data) else None
    return read_pixel_header(data, bounded(jpeg_segments(data)))


def read_pixel_header(data: Bytes, frames: Iterable[Segment]) -> Header | None:
    """Return the header of any format but SVG; *frames* are the segments of *data* if it is a JPEG."""
    if data[:2] == JPEG:
        return _of_jpeg(data, frames)
    if data[:8] == PNG:
        return _of_png(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _of_webp(data)
    if data[:6] in (b"GIF87a", b"GIF89a") and len(data) >= 13:
        size = int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
        return ("gif", *size) if _has_any(_IMAGE, data, gif_palette_end(data)) else None
    return None


async def read_crowded_header(data: bytes) -> Header | None:
    """Return the header of a JPEG with any number of segments; yields to the event loop between parts of the walk."""
    segments = jpeg_segments(data)
    while part := list(islice(segments, MOST_SEGMENTS)):
        if any(_is_frame(marker) for marker, _, _ in part):
            return _of_jpeg(data, part)
        await asyncio.sleep(0)
    return None


def _is_frame(marker: bytes) -> bool:
    return 0xC0 <= marker[0] <= 0xCF and marker[0] not in _NO_FRAMES


def _of_jpeg(data: Bytes, segments: Iterable[Segment]) -> Header | None:
    for marker, start, end in segments:
        if _is_frame(marker):
            frame = data[start : min(end, start + 5)]
            size = int.from_bytes(frame[3:5]), int.from_bytes(frame[1:3])
            return ("jpeg", *size) if len(frame) == 5 and _has_any(_SCAN, data, end) else None
    return None


def _of_png(data: Bytes) -> Header | None:
    content = data[16:29]
    checksum = zlib.crc32(b"IHDR" + content).to_bytes(4)
    is_sound = data[8:16] == b"\x00\x00\x00\rIHDR" and data[29:33] == checksum
    size = int.from_bytes(content[:4]), int.from_bytes(content[4:8])
    return ("png", *size) if is_sound and _has_any(_PIXELS, data, 33) else None


def _of_webp(data: Bytes) -> Header | None:
    kind, content = data[12:16], data[20:30]
    if kind == b"VP8X" and len(content) == 10 and _has_any(_FRAMES, data, 30):
        return "webp", 1 + int.from_bytes(content[4:7], "little"), 1 + int.from_bytes(content[7:10], "little")
    if kind == b"VP8L" and len(content) >= 5 and content[:1] == b"\x2f":
        bits = int.from_bytes(content[1:5], "little")
        return "webp", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and len(content) == 10 and content[3:6] == b"\x9d\x01\x2a":
        width, height = int.from_bytes(content[6:8], "little"), int.from_bytes(content[8:10], "little")
        return "webp", width & 0x3FFF, height & 0x3FFF
    return None


def _has_any(marks: tuple[bytes, ...], data: Bytes, start: int) -> bool:
    """Tell if one of *marks* is between *start* and the end of the file.

    Searches instead of walking segments, since decoders differ in the bytes they skip between them.
    May find bytes that only look like a mark, but misses none.
    """
    end = start + _MOST_SEARCHED_BYTES
    return len(data) > end or any(0 <= data.find(mark, start, end) < len(data) - len(mark) for mark in marks)


def _is_drawing(data: bytes) -> bool:
    """Tell if the root element, after any valid prologue, is `svg` and closed."""
    elements = islice(svg_elements(data[:_MOST_SEARCHED_BYTES]), MOST_SEGMENTS)
    names = (name for name in elements if name and not name.startswith(b"!"))
    if not _is_svg(next(names, b"")):
        return False
    closing = data.rfind(b"</", max(0, len(data) - _MOST_SEARCHED_BYTES))
    if closing < 0:
        return b"/>" in data[:_MOST_SEARCHED_BYTES] and next(names, None) is None
    name, is_closed, _ = data[closing + 2 : closing + _MOST_CLOSING_BYTES].partition(b">")
    return bool(is_closed) and _is_svg(name.rstrip())


def _is_svg(name: bytes) -> bool:
    return name.rpartition(b":")[2].lower() == b"svg"
