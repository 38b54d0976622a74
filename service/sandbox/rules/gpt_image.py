"""Read an order for the GPT image models, and refuse parameters they do not take.

Owns the parameters of generations and edits and their combinations; `dalle` owns the older contract,
`gpt_image_edits` the images that come with an edit.
"""

from service.sandbox.rules.accepted_order import Order
from service.sandbox.rules.gpt_image_edits import Masks, check_edit
from service.sandbox.rules.models import Model
from service.sandbox.rules.order_hash import order_hash
from service.sandbox.rules.sizes import read_size
from service.sandbox.wire.error_envelope import (
    ErrorType,
    Refusal,
    unknown_parameter,
    unsupported_parameter,
)
from service.sandbox.wire.fields import (
    Fields,
    read_choice,
    read_flag,
    read_integer,
    read_optional_text,
    read_text,
)
from service.sandbox.wire.forms import Form

# `frame_count`, `frame_duration_ms`, `svg` and the formats gif and svg need access that most accounts lack, and
# so does the sandbox.
_SHARED = frozenset(
    {
        "background",
        "complexity",
        "model",
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
_OF_GENERATIONS = _SHARED | {"moderation"}
_OF_EDIT_FORMS = _SHARED | {"input_fidelity"}
_OF_EDIT_JSON = _OF_EDIT_FORMS | {"moderation"}
_FORMATS = ("png", "webp", "jpeg")
_BACKGROUNDS = ("transparent", "opaque", "auto")
_LEVELS = ("low", "medium", "high")


def read_gpt_image_generation(sent: Fields, model: Model) -> Order:
    """Return the order, or raise the `Refusal` of the API."""
    _refuse_unknown(sent, model, _OF_GENERATIONS)
    return _read_order(sent, model, Form(fields=sent))


def read_gpt_image_edit(sent: Fields, form: Form, model: Model, masks: Masks = "transparent") -> Order:
    """Return the order, or raise the `Refusal`: for the parameters first, then for the images."""
    for name in form.stray_files:
        raise unknown_parameter(name)
    _refuse_unknown(sent, model, _OF_EDIT_JSON if form.is_json else _OF_EDIT_FORMS)
    order = _read_order(sent, model, form)
    check_edit(sent, form, model, masks)
    return order


def _refuse_unknown(sent: Fields, model: Model, allowed: frozenset[str]) -> None:
    for name in sent:
        if name not in allowed:
            raise unknown_parameter(name)
    if "complexity" not in sent:
        return
    if not model.has_complexity:
        raise unsupported_parameter("complexity", model.name)
    read_choice(sent, "complexity", _LEVELS, default="medium")


def _read_order(sent: Fields, model: Model, form: Form) -> Order:
    prompt = read_text(sent, "prompt", longest=model.longest_prompt)
    n = read_integer(sent, "n", default=1, lowest=1, highest=model.images_max)
    width, height = read_size(sent, model)
    quality = read_choice(sent, "quality", model.qualities, default="auto")
    output_format = read_choice(sent, "output_format", _FORMATS, default="png")
    read_choice(sent, "moderation", ("low", "auto"), default="auto")
    is_streamed, partial_images = _read_streaming(sent)
    return Order(
        model=model,
        prompt=prompt,
        n=n,
        width=width,
        height=height,
        quality="low" if quality == "auto" else quality,
        order_hash=order_hash(sent, form.digests()),
        background=_read_background(sent, output_format),
        output_format=output_format,
        output_compression=_read_compression(sent, output_format),
        safety_identifier=_read_identifier(sent),
        inputs=form.inputs,
        is_streamed=is_streamed,
        partial_images=partial_images,
    )


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


def _read_streaming(sent: Fields) -> tuple[bool, int]:
    partial_images = read_integer(sent, "partial_images", default=0, lowest=0, highest=3)
    is_streamed = read_flag(sent, "stream")
    if partial_images and not is_streamed:
        message = "partial_images is only supported when stream is true."
        raise Refusal(400, message, param="partial_images", code="invalid_value")
    return is_streamed, partial_images


def _read_identifier(sent: Fields) -> str | None:
    """Return the identifier to echo: a non-empty `safety_identifier` takes precedence over the deprecated `user`."""
    user = read_optional_text(sent, "user")
    return read_optional_text(sent, "safety_identifier") or user
