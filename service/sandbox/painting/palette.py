"""Choose the colours of one image.

Owns the palette of a canvas: 64 greys for the label and the watermark, 128 shades of the sky, then hills and sun.
"""

import hashlib
import random
from colorsys import hsv_to_rgb

from service.sandbox.painting.image_plan import ImagePlan

Colour = tuple[int, int, int]

PAPER = (255, 255, 255)
HILLS = 5
SKY_SHADES = 128
# Indices of the palette; a section starts at SKY, HILL and SUN.
DARK, LIGHT, SKY, HILL, SUN, CLEAR = 0, 63, 64, 192, 200, 255


class Taste:
    """The random choices of one image: hue and time of day from the prompt, the rest from order and serial number.

    *dice* is also the source of its shapes.
    """

    def __init__(self, plan: ImagePlan) -> None:
        seed = hashlib.sha256(plan.prompt.encode(errors="replace")).digest()
        self.dice = random.Random(f"{plan.watermark.order_hash}/{plan.watermark.serial}")
        # A few degrees between the images of one order make them look like variations of each other.
        self.hue = seed[0] / 256 + self.dice.uniform(-0.04, 0.04)
        self.is_night = seed[1] < 80
        # Dark enough for the watermark, and different each time: an edit of a painted image must differ from it in
        # every place.
        self.ink = _colour(self.dice.random(), self.dice.uniform(0.3, 0.7), self.dice.uniform(0.08, 0.2))

    def to_palette(self) -> list[int]:
        zenith, horizon, sun = self._zenith(), self._horizon(), self._sun()
        colours = [_blend(self.ink, PAPER, index / (SKY - 1)) for index in range(SKY)]
        colours += [_blend(zenith, horizon, index / (SKY_SHADES - 1)) for index in range(SKY_SHADES)]
        colours += [self._hill(index / (HILLS - 1)) for index in range(HILLS)]
        colours += [self.ink] * (SUN - len(colours))
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
