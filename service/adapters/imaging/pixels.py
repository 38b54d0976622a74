"""Decode, resample, composite and encode pixels with Pillow; only a worker imports this (`worker.py`)."""

import io
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from PIL import Image, ImageChops, ImageCms, ImageOps

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")

_STRIP_ROWS = 256
"""Rows to blend at once: an image of 40 megapixels is in memory three times, and no more."""
_HIGHEST_JPEG_QUALITY = 95
"""Above it Pillow makes larger files of the same pixels."""
_FULL_COLOUR_QUALITY = 90
"""From here on colours are as sharp as light."""
_METHODS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Turns for the Exif orientations (Exif 3.0, 4.6.5.1.6)."""


class Undecodable(Exception):
    """The provider's bytes are no image."""


def refuse_bombs(most_pixels: int) -> None:
    """Let Pillow open no image larger than *most_pixels*."""
    Image.MAX_IMAGE_PIXELS = most_pixels
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def finish(
    data: bytes,
    *,
    size: Sequence[int],
    kind: str,
    compression: int | None = None,
    cutout: Sequence[str] | None = None,
) -> bytes:
    """Resample the image to exactly *size* (Lanczos), and encode it as *kind*; if the shape differs, its longer sides are cropped.

    *cutout* has the paths of an image and a mask: where the mask is opaque, the pixels are those of the image, unchanged or
    resampled; partial alpha blends.

    Raises:
        Undecodable: *data* cannot be decoded.
    """
    painted = _decode(data)
    profile = painted.info.get("icc_profile")
    width, height = size
    painted = _fit(painted, (width, height))
    if cutout is not None:
        painted, profile = _restore(painted, profile, *cutout)
    return _save(painted, kind.upper(), profile, compression)


def has_transparent_pixel(data: bytes, *, image: str) -> bytes:
    """Return 1 if some pixel of the file *image* is not opaque, or else 0; *data* is empty."""
    with Image.open(image, formats=FORMATS) as opened:
        return bytes([any(_alpha_of(opened).histogram()[:255])])


def whiten(data: bytes, *, image: str, target: str) -> bytes:
    """Write the mask *image* to *target* as grey: white where it is transparent, black where opaque; *data* is empty."""
    with Image.open(image, formats=FORMATS) as opened:
        file = _save(ImageChops.invert(_alpha_of(opened)), "PNG", None, None)
    Path(target).write_bytes(file)
    return b""


def turn(data: bytes, *, image: str, orientation: int, target: str) -> bytes:
    """Write the file *image* to *target* as its Exif *orientation* means it, without one; *data* is empty."""
    with Image.open(image, formats=FORMATS) as opened:
        turned = opened.transpose(_METHODS[orientation])
        file = _save(turned, str(opened.format), opened.info.get("icc_profile"), _HIGHEST_JPEG_QUALITY)
    Path(target).write_bytes(file)
    return b""


def _decode(data: bytes) -> Image.Image:
    try:
        opened = Image.open(io.BytesIO(data), formats=FORMATS)
        opened.load()
    except MemoryError:
        raise
    except Exception as error:
        # A decoder raises anything.
        raise Undecodable from error
    return opened


def _restore(
    painted: Image.Image, profile: bytes | None, image_path: str, mask_path: str
) -> tuple[Image.Image, bytes | None]:
    """Return *painted* with the pixels that the mask keeps, in the colour space of the input, and its profile."""
    # Only the mask decides: the input's own transparency counts if the result can have some.
    mode = "RGBA" if _has_alpha(painted) else "RGB"
    with Image.open(image_path, formats=FORMATS) as image:
        wanted = image.info.get("icc_profile") if image.mode in ("RGB", "RGBA", "P") else None
        kept = _fit(_colours_of(image, mode), painted.size)
    with Image.open(mask_path, formats=("PNG",)) as mask:
        alpha = _fit(_alpha_of(mask), painted.size)
    painted = painted.convert(mode)
    with suppress(ImageCms.PyCMSError, OSError, ValueError):
        if wanted != profile:
            ImageCms.profileToProfile(painted, _space(profile), _space(wanted), inPlace=True)
            profile = wanted
    for top in range(0, painted.height, _STRIP_ROWS):
        box = (0, top, painted.width, min(painted.height, top + _STRIP_ROWS))
        painted.paste(_blend(kept.crop(box), painted.crop(box), alpha.crop(box)), box)
    return painted, profile


