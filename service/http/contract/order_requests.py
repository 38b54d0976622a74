"""Describe the bodies of the image routes."""

from importlib.resources import files
from typing import Any

from service.domain.catalog import Catalog
from service.domain.images import Delivery, Operation
from service.domain.models_file import parse_catalog
from service.http.contract.order_fields import describe_field
from service.http.estimate import MOST_INPUTS

Schema = dict[str, Any]

_PREVIEWS = ("frame_count", "frame_duration_ms")
_LOOKS = ("size", "quality", "style", "background", "output_format", "output_compression")
_REST = ("moderation", "complexity", "stream", "partial_images", *_PREVIEWS)
_PERSON = ("user", "safety_identifier")
_CREATE = ("prompt", "model", "n", *_LOOKS, "response_format", *_REST, "svg", *_PERSON)
_EDIT = (
    *("image", "prompt", "mask", "markup", "model", "n", *_LOOKS, "input_fidelity", "response_format"),
    *(*_REST, *_PERSON),
)
_VARY = ("image", "model", "n", "size", "response_format", "user")

_ESTIMATE = "An order that is not given: its fields, without its images."
_JSON_EDIT = (
    "An edit as a form. The route takes JSON, too: the same fields, but `images` in place of `image`, a list of "
    '`{"image_url": "data:image/png;base64,..."}`, and `mask` and `markup` as such objects. Only `data:` URLs are '
    "accepted, of at most 20,971,520 characters each. JSON may also have `svg`, as in `CreateImageRequest`."
)


def component_bodies() -> dict[str, Schema]:
    """Return the bodies as components, with the models of the built-in catalogue."""
    catalog = parse_catalog((files("service.domain") / "models.toml").read_text("utf-8"))
    return {
        "CreateImageRequest": _body(
            catalog, Operation.GENERATE, _CREATE, ("prompt",), "An order for images from a prompt."
        ),
        "EditImageRequest": _body(catalog, Operation.EDIT, _EDIT, ("image", "prompt"), _JSON_EDIT),
        "CreateImageVariationRequest": _body(
            catalog, Operation.VARY, _VARY, ("image",), "An order for variations of an image."
        ),
        "EstimateRequest": _estimate(catalog),
        "SimpleImageRequest": {
            "type": "object",
            "description": "The prompt of one image.",
            "required": ["prompt"],
            "properties": {
                "prompt": {
                    "type": "string",
                    "minLength": 1,
                    "description": "Description of the image.",
                    "examples": ["a white siamese cat"],
                }
            },
        },
        "ResponseFormat": {
            "type": "string",
            "description": "Form of the images in an answer.",
            "enum": [each.value for each in Delivery],
        },
        "SvgOptions": {
            "type": "object",
            "description": "Options of a drawing, for `output_format` `svg`.",
            "properties": {
                "model": {"type": "string", "description": "The model that draws."},
                "reasoning": {"$ref": "#/components/schemas/SvgReasoning"},
            },
        },
        "SvgReasoning": {
            "type": "object",
            "description": "Reasoning about a drawing before it is drawn.",
            "properties": {"effort": {"type": "string", "description": "Effort, such as `low`."}},
        },
    }


def _estimate(catalog: Catalog) -> Schema:
    """Return the body of an estimate: the fields of any order, and what files would say."""
    body = _body(catalog, Operation.GENERATE, _CREATE, (), _ESTIMATE)
    own: Schema = {
        "operation": {
            "type": "string",
            "enum": [each.value for each in Operation],
            "description": "Way to make the images; `generate` by default.",
        },
        "inputs": {
            "type": "integer",
            "minimum": 0,
            "maximum": MOST_INPUTS,
            "description": "Number of images that the order sends; 1 by default for `edit` and `vary`, none for `generate`.",
        },
    }
    prompt = {
        "type": "string",
        "description": "As in the order; without one, the price is that without its words.",
    }
    fidelity = describe_field(catalog, Operation.EDIT, "input_fidelity")
    properties = {**own, **body["properties"], "prompt": prompt, "input_fidelity": fidelity}
    return {"type": "object", "description": _ESTIMATE, "properties": properties}


def _body(
    catalog: Catalog, operation: Operation, names: tuple[str, ...], required: tuple[str, ...], said: str
) -> Schema:
    fields = {name: describe_field(catalog, operation, name) for name in names}
    return {
        "type": "object",
        "description": said,
        "required": list(required),
        "properties": {name: field for name, field in fields.items() if field is not None},
    }
