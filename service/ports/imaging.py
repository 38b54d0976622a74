"""Read and change images from backends and from callers; unacceptable bytes are refused, never passed on."""

from dataclasses import dataclass
from typing import Protocol

from service.domain.images import ContentCredentials, Finish, InputImage


@dataclass(frozen=True, slots=True)
class FinishedImage:
    """A finished image: its bytes, its header's values and the state of the provider's credentials."""

    data: bytes
    format: str
    width: int
    height: int
    credentials: ContentCredentials = ContentCredentials.NONE


class ImageFinisher(Protocol):
    """Reads and changes images."""

    async def finish(self, data: bytes, finish: Finish | None) -> FinishedImage:
        """Read the header of *data*, and resample the image if *finish* asks for other pixels; raises `ImageBroken`."""


class InputReader(Protocol):
    """Reads images from callers."""

    def read_input(self, role: str, path: str, digest: str, size_bytes: int) -> InputImage:
        """Read the header of the image at *path*; an unknown format is empty."""

    async def check_transparency(self, image: InputImage) -> InputImage:
        """Return *image*, with `has_alpha` set if any pixel is not opaque.

        Raises:
            ImageBroken: its pixels cannot be decoded.
        """


class ImageBroken(Exception):
    """The bytes are not an image of a known format, or the image is too large."""
