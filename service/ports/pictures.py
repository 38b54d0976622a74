"""Reading and changing pictures: what backends made, and what callers send.

Failure behaviour: bytes that are no acceptable picture are refused, never passed on.
"""

from dataclasses import dataclass
from typing import Protocol

from service.domain.images import Finish, InputImage


@dataclass(frozen=True, slots=True)
class Picture:
    """A finished picture: its bytes and what its header says."""

    data: bytes
    format: str
    width: int
    height: int


class Pictures(Protocol):
    """Reading and changing pictures."""

    async def finish(self, data: bytes, finish: Finish | None) -> Picture:
        """Read the header of *data* and resample it where *finish* asks for other pixels.

        Raises:
            PictureBroken: it is not a picture we know, or it is too large.
        """
        ...


class InputPictures(Protocol):
    """Reading what callers send."""

    def read_input(self, role: str, path: str, digest: str, size_bytes: int) -> InputImage:
        """Read the header of the picture at *path*; an unknown format is an empty one."""
        ...

    async def look_through(self, image: InputImage) -> InputImage:
        """Return *image* with an alpha channel only if some pixel is not opaque.

        Raises:
            PictureBroken: its pixels cannot be decoded.
        """
        ...


class PictureBroken(Exception):
    """A backend returned bytes that are not an acceptable PNG, JPEG or WebP."""
