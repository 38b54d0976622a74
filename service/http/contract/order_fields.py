"""Describe the fields of orders: their meaning in words, and what each model takes from the catalogue.

How to add one: its line in `_MEANINGS`, and its name in the bodies of `order_requests.py` that have it. A parameter of
`domain/models.toml` gets its type, range and models from there.
"""

import re
from collections.abc import Callable, Iterable
from typing import Any

from service.domain.catalog import Catalog, Model, ParameterRule, widen
from service.domain.images import MAX_N, Operation
from service.domain.sizes import SizeRule

Schema = dict[str, Any]

_SNAPSHOT = re.compile(r"-\d{4}-\d{2}-\d{2}$")
"""The end of a name that stands for another model of the list, as it was on a day."""

_MEANINGS = {
    "prompt": "Description of the image, or of the change to it.",
    "model": "The model; `{default}` by default{rest}. A current model answers for a retired one, which takes its parameters "
    "and sizes, too. Oldest first:",
    "n": "Number of images, 1 by default. For models that make one image a call, the gateway sends several calls.",
    "size": "Width and height of the image in pixels.",
    "quality": "Effort for the image: a better one takes longer and costs more.",
    "style": "Look of the image: dramatic, or closer to life.",
    "response_format": "Form of the images in the answer: `url` gives signed links, the default of DALL·E models; `b64_json` "
    "gives the files in base64, the default of GPT image models{rest}.",
    "background": "Background of the image. `transparent` needs a format that has transparency: `png` or `webp`.",
    "output_format": "Format of the image file. `gif` moves, `svg` is a drawing; the provider restricts both.",
    "output_compression": "Quality of the compression in percent, for `jpeg` and `webp`.",
    "moderation": "Strictness of the provider's moderation; `low` refuses less.",
    "complexity": "How much the provider may think about the image before it makes it.",
    "stream": "If true, the answer is `text/event-stream`, as that of the `/stream` route, which suits typed clients better.",
    "partial_images": "Number of stages that the stream shows of each image before it is finished; needs `stream`.",
    "frame_count": "Number of frames of a `gif`.",
    "frame_duration_ms": "Duration of each frame of a `gif`, in milliseconds.",
    "svg": "How an `svg` is drawn. The gateway passes it on unread; the provider restricts it.",
    "input_fidelity": "How closely the images that are sent are kept, faces above all. `high` costs more input tokens.",
    "user": "Your name for the end user. With a service key, that user's limits and usage apply.",
    "safety_identifier": "A newer name of `user`; it takes precedence.",
    "image": "The images to edit, each a file of at most 50 MB.",
    "mask": "A PNG as large as the first image: its transparent part is repainted. At most {mask_mb} MB.",
    "markup": "A PNG as large as the first image, with marks and notes that say what to change. It is at most as big as "
    "a mask, and excludes one.",
}

_WIDENED = "A retired model also takes what its successor takes."

_EXAMPLES: dict[str, Any] = {
    "prompt": "a white lighthouse on a cliff at dusk",
    "size": "1024x1024",
    "quality": "low",
    "user": "anna",
}


def describe_field(catalog: Catalog, operation: Operation, name: str) -> Schema | None:
    """Return the schema of a field; None for a parameter that no model takes with *operation*."""
    if name in _WRITTEN:
        return _WRITTEN[name](catalog, operation)
    models = _models(catalog, operation)
    takers = [
        (model, rule)
        for model in models
        if (rule := model.contract.parameters.get(name)) and operation in (rule.operations or (operation,))
    ]
    if not takers:
        return None
    rules = [rule for _, rule in takers]
    return {
        **_type_of(rules[0]),
        **_range_of(rules),
        **_said(name, _by_model(models, ((model, _say_rule(rule)) for model, rule in takers))),
    }


def _type_of(rule: ParameterRule) -> Schema:
    if rule.kind == "object":
        return {"$ref": "#/components/schemas/SvgOptions"}
    return {"type": "string" if rule.values else rule.kind}


def _range_of(rules: list[ParameterRule]) -> Schema:
    """Return the widest range of *rules*."""
    least = [rule.minimum for rule in rules if rule.minimum is not None]
    most = [rule.maximum for rule in rules if rule.maximum is not None]
    return {"minimum": min(least), "maximum": max(most)} if least and most else {}


def _say_rule(rule: ParameterRule) -> str:
    if rule.values:
        said = _listed(rule.values)
    elif rule.minimum is not None:
        said = f"{rule.minimum} to {rule.maximum}"
    else:
        return ""
    return said if rule.default is None else f"{said}; `{rule.default}` by default"


def _say_size(rule: SizeRule, default: str) -> str:
    said = _listed(rule.fixed)
    if rule.multiple:
        said += (
            f", or any `WIDTHxHEIGHT`: multiples of {rule.multiple}, at most {rule.max_edge} an edge and "
            f"{rule.max_ratio:g}:1, {rule.min_pixels:,} to {rule.max_pixels:,} pixels"
        )
    return f"{said}; `{default or 'auto'}` by default"


def _prompt(catalog: Catalog, operation: Operation) -> Schema:
    models = _models(catalog, operation)
    limits = _by_model(
        models, ((model, f"at most {model.contract.prompt_limit:,} characters") for model in models)
    )
    most = max(model.contract.prompt_limit for model in models)
    return {"type": "string", "minLength": 1, "maxLength": most, **_said("prompt", limits)}


