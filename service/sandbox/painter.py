"""Painting one picture: a small landscape whose colours come from the prompt.

Owns how a picture looks and how it is encoded. Does not own the mark's layout (`marks`) nor when and where
painting runs (`studio`). Everything is a pure function of the `Picture`, so equal pictures have equal bytes.

The canvas has one byte a pixel, an index into a palette in sections: 64 greys of the label, 128 of the sky, then
hills and sun. An opaque PNG is written just so, which costs a fifth of the CPU time of three bytes a pixel;
pictures with transparency, JPEG and WebP are converted first, so that an alpha channel really is one.
"""

import hashlib
import io
import math
import random
import zlib
from colorsys import hsv_to_rgb
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from unicodedata import east_asian_width

from PIL import Image, ImageDraw, ImageFont

from service.sandbox.marks import Mark, draw_mark

Colour = tuple[int, int, int]

_HILLS = 5
_STEPS = 64  # corners of a hill's ridge: fewer look angular, more cost time
_PAPER = (255, 255, 255)
_DARK, _LIGHT, _SKY, _SKY_SHADES, _HILL, _SUN, _CLEAR = 0, 63, 64, 128, 192, 200, 255
_FLAT_DARK, _FLAT_LIGHT, _FLAT_CLEAR = 0, 1, 2
_STRIP = 0.75  # the label and the mark stand below this share of the height
_LONGEST_LABEL = 50  # columns, of which a letter of full width takes two
_HIGHEST_JPEG_QUALITY = 95  # above it Pillow only makes the file larger


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """One image to paint; *is_flat* leaves everything out but the mark, which is several times cheaper.

    A sketch has *block* above 1: it is painted that many times smaller and enlarged to squares of so many pixels,
    all but the mark. It looks like the finished image seen from afar.
    """

    model: str
    prompt: str
    width: int
    height: int
    quality: str
    output_format: str
    output_compression: int
    is_transparent: bool
    is_flat: bool
    mark: Mark
    block: int = 1
    has_credentials: bool = False

    @property
    def size(self) -> tuple[int, int]:
        return self.width, self.height

    @property
    def canvas_size(self) -> tuple[int, int]:
        return max(1, self.width // self.block), max(1, self.height // self.block)


def paint(picture: Picture) -> bytes:
    """Return the encoded file, in `output_format` (png, jpeg or webp)."""
    canvas = _paint_flat(picture) if picture.is_flat else _paint_landscape(picture)
    if picture.is_transparent:
        canvas.info["transparency"] = _FLAT_CLEAR if picture.is_flat else _CLEAR
        canvas = canvas.convert("RGBA")
    elif picture.output_format != "png":
        canvas = canvas.convert("RGB")
    return _encode(canvas, picture)


def _paint_flat(picture: Picture) -> Image.Image:
    # With three colours a pixel of a PNG is two bits, which halves the cost once more.
    canvas = Image.new("P", picture.size, _FLAT_CLEAR if picture.is_transparent else _FLAT_DARK)
    ink = _Taste(picture).ink
    canvas.putpalette([*ink, *_PAPER, *ink])
    draw_mark(canvas, picture.mark, light=_FLAT_LIGHT, dark=_FLAT_DARK)
    return canvas


def _paint_landscape(picture: Picture) -> Image.Image:
    taste = _Taste(picture)
    canvas = _paint_sky(picture)
    _draw_sun(canvas, taste)
    for index in range(_HILLS):
        _draw_hill(canvas, taste, index)
    _draw_label(canvas, picture)
    canvas = canvas if picture.block == 1 else canvas.resize(picture.size, Image.Resampling.NEAREST)
    draw_mark(canvas, picture.mark, light=_LIGHT, dark=_DARK)
    canvas.putpalette(taste.to_palette())
    return canvas


class _Taste:
    """The choices of one picture: its colours from the prompt, its shapes from the order and the serial number."""

    def __init__(self, picture: Picture) -> None:
        seed = hashlib.sha256(picture.prompt.encode(errors="replace")).digest()
        self.dice = random.Random(f"{picture.mark.order_hash}/{picture.mark.serial}")
        # A few degrees between the pictures of one order, so that they look like variations of each other.
        self.hue = seed[0] / 256 + self.dice.uniform(-0.04, 0.04)
        self.is_night = seed[1] < 80
        # Dark enough for the mark, and never the same twice: an edit of one of our own pictures has to differ from
        # it in every place.
        self.ink = _colour(self.dice.random(), self.dice.uniform(0.3, 0.7), self.dice.uniform(0.08, 0.2))

    def to_palette(self) -> list[int]:
        zenith, horizon, sun = self._zenith(), self._horizon(), self._sun()
        colours = [_blend(self.ink, _PAPER, index / (_SKY - 1)) for index in range(_SKY)]
        colours += [_blend(zenith, horizon, index / (_SKY_SHADES - 1)) for index in range(_SKY_SHADES)]
        colours += [self._hill(index / (_HILLS - 1)) for index in range(_HILLS)]
        colours += [self.ink] * (_SUN - len(colours))
        colours += [_blend(horizon, sun, share) for share in (0.25, 0.55, 1.0)]
        return [level for colour in colours for level in colour]

    def _zenith(self) -> Colour:
        return _colour(self.hue, 0.75, 0.20) if self.is_night else _colour(self.hue, 0.52, 0.84)

    def _horizon(self) -> Colour:
        return _colour(self.hue + 0.09, 0.55, 0.62) if self.is_night else _colour(self.hue + 0.12, 0.18, 1.0)

    def _sun(self) -> Colour:
        return _colour(self.hue + 0.5, 0.06, 1.0) if self.is_night else _colour(0.13, 0.18, 1.0)

    def _hill(self, nearness: float) -> Colour:
        """Return a ridge's colour; *nearness* runs from 0 (far, in the haze) to 1."""
        brightness = 0.55 - 0.42 * nearness if self.is_night else 0.82 - 0.58 * nearness
        return _colour(self.hue + 0.06 * (1 - nearness), 0.30 + 0.38 * nearness, brightness)


def _colour(hue: float, saturation: float, brightness: float) -> Colour:
    red, green, blue = hsv_to_rgb(hue % 1, saturation, brightness)
    return round(red * 255), round(green * 255), round(blue * 255)


def _blend(start: Colour, end: Colour, share: float) -> Colour:
    red, green, blue = (round(one + (other - one) * share) for one, other in zip(start, end, strict=True))
    return red, green, blue


def _paint_sky(picture: Picture) -> Image.Image:
    size = picture.canvas_size
    if picture.is_transparent:
        return Image.new("P", size, _CLEAR)
    height = size[1]
    column = Image.new("P", (1, height))
    last = _SKY_SHADES - 1
    # Half of the height is enough: the hills cover the rest.
    column.putdata([_SKY + min(last, 2 * last * y // height) for y in range(height)])
    return column.resize(size, Image.Resampling.NEAREST)


def _draw_sun(canvas: Image.Image, taste: _Taste) -> None:
    draw, dice, unit = ImageDraw.Draw(canvas), taste.dice, min(canvas.size)
    if taste.is_night:
        for _ in range(60):
            left, top = dice.uniform(0, canvas.width), dice.uniform(0, 0.45 * canvas.height)
            size = unit * dice.uniform(0.001, 0.003)
            draw.ellipse((left, top, left + size, top + size), fill=_SUN + 2)
    x, y = dice.uniform(0.22, 0.78) * canvas.width, dice.uniform(0.18, 0.34) * canvas.height
    radius = unit * dice.uniform(0.06, 0.10)
    for index, growth in enumerate((1.55, 1.25, 1.0)):
        ring = radius * growth
        draw.ellipse((x - ring, y - ring, x + ring, y + ring), fill=_SUN + index)


def _draw_hill(canvas: Image.Image, taste: _Taste, index: int) -> None:
    width, height = canvas.size
    base, rise = (0.43 + 0.075 * index) * height, (0.085 - 0.009 * index) * height
    long, short = taste.dice.uniform(0.6, 1.4), taste.dice.uniform(2.2, 4.5)
    phase, other = taste.dice.uniform(0, math.tau), taste.dice.uniform(0, math.tau)
    ridge = []
    for step in range(_STEPS + 1):
        along = step / _STEPS
        wave = math.sin(phase + math.tau * long * along) + 0.35 * math.sin(other + math.tau * short * along)
        ridge.append((along * width, base - rise * wave))
    ImageDraw.Draw(canvas).polygon([*ridge, (width, height), (0, height)], fill=_HILL + index)


def _draw_label(canvas: Image.Image, picture: Picture) -> None:
    # Letters are smooth only on greys, so the strip is drawn as such and then mapped onto the label's palette.
    top = round(_STRIP * canvas.height)
    strip = Image.new("L", (canvas.width, canvas.height - top))
    draw = ImageDraw.Draw(strip)
    unit, left, middle = min(canvas.size) / 1024, 0.415 * canvas.width, strip.height / 2
    facts = (
        f"{picture.model}   {picture.width}x{picture.height}   {picture.quality}   No. {picture.mark.serial}"
    )
    prompt = _shorten(picture.prompt)
    draw.text((left, middle - 90 * unit), "SANDBOX", font=_font(76 * unit), fill=255)
    draw.text((left, middle + 12 * unit), facts, font=_font(25 * unit), fill=205)
    draw.text((left, middle + 54 * unit), prompt, font=_font(22 * unit, prompt), fill=150)
    indices = strip.point([grey // 4 for grey in range(256)])
    canvas.paste(Image.frombytes("P", indices.size, indices.tobytes()), (0, top))


def _font(size: float, text: str = "") -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    # Opened for each use: a FreeType face must not be shared between threads.
    if text.isascii():  # Pillow's own font has little else
        return ImageFont.load_default(max(size, 5))
    file = io.BytesIO(_read_wide_font())
    return ImageFont.truetype(file, max(size, 5), layout_engine=ImageFont.Layout.BASIC)


@cache
def _read_wide_font() -> bytes:
    return (files("service.sandbox") / "fonts" / "wqy-microhei.ttf").read_bytes()


def _shorten(prompt: str) -> str:
    """Return one line of at most as many columns as fit beside the mark."""
    line = " ".join(prompt.split())
    columns, shown = 0, ""
    for letter in line:
        columns += 2 if east_asian_width(letter) in "WF" else 1
        if columns > _LONGEST_LABEL:
            return f"{shown.rstrip()}..."
        shown += letter
    return shown


def _encode(canvas: Image.Image, picture: Picture) -> bytes:
    file = io.BytesIO()
    match picture.output_format:
        case "jpeg":
            canvas.save(file, "JPEG", quality=min(picture.output_compression, _HIGHEST_JPEG_QUALITY))
        case "webp":
            canvas.save(file, "WEBP", quality=picture.output_compression, method=0)
        case _:
            canvas.save(file, "PNG", compress_level=1)
    return embed_credentials(file.getvalue()) if picture.has_credentials else file.getvalue()


def embed_credentials(file: bytes) -> bytes:
    """Return a PNG with an empty C2PA manifest store behind its header, in a chunk `caBX` (C2PA 2.x, A.3)."""
    kind, end_of_header = b"caBX", 33
    description = _to_box(b"jumd", b"c2pa" + bytes.fromhex("00110010800000aa00389b71") + b"\x03c2pa\x00")
    store = _to_box(b"jumb", description)
    chunk = len(store).to_bytes(4) + kind + store + zlib.crc32(kind + store).to_bytes(4)
    return file[:end_of_header] + chunk + file[end_of_header:]


def _to_box(kind: bytes, content: bytes) -> bytes:
    return (len(content) + 8).to_bytes(4) + kind + content
