"""Read an order for DALL·E 2 or 3, by the contract they had until their shutdown in May 2026.

Owns their parameters, limits and rules for images. Only `--legacy-dalle` puts these models into the catalogue.
"""

from service.sandbox.rules.accepted_order import Order
from service.sandbox.rules.models import Model
from service.sandbox.rules.order_hash import order_hash
from service.sandbox.wire.error_envelope import Refusal, unknown_parameter
from service.sandbox.wire.fields import Fields, read_choice, read_integer, read_optional_text, read_text
from service.sandbox.wire.forms import Form
from service.sandbox.wire.inputs import MEBIBYTE, Input

_OF_VARIATIONS = frozenset({"model", "n", "response_format", "size", "user"})
_OF_EDITS = _OF_VARIATIONS | {"prompt"}
_OF_GENERATIONS = _OF_EDITS | {"quality"}
_LARGEST_FILE_BYTES = 4 * MEBIBYTE
_MODES = ("RGBA", "LA", "L")


def read_dalle_generation(sent: Fields, model: Model) -> Order:
    """Return the order, or raise the refusal of that time."""
    is_three = model.images_max == 1
    _refuse_unknown(sent, _OF_GENERATIONS | {"style"} if is_three else _OF_GENERATIONS)
    read_choice(sent, "style", ("vivid", "natural"), default="vivid")
    prompt = read_text(sent, "prompt", longest=model.longest_prompt)
    return _read_order(sent, model, prompt, Form(fields=sent))


def read_dalle_edit(sent: Fields, form: Form, model: Model) -> Order:
    """Return the order for one square image with an alpha channel, with or without a mask."""
    _refuse_other_models(model)
    _refuse_unknown({**sent, **dict.fromkeys(form.stray_files)}, _OF_EDITS)
    prompt = read_text(sent, "prompt", longest=model.longest_prompt)
    order = _read_order(sent, model, prompt, form)
    image = _take_image(form)
    _check_mode(image)
    for guide in form.inputs:
        if guide.role == "markup":
            raise unknown_parameter("markup")
        if guide.role == "mask":
            _check_file(guide)
            _check_mode(guide)
            if guide.size != image.size:
                raise Refusal(400, "Uploaded image and mask must have the same dimensions.")
    return order


def read_dalle_variation(sent: Fields, form: Form, model: Model) -> Order:
    """Return the order for variations of one square image."""
    _refuse_other_models(model)
    strays = {one.role for one in form.inputs} - {"image"} | set(form.stray_files)
    _refuse_unknown({**sent, **dict.fromkeys(strays)}, _OF_VARIATIONS)
    order = _read_order(sent, model, "", form)
    _take_image(form)
    return order


def _refuse_other_models(model: Model) -> None:
    if model.name != "dall-e-2":
        message = f"Invalid value: '{model.name}'. Value must be 'dall-e-2'."
        raise Refusal(400, message, param="model", code="invalid_value")


def _refuse_unknown(sent: Fields, allowed: frozenset[str]) -> None:
    for name in sent:
        if name not in allowed:
            raise unknown_parameter(name)


def _read_order(sent: Fields, model: Model, prompt: str, form: Form) -> Order:
    read_optional_text(sent, "user")
    width, height = _read_size(sent, model)
    return Order(
        model=model,
        prompt=prompt,
        n=_read_n(sent, model),
        width=width,
        height=height,
        quality=read_choice(sent, "quality", model.qualities, default="standard"),
        order_hash=order_hash(sent, form.digests()),
        response_format=read_choice(sent, "response_format", ("url", "b64_json"), default="url"),
        inputs=form.inputs,
    )


def _read_n(sent: Fields, model: Model) -> int:
    n = read_integer(sent, "n", default=1, lowest=1, highest=10)
    if n > model.images_max:
        raise Refusal(400, "You must provide n=1 for this model.")
    return n


def _read_size(sent: Fields, model: Model) -> tuple[int, int]:
    size = read_text({"size": "1024x1024", **sent}, "size")
    if size not in (model.sizes or ()):
        raise Refusal(400, "The size is not supported by this model.", code="invalid_size")
    width, _, height = size.partition("x")
    return int(width), int(height)


def _take_image(form: Form) -> Input:
    images = [one for one in form.inputs if one.role == "image"]
    if not images:
        raise Refusal(400, "'image' is a required property")
    if len(images) > 1:
        raise Refusal(400, "Only one image is supported by this model.")  # not captured, nor is the next
    _check_file(images[0])
    width, height = images[0].size
    if width != height:
        raise Refusal(400, "Uploaded image must be square.", code="invalid_image_format")
    return images[0]


def _check_file(one: Input) -> None:
    if one.format != "png" or one.size_bytes >= _LARGEST_FILE_BYTES:
        raise Refusal(400, "Uploaded image must be a PNG and less than 4 MB.", code="invalid_image_format")


def _check_mode(one: Input) -> None:
    if one.mode not in _MODES:
        kind = "image" if one.role == "image" else "mask"
        raise Refusal(400, f"Invalid input {kind} - format must be in ['RGBA', 'LA', 'L'], got {one.mode}.")
