"""Check that an order's model takes it, before money is spent.

Codes, types and messages are those of the OpenAI API in the same case (observed 2026-04 to 2026-11), with a
correct value.
"""

from typing import Any

from service.domain.catalog import Model, ParameterRule
from service.domain.errors import InvalidOrder
from service.domain.images import MAX_N, InputImage, Operation, Parameters
from service.domain.inputs import MOST_JSON_INPUT_BYTES, check_inputs
from service.domain.sizes import broken_size_rules, describe_sizes, is_size_allowed, parse_size
from service.domain.unknown import LONGEST_SHOWN, unknown_parameter

_COMMON = ("model", "n", "prompt", "response_format", "safety_identifier", "size", "user")
"""Parameters of every model."""
_LONGEST_TEXT = 40
"""Characters of a text that a refusal repeats where a number belongs."""
_COMPRESSED = ("jpeg", "webp")
_NEEDED_FORMAT = {"frame_count": "gif", "frame_duration_ms": "gif", "svg": "svg"}
_KINDS = {"boolean": bool, "object": dict}


def check_order(  # noqa: PLR0913 - the parts of an order
    model: Model,
    *,
    prompt: str,
    n: int,
    parameters: Parameters,
    operation: Operation = Operation.GENERATE,
    inputs: tuple[InputImage, ...] = (),
    is_streamed: bool = False,
    needs_prompt: bool = True,
    pass_unknown: bool = False,
) -> None:
    """Check an order against *model* as callers may order it; raises `InvalidOrder` for the first fault.

    *is_streamed*: it is answered with events, whether the model has a parameter for it or not. Without *needs_prompt* a
    blank one is none. *pass_unknown* leaves parameters that the catalogue does not know to the backend.
    """
    if operation not in model.contract.operations:
        raise InvalidOrder(
            f"The model '{model.name}' does not support this endpoint.",
            param="model",
            error_type="image_generation_user_error",
        )
    if operation is not Operation.VARY and (needs_prompt or prompt.strip()):
        check_prompt(prompt, model.contract.prompt_limit)
    _check_n(n)
    for name, value in parameters.items():
        if name == "size":
            _check_size(model, value)
        elif name in model.contract.parameters or not pass_unknown:
            _check_parameter(model, operation, name, value)
    if operation is not Operation.GENERATE:
        check_inputs(model, operation, inputs)
    shown = {**parameters, "stream": True} if is_streamed else parameters
    _check_combinations(shown)
    _check_moderation(parameters, inputs)
    _check_previews(n, shown, inputs)


def check_prompt(prompt: str, limit: int) -> None:
    """Check that the prompt is not empty and is at most *limit* characters long."""
    if not prompt.strip():
        raise InvalidOrder(
            "Invalid 'prompt': expected a description of the image, but got an empty string.",
            param="prompt",
            code="empty_string",
        )
    check_prompt_length(prompt, limit)


def check_prompt_length(prompt: str, limit: int) -> None:
    """Check that the prompt is at most *limit* characters long."""
    if len(prompt) > limit:
        raise InvalidOrder(
            f"Invalid 'prompt': string too long. Expected a string with maximum length {limit}, "
            f"but got a string with length {len(prompt)} instead.",
            param="prompt",
            code="string_above_max_length",
        )


def _check_n(n: int) -> None:
    if n < 1:
        raise InvalidOrder(
            f"Invalid 'n': integer below minimum value. Expected a value >= 1, but got {n} instead.",
            param="n",
            code="integer_below_min_value",
        )
    if n > MAX_N:
        raise InvalidOrder(
            f"Invalid 'n': integer above maximum value. Expected a value <= {MAX_N}, but got {n} instead.",
            param="n",
            code="integer_above_max_value",
        )


def _check_size(model: Model, value: Any) -> None:
    if not isinstance(value, str):
        raise wrong_type("size", "a string", value)
    sizes = model.contract.sizes
    if is_size_allowed(sizes, value):
        return
    pixels = parse_size(value)
    broken = broken_size_rules(sizes, *pixels) if sizes.multiple and pixels else []
    supported = f"Supported sizes are: {describe_sizes(sizes)}."
    if model.family == "dall-e":
        raise InvalidOrder(
            " ".join(
                [f"The size is not supported by this model: '{value[:LONGEST_SHOWN]}'.", *broken, supported]
            ),
            param="size",
            code="invalid_size",
        )
    if not broken:
        raise InvalidOrder(
            f"Invalid value: '{value[:LONGEST_SHOWN]}'. Supported values are: {describe_sizes(sizes)}.",
            param="size",
        )
    raise InvalidOrder(
        " ".join([f"Invalid size '{value}'.", *broken, supported]),
        param="size",
        error_type="image_generation_user_error",
    )


def _check_parameter(model: Model, operation: Operation, name: str, value: Any) -> None:
    rule = model.contract.parameters.get(name)
    if rule is None and name == "input_fidelity" and operation is Operation.EDIT:
        raise InvalidOrder(
            f"The model '{model.name}' does not support the 'input_fidelity' parameter.",
            param=name,
            code="invalid_input_fidelity_model",
            error_type="image_generation_user_error",
        )
    if rule is None or (rule.operations and operation not in rule.operations):
        raise _unknown(model, operation, name)
    if rule.values:
        if not isinstance(value, str):
            raise wrong_type(name, "a string", value)
        if value not in rule.values:
            raise _not_supported(name, value, rule.values)
    elif rule.kind == "integer":
        _check_range(name, value, rule)
    elif not isinstance(value, _KINDS[rule.kind]):
        raise wrong_type(name, f"a{'n' if rule.kind == 'object' else ''} {rule.kind}", value)


