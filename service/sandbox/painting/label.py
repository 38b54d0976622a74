"""Draw the label of an image: model, size, quality, serial number and prompt, beside the watermark.

Owns the font for letters outside ASCII (`fonts/`).
"""

import io
from functools import cache
from importlib.resources import files
from unicodedata import east_asian_width

from PIL import Image, ImageDraw, ImageFont

from service.sandbox.painting.image_plan import ImagePlan

_STRIP_TOP = 0.75  # label and watermark are below this share of the height
_LONGEST_PROMPT = 50  # columns, two for a full-width letter


def draw_label(canvas: Image.Image, plan: ImagePlan) -> None:
    # Pillow smooths letters only on greys, so the strip is drawn in greys and then mapped onto those of the palette.
    top = round(_STRIP_TOP * canvas.height)
    strip = Image.new("L", (canvas.width, canvas.height - top))
    draw = ImageDraw.Draw(strip)
    unit, left, middle = min(canvas.size) / 1024, 0.415 * canvas.width, strip.height / 2
    facts = f"{plan.model}   {plan.width}x{plan.height}   {plan.quality}   No. {plan.watermark.serial}"
    prompt = _shorten(plan.prompt)
    draw.text((left, middle - 90 * unit), "SANDBOX", font=_font(76 * unit), fill=255)
    draw.text((left, middle + 12 * unit), facts, font=_font(25 * unit), fill=205)
    draw.text((left, middle + 54 * unit), prompt, font=_font(22 * unit, prompt), fill=150)
    indices = strip.point([grey // 4 for grey in range(256)])
    canvas.paste(Image.frombytes("P", indices.size, indices.tobytes()), (0, top))


def _font(size: float, text: str = "") -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    # Opened for each use: threads must not share a FreeType face.
    if text.isascii():  # Pillow's own font has few other letters
        return ImageFont.load_default(max(size, 5))
    file = io.BytesIO(_read_wide_font())
    return ImageFont.truetype(file, max(size, 5), layout_engine=ImageFont.Layout.BASIC)


@cache
def _read_wide_font() -> bytes:
    return (files("service.sandbox.painting") / "fonts" / "wqy-microhei.ttf").read_bytes()


def _shorten(prompt: str) -> str:
    """Return one line, cut to the columns that fit beside the watermark."""
    line = " ".join(prompt.split())
    columns, shown = 0, ""
    for letter in line:
        columns += 2 if east_asian_width(letter) in "WF" else 1
        if columns > _LONGEST_PROMPT:
            return f"{shown.rstrip()}..."
        shown += letter
    return shown
