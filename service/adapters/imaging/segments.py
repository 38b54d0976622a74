"""Walk the segments of an image file: PNG and RIFF chunks, JPEG segments, GIF blocks, elements of an SVG.

Decodes nothing and copies only names; ends at the first malformed segment. Millions of empty segments
in a file of 64 MB take seconds, so walks in the event loop use `bounded`. Pure.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Protocol, SupportsIndex, TypeVar, overload

PNG = b"\x89PNG\r\n\x1a\n"
JPEG = b"\xff\xd8"

MOST_SEGMENTS = 8192
"""Most segments to walk in the event loop (three milliseconds); 48 MB in libpng's chunks of 8 KB are 6144."""

_FILL = re.compile(rb"\xff{1,256}")
_MOST_FILL_BYTES = 256
_WITHOUT_LENGTH = (0x00, 0x01, *range(0xD0, 0xD8))
"""JPEG markers without a length: TEM and RST0 to RST7; and zero, which is no marker."""

_MOST_NAME_BYTES = 32
"""More than the longest element name in use."""
_SKIPPED = ((b"<!--", b"-->"), (b"<![CDATA[", b"]]>"), (b"<?", b"?>"))

Segment = tuple[bytes, int, int]
"""Its name, and the start and end of its content; the end may be beyond that of the file."""

Item = TypeVar("Item")


class Bytes(Protocol):
    """The bytes of a file, in memory or on disk (`files.py`)."""

    def __len__(self) -> int: ...

    @overload
    def __getitem__(self, at: SupportsIndex, /) -> int: ...

    @overload
    def __getitem__(self, at: slice, /) -> bytes: ...

    def find(self, wanted: bytes, start: int = ..., end: int = ..., /) -> int:
        """Return the first place of *wanted*, or -1."""


class TooManySegments(ValueError):
    """The file has more segments than may be walked."""


def bounded(segments: Iterable[Item], most: int = MOST_SEGMENTS) -> Iterator[Item]:
    """Yield up to *most* segments; raises `TooManySegments` if there are more."""
    walk = iter(segments)
    yield from islice(walk, most)
    for _ in walk:
        raise TooManySegments


def png_chunks(data: Bytes) -> Iterator[Segment]:
    """Yield the chunks up to and including `IEND`."""
    position, kind = len(PNG), b""
    while position + 12 <= len(data) and kind != b"IEND":
        start = position + 8
        length, kind = int.from_bytes(data[position : position + 4]), data[position + 4 : start]
        yield kind, start, start + length
        position = start + length + 4


def jpeg_segments(data: Bytes) -> Iterator[Segment]:
    """Yield the segments before the first scan by their marker's code; bytes between them have the code 0.

    Decoders skip such bytes with a warning: all but 0xFF, and 0xFF before a zero. Counts them too, as
    well as fill bytes, 256 as one, and markers without a length.
    """
    position = len(JPEG)
    while 0 <= position <= len(data) - 4:
        if data[position] != 0xFF:
            start, position = position, data.find(b"\xff", position)
            yield b"\x00", start, position if position >= 0 else len(data)
            continue
        marker = data[position + 1]
        if marker in (0xD9, 0xDA):
            return
        start = position + 2
        if marker == 0xFF:
            fill = _FILL.match(data[position : position + _MOST_FILL_BYTES])
            # The last fill byte begins the marker.
            start = end = position + fill.end() - 1 if fill else start
        elif marker in _WITHOUT_LENGTH:
            end = start
        else:
            end = start + int.from_bytes(data[start : start + 2])
            start += 2
        yield data[position + 1 : position + 2], start, end
        position = end


def riff_chunks(data: Bytes) -> Iterator[Segment]:
    """Yield the chunks of a WebP."""
    position = 12
    while position + 8 <= len(data):
        start = position + 8
        length = int.from_bytes(data[position + 4 : start], "little")
        yield data[position : position + 4], start, start + length
        position = start + length + length % 2


def gif_extensions(data: Bytes) -> Iterator[Segment]:
    """Yield the extensions before the first image: label and first block, then the other blocks without a label."""
    if len(data) < 13:
        return
    position = gif_palette_end(data)
    while position + 2 < len(data) and data[position] == 0x21:
        label = data[position + 1 : position + 2]
        position += 3
        while True:
            end = position + data[position - 1] if position <= len(data) else position
            yield label, position, end
            if end == position:
                break
            label, position = b"", end + 1


def gif_palette_end(data: Bytes) -> int:
    """Return the start of the extensions and images."""
    flags = data[10]
    return 13 + (3 << (flags % 8 + 1) if flags & 0x80 else 0)


def svg_elements(data: bytes) -> Iterator[bytes]:
    """Yield the name that follows every `<`; an empty one for comments, quoted text and instructions."""
    position = data.find(b"<")
    while position >= 0:
        for opening, closing in _SKIPPED:
            if data.startswith(opening, position):
                end = data.find(closing, position)
                yield b""
                break
        else:
            end = data.find(b">", position)
            words = data[position + 1 : min(end, position + _MOST_NAME_BYTES)].split(None, 1)
            yield words[0].rstrip(b"/") if words and end > 0 else b""
        position = data.find(b"<", end) if end > 0 else -1
