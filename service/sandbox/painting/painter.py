"""Paint one image: a small landscape with a label and a watermark.

Combines the parts of an image and encodes the file. Everything is a pure function of the `ImagePlan`, so equal
plans give equal bytes; `studio` decides when and where painting runs.

A canvas has one byte per pixel, an index into the palette. An opaque PNG is written like that, for a fifth of the
CPU time of three bytes per pixel; images with transparency, JPEG and WebP are converted first, which gives a real
alpha channel.
"""

import io

from PIL import Image

from service.sandbox.painting.content_credentials import embed_credentials
from service.sandbox.painting.image_plan import ImagePlan
from service.sandbox.painting.label import draw_label
from service.sandbox.painting.landscape import draw_landscape
from service.sandbox.painting.palette import CLEAR, DARK, LIGHT, PAPER, Taste
from service.sandbox.painting.watermark import draw_watermark

_FLAT_DARK, _FLAT_LIGHT, _FLAT_CLEAR = 0, 1, 2
_HIGHEST_JPEG_QUALITY = 95  # above it Pillow only makes the file larger


def paint(plan: ImagePlan) -> bytes:
    """Return the encoded file, in `output_format` (png, jpeg or webp)."""
    canvas = _paint_flat(plan) if plan.is_flat else _paint_full(plan)
    if plan.is_transparent:
        canvas.info["transparency"] = _FLAT_CLEAR if plan.is_flat else CLEAR
        canvas = canvas.convert("RGBA")
    elif plan.output_format != "png":
        canvas = canvas.convert("RGB")
    return _encode(canvas, plan)


def _paint_flat(plan: ImagePlan) -> Image.Image:
    # With three colours a pixel of a PNG has two bits, which halves the cost once more.
    canvas = Image.new("P", plan.size, _FLAT_CLEAR if plan.is_transparent else _FLAT_DARK)
    ink = Taste(plan).ink
    canvas.putpalette([*ink, *PAPER, *ink])
    draw_watermark(canvas, plan.watermark, light=_FLAT_LIGHT, dark=_FLAT_DARK)
    return canvas


def _paint_full(plan: ImagePlan) -> Image.Image:
    taste = Taste(plan)
    canvas = draw_landscape(plan, taste)
    draw_label(canvas, plan)
    canvas = canvas if plan.block == 1 else canvas.resize(plan.size, Image.Resampling.NEAREST)
    draw_watermark(canvas, plan.watermark, light=LIGHT, dark=DARK)
    canvas.putpalette(taste.to_palette())
    return canvas


def _encode(canvas: Image.Image, plan: ImagePlan) -> bytes:
    file = io.BytesIO()
    match plan.output_format:
        case "jpeg":
            canvas.save(file, "JPEG", quality=min(plan.output_compression, _HIGHEST_JPEG_QUALITY))
        case "webp":
            canvas.save(file, "WEBP", quality=plan.output_compression, method=0)
        case _:
            canvas.save(file, "PNG", compress_level=1)
    return embed_credentials(file.getvalue()) if plan.has_credentials else file.getvalue()
