"""Pictures that clients upload, and looking at those that come back."""

import os
from pathlib import Path

from PIL import Image

SQUARE_EDGE = 256
HOLE = (64, 64, 192, 192)
"""What the mask leaves to be painted."""
_NO_PICTURE = b"\x89PNG\r\n\x1a\n and no more"


def draw_inputs(directory: Path) -> None:
    """Draw all that a client may send; noise, so that no two sessions or clients send the same."""
    square = _draw_noise(SQUARE_EDGE, SQUARE_EDGE)
    square.save(directory / "square.png")
    mask = Image.new("RGBA", square.size, (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), HOLE)
    mask.save(directory / "mask.png")
    _draw_noise(320, 192).save(directory / "wide.png")
    _draw_noise(256, 256).convert("RGB").save(directory / "photo.jpg", quality=60)
    (directory / "broken.png").write_bytes(_NO_PICTURE)
    # As the developer guide calls them.
    _draw_noise(SQUARE_EDGE, SQUARE_EDGE).save(directory / "sunlit_lounge.png")
    _draw_noise(SQUARE_EDGE, SQUARE_EDGE).save(directory / "corgi_and_cat_paw.png")
    (directory / "image_edit_mask.png").write_bytes(_NO_PICTURE)


def open_picture(path: str) -> Image.Image:
    """Open and decode a picture, whole."""
    with Image.open(path) as picture:
        picture.load()
        return picture


def differing_share(left: Image.Image, right: Image.Image, box: tuple[int, int, int, int]) -> float:
    """Return the share of pixels inside *box* whose colours differ."""
    pairs = zip(_colours(left, box), _colours(right, box), strict=True)
    area = (box[2] - box[0]) * (box[3] - box[1])
    return sum(one != other for one, other in pairs) / area


def _colours(picture: Image.Image, box: tuple[int, int, int, int]) -> list[bytes]:
    data = picture.convert("RGB").crop(box).tobytes()
    return [data[i : i + 3] for i in range(0, len(data), 3)]


def _draw_noise(width: int, height: int) -> Image.Image:
    picture = Image.frombytes("RGB", (width, height), os.urandom(width * height * 3))
    # DALL·E 2 took pictures with an alpha channel only.
    picture.putalpha(255)
    return picture
