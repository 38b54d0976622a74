"""Find content credentials (C2PA specification 2.x, appendix A.3) by the structure of an image file.

Does not verify them: programs that show the image do. Pure and bounded. A file that cannot be parsed
has none; for a file with too many segments the answer is unknown.
"""

from collections.abc import Callable

from service.adapters.imaging import segments
from service.adapters.imaging.segments import TooManySegments, bounded

_JUMBF_BOX = slice(12, 16)
_BOX_TYPE = slice(24, 28)
_MOST_DRAWING_BYTES = 4 * 1024 * 1024


def has_credentials(data: bytes) -> bool | None:
    """Tell if *data*, a PNG, JPEG, WebP, GIF or SVG, has a manifest store; None if it has too many segments."""
    look = next((look for begins_with, look in _FORMATS if data.startswith(begins_with)), _in_svg)
    try:
        return look(data)
    except TooManySegments:
        return None


def _in_png(data: bytes) -> bool:
    """Find a chunk `caBX`; after the pixels it is discouraged, but valid."""
    return any(kind == b"caBX" and end > start for kind, start, end in bounded(segments.png_chunks(data)))


def _in_jpeg(data: bytes) -> bool:
    """Find a JUMBF box of the type `c2pa` in an APP11 segment before the first scan (JPEG XT, ISO/IEC 18477-3)."""
    return any(
        marker == b"\xeb" and _is_manifest_store(data[start:end])
        for marker, start, end in bounded(segments.jpeg_segments(data))
    )


def _is_manifest_store(segment: bytes) -> bool:
    """Tell if a segment begins the manifest store: identifier, instance, packet, then the box."""
    return (
        segment[:2] == b"JP"
        and segment[_JUMBF_BOX] == b"jumb"
        # The type of the description box is a UUID that begins with these letters.
        and segment[_BOX_TYPE] == b"c2pa"
    )


def _in_riff(data: bytes) -> bool:
    """Find a chunk `C2PA`."""
    return any(kind == b"C2PA" and end > start for kind, start, end in bounded(segments.riff_chunks(data)))


def _in_gif(data: bytes) -> bool:
    """Find an application extension `C2PA_GIF` before the first image."""
    return any(
        label == b"\xff" and end - start == 11 and data.startswith(b"C2PA_GIF", start)
        for label, start, end in bounded(segments.gif_extensions(data))
    )


def _in_svg(data: bytes) -> bool:
    """Find an element `c2pa:manifest` in the drawing's `metadata`, outside of comments and quoted text."""
    is_in_metadata = False
    for name in bounded(segments.svg_elements(data[:_MOST_DRAWING_BYTES])):
        if name in (b"metadata", b"/metadata"):
            is_in_metadata = name == b"metadata"
        elif name == b"c2pa:manifest" and is_in_metadata:
            return True
    if len(data) > _MOST_DRAWING_BYTES:
        raise TooManySegments
    return False


_FORMATS: tuple[tuple[bytes, Callable[[bytes], bool]], ...] = (
    (segments.PNG, _in_png),
    (segments.JPEG, _in_jpeg),
    (b"RIFF", _in_riff),
    (b"GIF8", _in_gif),
)
