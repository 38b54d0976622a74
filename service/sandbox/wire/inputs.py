"""Inspect the image files that come with an order.

Decodes each file once, in a thread, and keeps only its properties. Refuses none: the rules are in
`rules.gpt_image_edits` and `rules.dalle`.
"""

import hashlib
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from PIL import ExifTags, Image

MEBIBYTE = 1024 * 1024  # the API only says "MB"; the larger reading refuses less
_TURNED = (5, 6, 7, 8)  # EXIF orientations that swap width and height
_HALF = 128  # of 256 levels
_PATCH = 32  # pixels along the edge of one token; invented


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One file of a request; *format* is None if it is no image, and the members after it are meaningless.

    *role* is `image`, `mask` or `markup`; *field* its name on the wire; *label* its name in refusals. *format* (in
    lower case) and *mode* are Pillow's names; *upright* is the size after applying the EXIF orientation. Only a mask has
    *clear_share* and *white_share*: the shares of its pixels that are rather transparent, and rather white.
    """

    role: str
    field: str
    label: str
    content_type: str | None
    sha256: str
    size_bytes: int
    format: str | None = None
    mode: str = ""
    size: tuple[int, int] = (0, 0)
    upright: tuple[int, int] = (0, 0)
    has_alpha: bool = False
    clear_share: float | None = None
    white_share: float | None = None
    has_holes: bool = False

    @property
    def tokens(self) -> int:
        width, height = self.size
        return -(-width // _PATCH) * -(-height // _PATCH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file before its inspection; its members mean the same as in `Input`."""

    role: str
    field: str
    label: str
    content_type: str | None
    file: BinaryIO


def inspect_upload(upload: Upload) -> Input:
    """Read and decode the whole file, and return its properties."""
    digest = hashlib.file_digest(upload.file, "sha256").hexdigest()  # type: ignore[arg-type] # typed for files on disk
    size_bytes = upload.file.tell()
    upload.file.seek(0)
    found = Input(
        role=upload.role,
        field=upload.field,
        label=upload.label,
        content_type=upload.content_type,
        sha256=digest,
        size_bytes=size_bytes,
    )
    try:
        with Image.open(upload.file, formats=("PNG", "JPEG", "WEBP", "GIF")) as image:
            image.load()  # only decoding finds a truncated or damaged file
            found = replace(found, **_describe(image))
            return replace(found, **_measure(image)) if upload.role == "mask" else found
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return found


def _describe(image: Image.Image) -> dict[str, Any]:
    alpha = None
    if image.has_transparency_data:
        alpha = (image if "A" in image.getbands() else image.convert("RGBA")).getchannel("A").getextrema()
    is_turned = image.getexif().get(ExifTags.Base.Orientation) in _TURNED
    return {
        "format": (image.format or "").lower(),
        "mode": image.mode,
        "size": image.size,
        "upright": image.size[::-1] if is_turned else image.size,
        "has_alpha": alpha is not None,
        "has_holes": alpha is not None and alpha != (255, 255),
    }


def _measure(mask: Image.Image) -> dict[str, Any]:
    light = mask.convert("L").histogram()[_HALF:]
    opaque = mask.convert("RGBA").getchannel("A").histogram()[_HALF:]
    pixels = mask.width * mask.height
    return {"clear_share": 1 - sum(opaque) / pixels, "white_share": sum(light) / pixels}
