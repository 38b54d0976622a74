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

    async def finish(self, data: bytes, finish: Finish | None, holder: str) -> FinishedImage:
        """Read the header of *data*, and resample the image if *finish* asks for other pixels, in the turn of *holder*.

        Returns the image as it is if its pixels cannot be processed here. Raises `ImageBroken` if it is no image.
        """


class InputReader(Protocol):
    """Reads images from callers."""

    def read_input(self, role: str, path: str, digest: str, size_bytes: int) -> InputImage:
        """Read the header of the image at *path*, in bounded work; an unknown format is empty.

        Raises:
            ImageBroken: it has too much before its pixels.
        """

    async def check_transparency(self, image: InputImage, holder: str) -> InputImage:
        """Return *image*, with `has_alpha` set if any pixel is not opaque, in the turn of *holder*.

        Raises:
            ImageBroken: its pixels cannot be decoded within bounded time and memory.
            ImagingBusy: too many images of callers wait.
        """

    async def turn(self, image: InputImage, orientation: int, holder: str) -> InputImage:
        """Turn the file of *image* as *orientation* means it, and return *image* upright, with its old digest.

        Raises as `check_transparency` does.
        """


class ImageBroken(Exception):
    """The bytes are not an image of a known format, or the image is too large."""


class ImagingBusy(Exception):
    """No more images of callers can be processed for now; nothing has been spent."""
