"""Whether a picture's file carries content credentials (C2PA), read from its structure and not from chance bytes.

Only their place is looked at: whether they are valid is for who shows the picture to find
out. Where a manifest store is embedded: C2PA specification 2.x, appendix A.3. Pure, linear in
the size of the file, and "no" for whatever cannot be walked through.
"""

from collections.abc import Callable

_PNG = b"\x89PNG\r\n\x1a\n"
_JUMBF_BOX = slice(12, 16)
_BOX_TYPE = slice(24, 28)
_WITHOUT_LENGTH = (0x01, *range(0xD0, 0xD8))
"""JPEG markers that stand alone: TEM and RST0 to RST7."""


def has_credentials(data: bytes) -> bool:
    """Whether *data*, a PNG, JPEG, WebP, GIF or SVG, has a manifest store."""
    for begins_with, look in _FORMATS:
        if data.startswith(begins_with):
            return look(data)
    return _in_svg(data)


def _in_png(data: bytes) -> bool:
    """A chunk `caBX`; after the pixels it is frowned on, but valid."""
    position = len(_PNG)
    while position + 12 <= len(data):
        length, kind = int.from_bytes(data[position : position + 4]), data[position + 4 : position + 8]
        if kind == b"caBX":
            return length > 0
        if kind == b"IEND":
            return False
        position += 12 + length
    return False


def _in_jpeg(data: bytes) -> bool:
    """A JUMBF box of the type `c2pa` in an APP11 segment before the first scan (JPEG XT, ISO/IEC 18477-3)."""
    position = 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        if marker == 0xFF:  # fill byte
            position += 1
        elif marker in _WITHOUT_LENGTH:
            position += 2
        elif marker in (0xD9, 0xDA):
            return False
        else:
            length = int.from_bytes(data[position + 2 : position + 4])
            if marker == 0xEB and _is_manifest_store(data[position + 4 : position + 2 + length]):
                return True
            position += 2 + length
    return False


def _is_manifest_store(segment: bytes) -> bool:
    """Whether the first of a box's segments begins the manifest store: identifier, instance, packet, then the box."""
    return (
        segment[:2] == b"JP"
        and segment[_JUMBF_BOX] == b"jumb"
        # A description box follows, whose type is a UUID that begins with these letters.
        and segment[_BOX_TYPE] == b"c2pa"
    )


def _in_riff(data: bytes) -> bool:
    """A chunk `C2PA`."""
    position = 12
    while position + 8 <= len(data):
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        if data[position : position + 4] == b"C2PA":
            return length > 0
        position += 8 + length + length % 2
    return False


def _in_gif(data: bytes) -> bool:
    """An application extension `C2PA_GIF` before the first image."""
    if len(data) < 13:
        return False
    flags = data[10]
    position = 13 + (3 << (flags % 8 + 1) if flags & 0x80 else 0)
    while position + 2 < len(data) and data[position] == 0x21:
        is_application = data[position + 1] == 0xFF and data[position + 2] == 11
        if is_application and data[position + 3 : position + 11] == b"C2PA_GIF":
            return True
        position += 2
        while position < len(data) and data[position]:
            position += 1 + data[position]
        position += 1
    return False


def _in_svg(data: bytes) -> bool:
    """An element `c2pa:manifest` in the `metadata` of the drawing, outside of comments and quoted text."""
    is_in_metadata, position = False, data.find(b"<")
    while position >= 0:
        for opening, closing in _SKIPPED:
            if data.startswith(opening, position):
                end = data.find(closing, position)
                break
        else:
            end = data.find(b">", position)
            words = data[position + 1 : end].split(None, 1) if end > 0 else []
            name = words[0].rstrip(b"/") if words else b""
            if name in (b"metadata", b"/metadata"):
                is_in_metadata = name == b"metadata"
            elif name == b"c2pa:manifest" and is_in_metadata:
                return True
        position = data.find(b"<", end) if end > 0 else -1
    return False


_SKIPPED = ((b"<!--", b"-->"), (b"<![CDATA[", b"]]>"), (b"<?", b"?>"))

_FORMATS: tuple[tuple[bytes, Callable[[bytes], bool]], ...] = (
    (_PNG, _in_png),
    (b"\xff\xd8", _in_jpeg),
    (b"RIFF", _in_riff),
    (b"GIF8", _in_gif),
)