def _model(catalog: Catalog, operation: Operation) -> Schema:
    models = sorted(_models(catalog, operation, bridged=True), key=lambda model: model.released)
    lines = [f"* `{model.name}`{_say_end(model, operation)}" for model in models]
    newer = catalog.models[catalog.default_gpt_image_model]
    rest = f", `{newer.name}` for orders with a parameter that only GPT image models know"
    text = _MEANINGS["model"].format(
        default=catalog.default_model, rest=rest if operation in newer.contract.operations else ""
    )
    return {"type": "string", "description": "\n".join([f"{text}\n", *lines])}


def _say_end(model: Model, operation: Operation) -> str:
    if model.bridge is None or model.shutdown is None:
        return ""
    if operation not in model.contract.operations:
        return f": from {model.shutdown} on, by `{model.bridge.to}`"
    return f": until {model.shutdown}, then `{model.bridge.to}`"


def _n(_: Catalog, __: Operation) -> Schema:
    return {"type": "integer", "minimum": 1, "maximum": MAX_N, **_said("n")}


def _size(catalog: Catalog, operation: Operation) -> Schema:
    models = _models(catalog, operation)
    contracts = ((model, model.contract) for model in models)
    lines = _by_model(
        models, ((model, _say_size(each.sizes, each.default_size)) for model, each in contracts)
    )
    return {"type": "string", **_said("size", lines)}


def _image(catalog: Catalog, operation: Operation) -> Schema:
    models = _models(catalog, operation)
    lines = _by_model(models, ((model, _say_inputs(model)) for model in models))
    if operation is Operation.VARY:
        text = "The image to vary, a file of at most 50 MB. Retired models take what their successor takes."
        return {**_FILE, "description": text}
    return {"type": "array", "minItems": 1, "maxItems": 16, "items": _FILE, **_said("image", lines)}


def _say_inputs(model: Model) -> str:
    rule = model.contract.inputs
    least = "1 image" if rule.max_images == 1 else f"1 to {rule.max_images} images"
    return f"{least}, {_listed(rule.formats)}, at most {rule.max_bytes // 2**20} MB each"


def _mask(catalog: Catalog, operation: Operation) -> Schema:
    most_bytes = max(model.contract.inputs.mask_max_bytes for model in _models(catalog, operation))
    return {**_FILE, "description": _MEANINGS["mask"].format(mask_mb=most_bytes // 2**20)}


def _markup(catalog: Catalog, operation: Operation) -> Schema:
    models = _models(catalog, operation)
    takers = ((model, "") for model in models if model.contract.inputs.takes_markup)
    return {**_FILE, **_said("markup", _by_model(models, takers))}


def _text(name: str) -> Callable[[Catalog, Operation], Schema]:
    return lambda _, __: {"type": "string", **_said(name)}


def _response_format(_: Catalog, operation: Operation) -> Schema:
    said = _MEANINGS["response_format"].format(
        rest="" if operation is Operation.VARY else ", and the form in streams"
    )
    return {"$ref": "#/components/schemas/ResponseFormat", "description": said}


_FILE: Schema = {"type": "string", "format": "binary"}
_WRITTEN: dict[str, Callable[[Catalog, Operation], Schema]] = {
    "prompt": _prompt,
    "model": _model,
    "n": _n,
    "size": _size,
    "image": _image,
    "mask": _mask,
    "markup": _markup,
    "user": _text("user"),
    "safety_identifier": _text("safety_identifier"),
    "response_format": _response_format,
}
"""Fields that are no parameters in the catalogue."""


def _said(name: str, lines: Iterable[str] = ()) -> Schema:
    listed = [f"{_MEANINGS[name]} {_WIDENED}", "", *lines] if lines else [_MEANINGS[name]]
    said: Schema = {"description": "\n".join(listed)}
    return {**said, "examples": [_EXAMPLES[name]]} if name in _EXAMPLES else said


def _models(catalog: Catalog, operation: Operation, *, bridged: bool = False) -> list[Model]:
    """Return the models that take *operation*, without those that are another one on a day.

    *bridged* adds those that take it since a successor answers for them.
    """
    return [
        model
        for model in catalog.models.values()
        if not _SNAPSHOT.search(model.name)
        and operation in (_widened(catalog, model) if bridged else model).contract.operations
    ]


def _widened(catalog: Catalog, model: Model) -> Model:
    return widen(model, catalog.models[model.bridge.to]) if model.bridge else model


def _by_model(models: list[Model], said: Iterable[tuple[Model, str]]) -> list[str]:
    """Return a line for each text, with the ones of *models* that it is true of."""
    by_text: dict[str, list[Model]] = {}
    for model, text in said:
        by_text.setdefault(text, []).append(model)
    return [f"* {_name_all(named, models)}{': ' if text else ''}{text}" for text, named in by_text.items()]


def _name_all(named: list[Model], models: list[Model]) -> str:
    """Return the names, or the oldest "and newer" for more than two of which no newer one is missing."""
    oldest = min(named, key=lambda model: model.released)
    newer = [model for model in models if model.released >= oldest.released]
    if len(named) > 2 and len(newer) == len(named):
        return f"`{oldest.name}` and newer"
    return ", ".join(f"`{model.name}`" for model in named)


def _listed(values: Iterable[str]) -> str:
    *first, last = [f"`{value}`" for value in values]
    return f"{', '.join(first)} or {last}" if first else last
