"""Read the image size of an order for the GPT image models.

Owns the rules for edges, ratio and pixels, and the wording of their refusals. DALL·E's lists are in `models`.
"""

import re

from service.sandbox.rules.models import Model
from service.sandbox.wire.error_envelope import ErrorType, Refusal, unsupported_value
from service.sandbox.wire.fields import Fields, read_choice, read_text

_SIZE = re.compile(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})")
_LONGEST_EDGE = 3840
_FEWEST_PIXELS = 655_360
_MOST_PIXELS = 8_294_400


def read_size(sent: Fields, model: Model) -> tuple[int, int]:
    """Return width and height in pixels; `auto` is 1024x1024, whatever the images of an edit are."""
    if model.sizes is not None:
        return _to_edges(read_choice(sent, "size", model.sizes, default="auto"))
    size = read_text({"size": "auto", **sent}, "size")
    if size != "auto" and not _SIZE.fullmatch(size):
        raise unsupported_value("size", size, ("WIDTHxHEIGHT", "auto"))
    width, height = _to_edges(size)
    if reason := _reason_against(width, height):
        message = f"Invalid size '{size}'. {reason}"
        raise Refusal(400, message, kind=ErrorType.IMAGE_USER, param="size", code="invalid_value")
    return width, height


def _to_edges(size: str) -> tuple[int, int]:
    if size == "auto":
        return 1024, 1024
    width, _, height = size.partition("x")
    return int(width), int(height)


def _reason_against(width: int, height: int) -> str | None:
    if max(width, height) > _LONGEST_EDGE:
        return f"The longest edge must be less than or equal to {_LONGEST_EDGE}."
    if width % 16 or height % 16:
        return "Width and height must both be divisible by 16."
    if max(width, height) > 3 * min(width, height):
        return (
            "The aspect ratio must be between 1:3 and 3:1."  # the limit is documented, the wording invented
        )
    if width * height < _FEWEST_PIXELS:
        return "Requested resolution is below the current minimum pixel budget."
    if width * height > _MOST_PIXELS:
        return "Requested resolution exceeds the current pixel budget."
    return None
