"""Check the images of an edit for the GPT image models.

Owns their number, types, sizes and combinations. `dalle` owns the older contract. Refusals that were never captured
have invented codes and texts, in the style of the captured ones.
"""

from typing import Literal

from service.sandbox.rules.models import Model
from service.sandbox.wire.error_envelope import (
    ErrorType,
    Refusal,
    array_too_long,
    missing_parameter,
    unsupported_parameter,
    unsupported_value,
)
from service.sandbox.wire.fields import Fields, read_choice
from service.sandbox.wire.forms import MOST_IMAGES, Form
from service.sandbox.wire.inputs import MEBIBYTE, Input

_LARGEST_IMAGE_BYTES = 50 * MEBIBYTE
_LARGEST_MASK_BYTES = 4 * MEBIBYTE
_IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp")
_MASK_TYPES = ("image/png",)
_FORMATS = ("jpeg", "png", "webp")


Masks = Literal["transparent", "white"]


def check_edit(sent: Fields, form: Form, model: Model, masks: Masks = "transparent") -> None:
    """Raise the `Refusal` for the first fault of the images or their options."""
    _check_fidelity(sent, model)
    images = [one for one in form.inputs if one.role == "image"]
    if not images:
        raise missing_parameter("image")
    if len(images) > MOST_IMAGES:
        raise array_too_long("image", MOST_IMAGES, len(images))
    for number, image in enumerate(images, start=1):
        _check_type(image, _IMAGE_TYPES)
        _check_bytes(image, _LARGEST_IMAGE_BYTES)
        _check_content(image, number)
    _check_guides(form, images[0], model, masks)


def _check_fidelity(sent: Fields, model: Model) -> None:
    if "input_fidelity" not in sent:
        return
    if not model.fidelities:
        raise unsupported_parameter("input_fidelity", model.name)
    read_choice(sent, "input_fidelity", model.fidelities, default="low")


def _check_type(one: Input, supported: tuple[str, ...]) -> None:
    """Check the part's own content type, as the API does; a part without one is an octet-stream."""
    declared = (one.content_type or "application/octet-stream").partition(";")[0].strip().lower()
    if declared in supported:
        return
    listed = unsupported_value("", "", supported).message.partition("are: ")[2]
    message = f"Invalid file '{one.label}': unsupported mimetype ('{declared}'). Supported file formats are {listed}"
    raise Refusal(400, message, param=one.label, code="unsupported_file_mimetype")


def _check_bytes(one: Input, largest_bytes: int) -> None:
    if one.size_bytes >= largest_bytes:
        message = f"Invalid file '{one.label}': must be less than {largest_bytes // MEBIBYTE}MB."
        raise Refusal(400, message, param=one.label, code="image_file_too_large")


def _check_content(image: Input, number: int) -> None:
    if image.format not in _FORMATS or image.mode == "CMYK":
        message = f"Invalid image file or mode for image {number}, please check your image file."
        raise Refusal(400, message, kind=ErrorType.IMAGE_USER, param="", code="invalid_image_file")


def _check_guides(form: Form, first: Input, model: Model, masks: Masks) -> None:
    guides = [one for one in form.inputs if one.role != "image"]
    for role in ("mask", "markup"):
        if sum(guide.role == role for guide in guides) > 1:
            raise array_too_long(role, 1, sum(guide.role == role for guide in guides))
    if len(guides) > 1:
        # The wording is that of the Responses API.
        message = "Mutually exclusive parameters: 'mask' and 'markup'. Ensure you are only providing one of: 'mask' or 'markup'."
        raise Refusal(400, message, param="markup", code="mutually_exclusive_parameters")
    for guide in guides:
        if guide.role == "markup" and not model.has_markup:
            raise unsupported_parameter("markup", model.name)
        _check_type(guide, _MASK_TYPES)
        _check_bytes(guide, _LARGEST_MASK_BYTES if guide.role == "mask" else _LARGEST_IMAGE_BYTES)
        needs_alpha = guide.role == "markup" or masks == "transparent"
        if reason := _reason_against(guide, first, needs_alpha=needs_alpha):
            message = f"Invalid {guide.role} image format - {reason}"
            code = f"invalid_{guide.role}_image_format"
            raise Refusal(400, message, kind=ErrorType.IMAGE_USER, param=None, code=code)


def _reason_against(guide: Input, first: Input, *, needs_alpha: bool) -> str | None:
    """Return the fault of a mask or markup; only the missing channel of a mask was captured."""
    if guide.format != "png":
        return f"{guide.role} image must be a PNG"
    if guide.size != (first.size if guide.role == "mask" else first.upright):
        return f"{guide.role} size does not match image size"
    if needs_alpha and not guide.has_alpha:
        return f"{guide.role} image missing alpha channel"
    if guide.role == "markup" and not guide.has_holes:
        return "markup image has no transparent pixels"
    return None
