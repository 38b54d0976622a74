"""Pictures that come with an order: what their bytes are.

Owns looking into a file, which is done once and in a thread. Does not judge (`edit_rules`, `dalle`), and keeps
nothing of the file but what it found.
"""

import hashlib
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from PIL import ExifTags, Image

from service.sandbox.journal import JournalInput

MEBIBYTE = 1024 * 1024  # the API says "MB" and not which; the larger one refuses less
_TURNED = (5, 6, 7, 8)  # the EXIF orientations that lie on their side
_PATCH = 32  # pixels of a token's edge; invented


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One picture, or what was sent in its place: then *format* is None and the rest is meaningless.

    *role* is `image`, `mask` or `markup`; *field* its name on the wire; *label* what a refusal calls it. *format*
    and *mode* are Pillow's names, the first in lower case; *upright* is the size after the file's orientation.
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
    has_holes: bool = False

    @property
    def tokens(self) -> int:
        width, height = self.size
        return -(-width // _PATCH) * -(-height // _PATCH)

    def to_journal(self) -> JournalInput:
        width, height = self.size if self.format else (None, None)
        return JournalInput(
            field=self.field,
            sha256=self.sha256,
            size_bytes=self.size_bytes,
            content_type=self.content_type,
            format=self.format,
            width=width,
            height=height,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A file as it came; the names are those of `Input`."""

    role: str
    field: str
    label: str
    content_type: str | None
    file: BinaryIO


def inspect_upload(upload: Upload) -> Input:
    """Read the whole file, decode it, and return what it is."""
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
        with Image.open(upload.file, formats=("PNG", "JPEG", "WEBP", "GIF")) as picture:
            picture.load()  # a file cut short or damaged is found only by decoding
            return replace(found, **_describe(picture))
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return found


def _describe(picture: Image.Image) -> dict[str, Any]:
    alpha = None
    if picture.has_transparency_data:
        alpha = (
            (picture if "A" in picture.getbands() else picture.convert("RGBA")).getchannel("A").getextrema()
        )
    is_turned = picture.getexif().get(ExifTags.Base.Orientation) in _TURNED
    return {
        "format": (picture.format or "").lower(),
        "mode": picture.mode,
        "size": picture.size,
        "upright": picture.size[::-1] if is_turned else picture.size,
        "has_alpha": alpha is not None,
        "has_holes": alpha is not None and alpha != (255, 255),
    }
