"""Format and pixels of a picture, from the few bytes that say so.

PNG (ISO/IEC 15948, 11.2.2), JPEG (ITU-T T.81, B.2.2), WebP (RFC 9649, 2.5 to 2.7), GIF
(GIF89a, 18); of an SVG only that it is one. Image libraries read all metadata on the way, which
takes seconds of a file that has megabytes of it. Pure; None for whatever is none of these.
"""

import zlib
from collections.abc import Iterable

from service.domain.segments import JPEG, PNG, Segment, bounded, jpeg_segments

Header = tuple[str, int, int]
"""Format, width and height."""

_NO_FRAMES = (0xC4, 0xC8, 0xCC)
"""Markers between those of frames: Huffman tables, an extension, arithmetic conditioning."""


def read_header(data: bytes) -> Header | None:
    """Return what the header says, at once.

    Raises:
        Crowded: a JPEG whose frame comes after more segments than anybody waits for.
    """
    if data.startswith(JPEG):
        return _of_jpeg(data, bounded(jpeg_segments(data)))
    if data.startswith(PNG):
        return _of_png(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _of_webp(data[:30])
    if data[:6] in (b"GIF87a", b"GIF89a") and len(data) >= 10:
        return "gif", int.from_bytes(data[6:8], "little"), int.from_bytes(data[8:10], "little")
    return ("svg", 0, 0) if data[:64].lstrip()[:4].lower() in (b"<svg", b"<?xm") else None


def read_crowded_header(data: bytes) -> Header | None:
    """Return what `read_header` would of a JPEG, however long that takes."""
    return _of_jpeg(data, jpeg_segments(data))


def _of_jpeg(data: bytes, segments: Iterable[Segment]) -> Header | None:
    for marker, start, end in segments:
        if 0xC0 <= marker[0] <= 0xCF and marker[0] not in _NO_FRAMES:
            frame = data[start : min(end, start + 5)]
            return (
                ("jpeg", int.from_bytes(frame[3:5]), int.from_bytes(frame[1:3])) if len(frame) == 5 else None
            )
    return None


def _of_png(data: bytes) -> Header | None:
    content = data[16:29]
    is_sound = data[8:16] == b"\x00\x00\x00\rIHDR" and data[29:33] == zlib.crc32(b"IHDR" + content).to_bytes(
        4
    )
    return ("png", int.from_bytes(content[:4]), int.from_bytes(content[4:8])) if is_sound else None


def _of_webp(head: bytes) -> Header | None:
    kind, content = head[12:16], head[20:]
    if kind == b"VP8X" and len(content) == 10:
        return "webp", 1 + int.from_bytes(content[4:7], "little"), 1 + int.from_bytes(content[7:10], "little")
    if kind == b"VP8L" and len(content) >= 5 and content[:1] == b"\x2f":
        bits = int.from_bytes(content[1:5], "little")
        return "webp", 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if kind == b"VP8 " and len(content) == 10 and content[3:6] == b"\x9d\x01\x2a":
        width, height = int.from_bytes(content[6:8], "little"), int.from_bytes(content[8:10], "little")
        return "webp", width & 0x3FFF, height & 0x3FFF
    return None
