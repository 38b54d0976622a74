"""A machine-readable mark in the pixels: which order a picture answers, and which picture it is.

Owns the order hash, the layout of the mark, drawing and reading it. The mark is a board of 16 by 8 black and
white cells whose place and cell size are fixed fractions of the picture, so that it survives any resize,
re-encoding and change of aspect ratio (but no cropping). 128 cells carry 8 bytes of order hash, 4 bytes of
serial number and 4 bytes of checksum, most significant bit first, row by row; white is 1.
"""

import hashlib
import io
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson
from PIL import Image, ImageDraw

COLUMNS = 16
ROWS = 8
# left, top, right, bottom of the board as fractions of width and height
BOARD = (1 / 24, 19 / 24, 9 / 24, 23 / 24)

# Everything that shapes the picture; not who asked, how many, how it is delivered or screened.
_PICTURE_PARAMETERS = (
    "background",
    "complexity",
    "input_fidelity",
    "model",
    "output_compression",
    "output_format",
    "prompt",
    "quality",
    "size",
    "style",
)
_HASH_BYTES = 8
_PAYLOAD_BYTES = _HASH_BYTES + 4
_CELL_SAMPLES = 3


class MarkUnreadable(Exception):
    """The bytes are no picture, or no undamaged mark is in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """*order_hash* is 16 hex digits, *serial* an unsigned 32-bit number."""

    order_hash: str
    serial: int


def order_hash(parameters: Mapping[str, object], inputs: Mapping[str, Sequence[str]] | None = None) -> str:
    """Return 16 hex digits for the request parameters exactly as sent; null counts as absent.

    Defaults are not filled in: a request with `quality: "auto"` hashes differently from one without. *inputs* are
    the SHA-256 in hex of the pictures sent along, by role: `image`, `mask`, `markup`; of numbers and flags in a
    form the value counts, not its spelling.
    """
    shaping = {name: parameters[name] for name in _PICTURE_PARAMETERS if parameters.get(name) is not None}
    if inputs:
        shaping["inputs"] = {role: list(digests) for role, digests in inputs.items() if digests}
    canonical = orjson.dumps(shaping, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).digest()[:_HASH_BYTES].hex()


def draw_mark(canvas: Image.Image, mark: Mark, *, light: int, dark: int) -> None:
    """Draw the board with a light rim of half a cell; *light* and *dark* are colours of the canvas' palette."""
    draw = ImageDraw.Draw(canvas)
    left, top, right, bottom = _board_in(canvas)
    cell_width, cell_height = (right - left) / COLUMNS, (bottom - top) / ROWS
    rim = min(cell_width, cell_height) / 2
    draw.rectangle((left - rim, top - rim, right + rim - 1, bottom + rim - 1), fill=light)
    bits = _to_bits(mark)
    for index in range(COLUMNS * ROWS):
        if bits >> (COLUMNS * ROWS - 1 - index) & 1:
            continue
        row, column = divmod(index, COLUMNS)
        x, y = left + column * cell_width, top + row * cell_height
        draw.rectangle((round(x), round(y), round(x + cell_width) - 1, round(y + cell_height) - 1), fill=dark)


def read_mark(image_bytes: bytes) -> Mark:
    """Return the mark of a PNG, JPEG or WebP file; raises `MarkUnreadable`."""
    try:
        with Image.open(io.BytesIO(image_bytes)) as image:
            picture = image.convert("RGBA")
    except (OSError, SyntaxError, ValueError) as error:
        raise MarkUnreadable("these bytes are not a readable picture") from error
    # Three samples a cell each way, of which the middle one is kept: edges blur, centres do not.
    size = (COLUMNS * _CELL_SAMPLES, ROWS * _CELL_SAMPLES)
    samples = picture.convert("L").resize(size, Image.Resampling.BOX, box=_board_in(picture))
    light = samples.tobytes()
    bits = 0
    for row in range(ROWS):
        for column in range(COLUMNS):
            place = (row * _CELL_SAMPLES + 1) * samples.width + column * _CELL_SAMPLES + 1
            bits = bits << 1 | (light[place] >> 7)
    return _from_bits(bits)


def _board_in(picture: Image.Image) -> tuple[float, float, float, float]:
    left, top, right, bottom = BOARD
    return left * picture.width, top * picture.height, right * picture.width, bottom * picture.height


def _to_bits(mark: Mark) -> int:
    payload = bytes.fromhex(mark.order_hash) + mark.serial.to_bytes(4)
    return int.from_bytes(payload + zlib.crc32(payload).to_bytes(4))


def _from_bits(bits: int) -> Mark:
    board = bits.to_bytes(COLUMNS * ROWS // 8)
    payload, checksum = board[:_PAYLOAD_BYTES], board[_PAYLOAD_BYTES:]
    if zlib.crc32(payload).to_bytes(4) != checksum:
        raise MarkUnreadable("the picture carries no mark, or a damaged one")
    return Mark(order_hash=payload[:_HASH_BYTES].hex(), serial=int.from_bytes(payload[_HASH_BYTES:]))
