"""Read and change images from backends and from callers; unacceptable bytes are refused, never passed on."""

from dataclasses import dataclass
from pathlib import Path
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
        """Read the header of *data*, and make the image anew if *finish* asks for another one, in the turn of *holder*.

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


class MaskWhitener(Protocol):
    """Makes masks for backends that repaint what is white."""

    async def whiten(self, mask: InputImage, holder: str) -> InputImage:
        """Return *mask* as an opaque PNG, white where it is transparent and black where it is opaque, at `white_path`.

        It is made once, in the turn of *holder*. Raises as `InputReader.check_transparency` does.
        """


def white_path(path: str | Path) -> Path:
    """Return the place of the white form of the mask at *path*: to remove the one is to remove both."""
    return Path(f"{path}.white")


class ImageBroken(Exception):
    """The bytes are not an image of a known format, or the image is too large."""


class ImagingBusy(Exception):
    """No more images of callers can be processed for now; nothing has been spent."""