def _space(profile: bytes | None) -> Any:
    """Return a profile for Pillow; without one, colours are sRGB."""
    return io.BytesIO(profile) if profile else ImageCms.createProfile("sRGB")


def _blend(kept: Image.Image, painted: Image.Image, alpha: Image.Image) -> Image.Image:
    if kept.mode == "RGB":
        return Image.composite(kept, painted, alpha)
    # Colours count by their opacity, or transparent black would darken the border.
    blended = Image.composite(kept.convert("RGBa"), painted.convert("RGBa"), alpha).convert("RGBA")
    blended.paste(kept, mask=alpha.point([0] * 255 + [255]))
    blended.paste(painted, mask=alpha.point([255] + [0] * 255))
    return blended


def _fit(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    if image.size == size:
        return image
    # Palettes cannot be mixed: Pillow would fall back to the nearest pixel.
    if image.mode == "P":
        image = image.convert("RGBA" if _has_alpha(image) else "RGB")
    return ImageOps.fit(image, size, method=Image.Resampling.LANCZOS)


def _colours_of(image: Image.Image, mode: str) -> Image.Image:
    """Return the colours, in RGB those under any transparency; of 16 bits per channel the upper eight."""
    if image.mode == mode and not (mode == "RGB" and _has_alpha(image)):
        image.load()
        return image.copy()
    if image.mode.startswith("I"):
        grey = image.convert("I").point(lambda value: value * (1 / 256)).convert("L").convert(mode)
        if mode == "RGBA":
            grey.putalpha(_alpha_of(image))
        return grey
    coloured = image.convert("RGBA")
    return coloured if mode == "RGBA" else coloured.convert("RGB")


def _alpha_of(image: Image.Image) -> Image.Image:
    hidden = image.info.get("transparency")
    if image.mode == "I;16" and isinstance(hidden, int):
        # Pillow compares no grey of 16 bits: its two bytes are compared apart.
        raw = image.tobytes()
        is_hidden = ImageChops.darker(
            _equals(Image.frombytes("L", image.size, raw[0::2]), hidden & 0xFF),
            _equals(Image.frombytes("L", image.size, raw[1::2]), hidden >> 8),
        )
        return ImageChops.invert(is_hidden)
    return image.convert("RGBA").getchannel("A")


def _equals(image: Image.Image, value: int) -> Image.Image:
    return image.point([255 if each == value else 0 for each in range(256)])


def _save(image: Image.Image, kind: str, profile: bytes | None, compression: int | None) -> bytes:
    """Encode the image; *compression* is the API's `output_compression`, its default the highest quality."""
    quality = 100 if compression is None else compression
    options: dict[str, Any] = {"icc_profile": profile}
    if kind == "JPEG":
        image = _flatten(image)
        options["quality"] = max(1, min(quality, _HIGHEST_JPEG_QUALITY))
        options["subsampling"] = "4:4:4" if quality >= _FULL_COLOUR_QUALITY else "4:2:0"
    elif kind == "WEBP":
        options["quality"] = quality
    target = io.BytesIO()
    image.save(target, format=kind, **options)
    return target.getvalue()


def _flatten(image: Image.Image) -> Image.Image:
    """Return the image as JPEG can hold it: on white where it is transparent."""
    if image.mode in ("L", "RGB", "CMYK") and not _has_alpha(image):
        return image
    if not _has_alpha(image):
        return _colours_of(image, "RGB")
    coloured = _colours_of(image, "RGBA")
    flat = Image.new("RGB", image.size, "white")
    flat.paste(coloured, mask=coloured.getchannel("A"))
    return flat


def _has_alpha(image: Image.Image) -> bool:
    return "A" in image.getbands() or "transparency" in image.info
