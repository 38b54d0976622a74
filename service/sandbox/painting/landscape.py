"""Draw a small landscape: sky, sun or moon with stars, hills.

Owns the shapes; `palette` owns the colours.
"""

import math

from PIL import Image, ImageDraw

from service.sandbox.painting.image_plan import ImagePlan
from service.sandbox.painting.palette import CLEAR, HILL, HILLS, SKY, SKY_SHADES, SUN, Taste

_STEPS = 64  # corners of a hill's ridge: fewer look angular, more take longer


def draw_landscape(plan: ImagePlan, taste: Taste) -> Image.Image:
    """Return a new canvas of palette indices, of the plan's `canvas_size`."""
    canvas = _draw_sky(plan)
    _draw_sun(canvas, taste)
    for index in range(HILLS):
        _draw_hill(canvas, taste, index)
    return canvas


def _draw_sky(plan: ImagePlan) -> Image.Image:
    size = plan.canvas_size
    if plan.is_transparent:
        return Image.new("P", size, CLEAR)
    height = size[1]
    column = Image.new("P", (1, height))
    last = SKY_SHADES - 1
    # The shades end at half of the height: the hills cover the rest.
    column.putdata([SKY + min(last, 2 * last * y // height) for y in range(height)])
    return column.resize(size, Image.Resampling.NEAREST)


def _draw_sun(canvas: Image.Image, taste: Taste) -> None:
    draw, dice, unit = ImageDraw.Draw(canvas), taste.dice, min(canvas.size)
    if taste.is_night:
        for _ in range(60):
            left, top = dice.uniform(0, canvas.width), dice.uniform(0, 0.45 * canvas.height)
            size = unit * dice.uniform(0.001, 0.003)
            draw.ellipse((left, top, left + size, top + size), fill=SUN + 2)
    x, y = dice.uniform(0.22, 0.78) * canvas.width, dice.uniform(0.18, 0.34) * canvas.height
    radius = unit * dice.uniform(0.06, 0.10)
    for index, growth in enumerate((1.55, 1.25, 1.0)):
        ring = radius * growth
        draw.ellipse((x - ring, y - ring, x + ring, y + ring), fill=SUN + index)


def _draw_hill(canvas: Image.Image, taste: Taste, index: int) -> None:
    width, height = canvas.size
    base, rise = (0.43 + 0.075 * index) * height, (0.085 - 0.009 * index) * height
    long, short = taste.dice.uniform(0.6, 1.4), taste.dice.uniform(2.2, 4.5)
    phase, other = taste.dice.uniform(0, math.tau), taste.dice.uniform(0, math.tau)
    ridge = []
    for step in range(_STEPS + 1):
        along = step / _STEPS
        wave = math.sin(phase + math.tau * long * along) + 0.35 * math.sin(other + math.tau * short * along)
        ridge.append((along * width, base - rise * wave))
    ImageDraw.Draw(canvas).polygon([*ridge, (width, height), (0, height)], fill=HILL + index)
