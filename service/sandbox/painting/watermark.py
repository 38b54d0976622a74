"""Draw and read the watermark: the order hash and the serial number of an image, in its pixels.

The watermark is a board of 16 by 8 dark and light cells. Its place and size are fixed fractions of the image, so
it survives resizing, re-encoding and changes of the aspect ratio, but no cropping. 128 cells carry 8 bytes of order
hash, 4 bytes of serial number and 4 bytes of checksum, row by row, most significant bit first; light is 1.
"""

import io
import zlib
from dataclasses import dataclass

from PIL import Image, ImageDraw

from service.sandbox.rules.order_hash import HASH_BYTES

COLUMNS = 16
ROWS = 8
# left, top, right and bottom of the board, as fractions of width and height
BOARD = (1 / 24, 19 / 24, 9 / 24, 23 / 24)

_PAYLOAD_BYTES = HASH_BYTES + 4
_CELL_SAMPLES = 3


class WatermarkUnreadable(Exception):
    """The bytes are no image, or it has no undamaged watermark."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watermark:
    """*order_hash* is 16 hex digits, *serial* an unsigned 32-bit number."""

    order_hash: str
    serial: int


def draw_watermark(canvas: Image.Image, watermark: Watermark, *, light: int, dark: int) -> None:
    """Draw the board with a light rim of half a cell; *light* and *dark* are colours of the canvas."""
    draw = ImageDraw.Draw(canvas)
    left, top, right, bottom = _board_in(canvas)
    cell_width, cell_height = (right - left) / COLUMNS, (bottom - top) / ROWS
    rim = min(cell_width, cell_height) / 2
    draw.rectangle((left - rim, top - rim, right + rim - 1, bottom + rim - 1), fill=light)
    bits = _to_bits(watermark)
    for index in range(COLUMNS * ROWS):
        if bits >> (COLUMNS * ROWS - 1 - index) & 1:
            continue
        row, column = divmod(index, COLUMNS)
        x, y = left + column * cell_width, top + row * cell_height
        draw.rectangle((round(x), round(y), round(x + cell_width) - 1, round(y + cell_height) - 1), fill=dark)


def read_watermark(file: bytes) -> Watermark:
    """Return the watermark of a PNG, JPEG or WebP file; raises `WatermarkUnreadable`."""
    try:
        with Image.open(io.BytesIO(file)) as opened:
            image = opened.convert("RGBA")
    except (OSError, SyntaxError, ValueError) as error:
        raise WatermarkUnreadable("these bytes are not a readable image") from error
    # Of three samples per cell in each direction only the middle one counts: edges blur, centres do not.
    size = (COLUMNS * _CELL_SAMPLES, ROWS * _CELL_SAMPLES)
    samples = image.convert("L").resize(size, Image.Resampling.BOX, box=_board_in(image))
    light = samples.tobytes()
    bits = 0
    for row in range(ROWS):
        for column in range(COLUMNS):
            place = (row * _CELL_SAMPLES + 1) * samples.width + column * _CELL_SAMPLES + 1
            bits = bits << 1 | (light[place] >> 7)
    return _from_bits(bits)


def _board_in(image: Image.Image) -> tuple[float, float, float, float]:
    left, top, right, bottom = BOARD
    return left * image.width, top * image.height, right * image.width, bottom * image.height


def _to_bits(watermark: Watermark) -> int:
    payload = bytes.fromhex(watermark.order_hash) + watermark.serial.to_bytes(4)
    return int.from_bytes(payload + zlib.crc32(payload).to_bytes(4))


def _from_bits(bits: int) -> Watermark:
    board = bits.to_bytes(COLUMNS * ROWS // 8)
    payload, checksum = board[:_PAYLOAD_BYTES], board[_PAYLOAD_BYTES:]
    if zlib.crc32(payload).to_bytes(4) != checksum:
        raise WatermarkUnreadable("the image has no watermark, or a damaged one")
    return Watermark(order_hash=payload[:HASH_BYTES].hex(), serial=int.from_bytes(payload[HASH_BYTES:]))