def _unknown(model: Model, operation: Operation, name: str) -> InvalidOrder:
    rules = model.contract.parameters.items()
    known = [*_COMMON, *(each for each, rule in rules if operation in (rule.operations or (operation,)))]
    return unknown_parameter(name, known, f" The model '{model.name}' takes: {', '.join(sorted(known))}.")


def _check_range(name: str, value: Any, rule: ParameterRule) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise wrong_type(name, "an integer", value)
    if rule.minimum is not None and value < rule.minimum:
        raise InvalidOrder(
            f"Invalid '{name}': integer below minimum value. Expected a value >= {rule.minimum}, but got {value} instead.",
            param=name,
            code="integer_below_min_value",
        )
    if rule.maximum is not None and value > rule.maximum:
        raise InvalidOrder(
            f"Invalid '{name}': integer above maximum value. Expected a value <= {rule.maximum}, but got {value} instead.",
            param=name,
            code="integer_above_max_value",
        )


def _check_combinations(parameters: Parameters) -> None:
    output_format = str(parameters.get("output_format", "png"))
    if parameters.get("background") == "transparent" and output_format == "jpeg":
        raise InvalidOrder(
            "Transparent background is not supported for output_format 'jpeg'; use 'png' or 'webp'.",
            param="background",
        )
    if parameters.get("output_compression", 100) != 100 and output_format not in _COMPRESSED:
        raise InvalidOrder(
            f"Compression less than 100 is not supported for output_format '{output_format}'; use 'jpeg' or 'webp'.",
            param="output_compression",
        )
    if parameters.get("partial_images") and not parameters.get("stream"):
        raise InvalidOrder("'partial_images' requires 'stream' to be true.", param="partial_images")


def _check_moderation(parameters: Parameters, inputs: tuple[InputImage, ...]) -> None:
    """Check that an edit with a moderation level can be sent as JSON, for only there the API has the parameter."""
    if not inputs or parameters.get("moderation", "auto") == "auto":
        return
    if any(entry.role == "markup" for entry in inputs):
        raise InvalidOrder("'moderation' and 'markup' cannot be sent together.", param="moderation")
    size_bytes = sum(entry.size_bytes for entry in inputs)
    if size_bytes > MOST_JSON_INPUT_BYTES:
        raise InvalidOrder(
            f"'moderation' of an edit takes images of at most {MOST_JSON_INPUT_BYTES // 2**20} MB in all, but these have "
            f"{size_bytes / 2**20:.1f} MB. Send smaller images, or leave it out.",
            param="moderation",
        )


def _check_previews(n: int, parameters: Parameters, inputs: tuple[InputImage, ...]) -> None:
    """Check the formats in preview, gif and svg, and the parameters that belong to them."""
    output_format = str(parameters.get("output_format", "png"))
    for name, needed in _NEEDED_FORMAT.items():
        if name in parameters and output_format != needed:
            raise InvalidOrder(f"'{name}' requires output_format '{needed}'.", param=name)
    if output_format not in _NEEDED_FORMAT.values():
        return
    if parameters.get("stream"):
        raise InvalidOrder(f"output_format '{output_format}' cannot be streamed.", param="stream")
    if output_format == "svg" and n != 1:
        raise InvalidOrder("output_format 'svg' requires n=1.", param="n")
    if output_format == "gif" and any(entry.role == "mask" for entry in inputs):
        raise InvalidOrder("output_format 'gif' does not take a mask.", param="mask")


def wrong_type(name: str, expected: str, value: Any) -> InvalidOrder:
    """Return the refusal of a *value* that is not *expected* (`an integer`), as every route words it."""
    shown = "" if expected == "a string" else _show(value)
    return InvalidOrder(
        f"Invalid type for '{name}': expected {expected}, but got {_kind_of(value)} instead{shown}.",
        param=name,
        code="invalid_type",
    )


def _show(value: Any) -> str:
    """Return a short *value* for the end of a refusal; where a text belongs, it may be a prompt in a list."""
    if isinstance(value, str):
        return f": '{value[:_LONGEST_TEXT]}'"
    return f": {value}" if isinstance(value, float) else ""


def _kind_of(value: Any) -> str:
    if value is None:
        return "null"
    names = {bool: "a boolean", int: "an integer", float: "a number", str: "a string", list: "an array"}
    return names.get(type(value), "an object")


def _not_supported(name: str, value: str, supported: tuple[str, ...]) -> InvalidOrder:
    return InvalidOrder(
        f"Invalid value: '{value[:LONGEST_SHOWN]}'. Supported values are: {_listed(supported)}.",
        param=name,
    )


def _listed(values: tuple[str, ...]) -> str:
    quoted = [f"'{value}'" for value in values]
    return "".join(quoted) if len(quoted) < 2 else f"{', '.join(quoted[:-1])}, and {quoted[-1]}"
