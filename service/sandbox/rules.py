"""What a generation request may say, and the refusal for everything else.

Owns the parameters of the GPT image models and how they combine; `dalle` owns the older contract. Does not
paint and does not know about faults.
"""

import re

from service.sandbox.dalle import read_dalle_order
from service.sandbox.fields import Fields, read_choice, read_flag, read_integer, read_optional_text, read_text
from service.sandbox.marks import order_hash
from service.sandbox.models import Catalogue, Contract, Model
from service.sandbox.orders import Order
from service.sandbox.refusals import ErrorType, Refusal, unknown_parameter, unsupported_value

# `frame_count`, `frame_duration_ms`, `svg` and the formats gif and svg are gated by access; like most accounts
# the sandbox has none.
_PARAMETERS = frozenset(
    {
        "background",
        "complexity",
        "model",
        "moderation",
        "n",
        "output_compression",
        "output_format",
        "partial_images",
        "prompt",
        "quality",
        "safety_identifier",
        "size",
        "stream",
        "user",
    }
)
_FORMATS = ("png", "webp", "jpeg")
_BACKGROUNDS = ("transparent", "opaque", "auto")
_LEVELS = ("low", "medium", "high")
_SIZE = re.compile(r"([1-9][0-9]{0,5})x([1-9][0-9]{0,5})")
_LONGEST_EDGE = 3840
_FEWEST_PIXELS = 655_360
_MOST_PIXELS = 8_294_400


def read_order(fields: Fields, catalogue: Catalogue) -> Order:
    """Return the order, or raise the `Refusal` the API would answer.

    A member that is null counts as absent, as the SDKs expect.
    """
    sent = {name: value for name, value in fields.items() if value is not None}
    if catalogue.default_model is not None:
        sent.setdefault("model", catalogue.default_model)
    model = catalogue.find(read_text(sent, "model"))
    if model.contract is Contract.DALLE:
        return read_dalle_order(sent, model)
    return _read_gpt_order(sent, model)


def _read_gpt_order(sent: Fields, model: Model) -> Order:
    _refuse_unknown(sent, model)
    prompt = read_text(sent, "prompt", longest=model.longest_prompt)
    n = read_integer(sent, "n", default=1, lowest=1, highest=model.images_max)
    width, height = _read_size(sent, model)
    quality = read_choice(sent, "quality", model.qualities, default="auto")
    output_format = read_choice(sent, "output_format", _FORMATS, default="png")
    read_choice(sent, "moderation", ("low", "auto"), default="auto")
    _refuse_streaming(sent)
    return Order(
        model=model,
        prompt=prompt,
        n=n,
        width=width,
        height=height,
        quality="low" if quality == "auto" else quality,
        order_hash=order_hash(sent),
        background=_read_background(sent, output_format),
        output_format=output_format,
        output_compression=_read_compression(sent, output_format),
        safety_identifier=_read_identifier(sent),
    )


def _refuse_unknown(sent: Fields, model: Model) -> None:
    for name in sent:
        if name not in _PARAMETERS:
            raise unknown_parameter(name)
    if "complexity" not in sent:
        return
    if not model.has_complexity:
        # Not captured: worded like the seen refusal of `input_fidelity` by gpt-image-2.
        raise Refusal(
            400,
            f"The model '{model.name}' does not support the 'complexity' parameter.",
            kind=ErrorType.IMAGE_USER,
            param="complexity",
            code="invalid_complexity_model",
        )
    read_choice(sent, "complexity", _LEVELS, default="medium")


def _read_size(sent: Fields, model: Model) -> tuple[int, int]:
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
        return "The aspect ratio must be between 1:3 and 3:1."  # the limit is documented, its wording is ours
    if width * height < _FEWEST_PIXELS:
        return "Requested resolution is below the current minimum pixel budget."
    if width * height > _MOST_PIXELS:
        return "Requested resolution exceeds the current pixel budget."
    return None


def _read_background(sent: Fields, output_format: str) -> str:
    background = read_choice(sent, "background", _BACKGROUNDS, default="auto")
    if background == "transparent" and output_format == "jpeg":
        message = "Transparent background requires output_format 'png' or 'webp'."
        raise Refusal(400, message, kind=ErrorType.IMAGE_USER, param="background", code="invalid_value")
    return "opaque" if background == "auto" else background


def _read_compression(sent: Fields, output_format: str) -> int:
    compression = read_integer(sent, "output_compression", default=100, lowest=0, highest=100)
    if "output_compression" in sent and output_format == "png":
        message = "output_compression is only supported for output_format 'webp' or 'jpeg'."
        raise Refusal(
            400, message, kind=ErrorType.IMAGE_USER, param="output_compression", code="invalid_value"
        )
    return compression


def _refuse_streaming(sent: Fields) -> None:
    partial_images = read_integer(sent, "partial_images", default=0, lowest=0, highest=3)
    if read_flag(sent, "stream"):
        message = "Streaming is not supported by the sandbox yet."
        raise Refusal(400, message, param="stream", code="unsupported_value")
    if partial_images:
        message = "partial_images is only supported when stream is true."
        raise Refusal(400, message, param="partial_images", code="invalid_value")


def _read_identifier(sent: Fields) -> str | None:
    """Return what is echoed: a non-empty `safety_identifier` wins over the deprecated `user`."""
    user = read_optional_text(sent, "user")
    return read_optional_text(sent, "safety_identifier") or user
