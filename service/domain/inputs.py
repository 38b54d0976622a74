"""Check that a model takes the caller's images, before money is spent.

Judges the headers of the images, never file names or declared types. Codes are those of the OpenAI API in
the same case (observed 2026).
"""

from service.domain.catalog import InputRule, Model
from service.domain.errors import InvalidOrder
from service.domain.images import InputImage, Operation
from service.domain.unknown import unknown_parameter

MOST_JSON_INPUT_BYTES = 8 * 2**20
"""Most bytes of the images of an edit that is sent as JSON: it is in memory as a whole."""
MAX_INPUT_PIXELS = 40_000_000
"""Far above any model's own limit; a larger image is a decompression bomb."""


def check_inputs(model: Model, operation: Operation, inputs: tuple[InputImage, ...]) -> None:
    """Check the images of an order for *operation*; raises `InvalidOrder` for the first fault."""
    images = [entry for entry in inputs if entry.role == "image"]
    overlays = [entry for entry in inputs if entry.role != "image"]
    if not images:
        raise InvalidOrder(
            "Missing required parameter: 'image'.", param="image", code="missing_required_parameter"
        )
    rule = model.contract.inputs
    if operation is Operation.VARY:
        rule = InputRule(formats=rule.formats, max_bytes=rule.max_bytes, max_images=1, square=rule.square)
        for overlay in overlays:
            raise unknown_parameter(overlay.role)
    _check_images(rule, images, has_mask=any(overlay.role == "mask" for overlay in overlays))
    for overlay in overlays:
        _check_overlay(rule, overlay, images[0])
    if len(overlays) > 1:
        roles = {overlay.role for overlay in overlays}
        problem = (
            "either 'mask' or 'markup', not both" if len(roles) > 1 else f"only one '{overlays[0].role}'"
        )
        raise InvalidOrder(f"Send {problem}.", param=overlays[-1].role)


def turns_needed(inputs: tuple[InputImage, ...]) -> dict[int, int]:
    """Return the places of inputs that an edit must turn upright, and the Exif orientation to apply to each.

    Cameras store photos turned, and callers draw masks on what they see; a mask of the stored size was drawn on the
    stored pixels, and is turned with them. An image to which nothing must fit stays as it is.
    """
    first = next((entry for entry in inputs if entry.role == "image"), None)
    if first is None or (len({entry.role for entry in inputs}) == 1 and not first.has_alpha):
        return {}
    stored = (first.height, first.width)
    turns = {}
    for place, entry in enumerate(inputs):
        is_stored = first.is_on_its_side and (entry.width, entry.height) == stored != stored[::-1]
        if entry.role != "image":
            turns[place] = first.orientation if is_stored else entry.orientation
        elif "image" not in {earlier.role for earlier in inputs[:place]}:
            turns[place] = first.orientation
    return {place: orientation for place, orientation in turns.items() if orientation != 1}


def _check_images(rule: InputRule, images: list[InputImage], *, has_mask: bool) -> None:
    if len(images) > rule.max_images:
        raise InvalidOrder(
            f"Invalid 'image': at most {rule.max_images} images may be sent, but got {len(images)}.",
            param="image",
            code="array_above_max_length",
        )
    for number, image in enumerate(images):
        name = "image" if len(images) == 1 else f"image[{number}]"
        if image.format not in rule.formats:
            raise InvalidOrder(
                f"Invalid file '{name}': unsupported format ('{image.format or 'unknown'}'). "
                f"Supported file formats are {', '.join(rule.formats)}.",
                param=name,
                code="unsupported_file_mimetype",
            )
        _check_extent(rule, name, image)
    if rule.needs_alpha and not has_mask and not images[0].has_alpha:
        raise InvalidOrder(
            "Invalid input image - format must be in ['RGBA', 'LA', 'L'], got RGB. "
            "Send a mask, or make the part to repaint transparent.",
            param="image",
            code=None,
        )


def _check_extent(rule: InputRule, name: str, image: InputImage) -> None:
    if image.size_bytes > rule.max_bytes:
        raise InvalidOrder(
            f"Invalid file '{name}': it must be smaller than {rule.max_bytes // 2**20} MB.",
            param=name,
            code="image_file_too_large",
        )
    if image.width * image.height > MAX_INPUT_PIXELS:
        raise InvalidOrder(
            f"Invalid file '{name}': it has more than {MAX_INPUT_PIXELS} pixels.",
            param=name,
            code="image_too_large",
        )
    if rule.square and image.width != image.height:
        raise InvalidOrder(
            f"Invalid file '{name}': it must be square, but is {image.width}x{image.height}.",
            param=name,
            code="invalid_image_format",
        )


def _check_overlay(rule: InputRule, overlay: InputImage, first: InputImage) -> None:
    role = overlay.role
    if role == "markup" and not rule.takes_markup:
        raise unknown_parameter(role, otherwise=" This model takes no markup.")
    problem = None
    if overlay.format != "png":
        problem = f"it must be a PNG, but is {overlay.format or 'of an unknown format'}"
    elif overlay.size_bytes > rule.mask_max_bytes:
        problem = f"it must be smaller than {rule.mask_max_bytes // 2**20} MB"
    elif (overlay.width, overlay.height) != (first.width, first.height):
        problem = (
            f"it must be as large as the first image, {first.width}x{first.height}, "
            f"but is {overlay.width}x{overlay.height}"
        )
    elif not overlay.has_alpha:
        problem = "it must have an alpha channel: its transparent part is repainted"
    if problem:
        raise InvalidOrder(f"Invalid file '{role}': {problem}.", param=role, code="invalid_image_format")
