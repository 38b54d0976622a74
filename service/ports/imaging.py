"""Read and change images, both from backends and from callers.

Failure behaviour: bytes that are no acceptable image are refused, never passed on.
"""

from dataclasses import dataclass
from typing import Protocol

from service.domain.images import ContentCredentials, Finish, InputImage


@dataclass(frozen=True, slots=True)
class FinishedImage:
    """A finished image: its bytes, the values of its header, the state of the provider's credentials in it."""

    data: bytes
    format: str
    width: int
    height: int
    credentials: ContentCredentials = ContentCredentials.NONE


class ImageFinisher(Protocol):
    """Reads and changes images."""

    async def finish(self, data: bytes, finish: Finish | None) -> FinishedImage:
        """Read the header of *data* and resample it where *finish* asks for other pixels.

        Raises:
            ImageBroken: it is not an image of a known format, or it is too large.
        """
        ...


class InputReader(Protocol):
    """Reads images from callers."""

    def read_input(self, role: str, path: str, digest: str, size_bytes: int) -> InputImage:
        """Read the header of the image at *path*; an unknown format is an empty one."""
        ...

    async def look_through(self, image: InputImage) -> InputImage:
        """Return *image* with an alpha channel only if some pixel is not opaque.

        Raises:
            ImageBroken: its pixels cannot be decoded.
        """
        ...


class ImageBroken(Exception):
    """A backend returned bytes that are not an acceptable PNG, JPEG or WebP."""
