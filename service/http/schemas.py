"""Convert public JSON to domain values and back.

The models check types; the catalogue checks values, and refuses unknown fields.
"""

import re
from codecs import BOM_UTF8
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import orjson
import pybase64
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    WithJsonSchema,
)

from service.domain.errors import InvalidOrder
from service.domain.fanout import add_usage
from service.domain.progress import ImageReady
from service.domain.unknown import unknown_parameter
from service.domain.validation import wrong_type

# Bounds for generated clients; the domain checks the range.
_Count = Annotated[StrictInt, WithJsonSchema({"type": "integer", "maximum": 2.0**31, "minimum": -(2.0**31)})]
_EXPECTED = {
    "int_type": "an integer",
    "bool_type": "a boolean",
    "string_type": "a string",
    "list_type": "an array",
    "dict_type": "an object",
    "model_type": "an object",
}
"""The expected type of each pydantic error."""


_INTEGERS = frozenset({"n", "output_compression", "partial_images", "frame_count", "frame_duration_ms"})
_INTEGER = re.compile(r"(-?[0-9]{1,9})(?:\.0{1,9})?")
_LARGEST = 10**9
_BOOLEANS = frozenset({"stream"})
_TRUTHS = {"true": True, "1": True, "false": False, "0": False}
_OBJECTS = frozenset({"svg"})
_NEVER_EMPTY = frozenset({"prompt", "image", "images", "mask", "markup"})
"""Fields whose `""` is a mistake: an edit without its mask would change all of the image, and be paid."""


class GenerateImageRequest(BaseModel):
    """Body of `POST /v1/images/generations`; a field of `null` counts as missing."""

    model_config = ConfigDict(extra="allow")

    prompt: StrictStr = Field(description="Description of the image.", examples=["a white siamese cat"])
    model: StrictStr | None = Field(None, examples=["dall-e-3"])
    n: _Count | None = Field(None, examples=[1], description="1 to 10 images.")
    size: StrictStr | None = Field(None, examples=["1024x1024"])
    quality: StrictStr | None = Field(None, examples=["standard"])
    style: StrictStr | None = Field(None, examples=["vivid"], description="`dall-e-3` only.")
    response_format: StrictStr | None = Field(None, examples=["url"], description="`url` or `b64_json`.")
    background: StrictStr | None = None
    output_format: StrictStr | None = None
    output_compression: StrictInt | None = None
    moderation: StrictStr | None = None
    complexity: StrictStr | None = None
    stream: StrictBool | None = Field(None, description="Answer with server-sent events.")
    partial_images: StrictInt | None = Field(None, description="0 to 3 stages of each image, with `stream`.")
    frame_count: StrictInt | None = None
    frame_duration_ms: StrictInt | None = None
    svg: dict[str, Any] | None = None
    user: StrictStr | None = None
    safety_identifier: StrictStr | None = None


class ImageReference(BaseModel):
    """An image in JSON, as a data URL."""

    model_config = ConfigDict(extra="forbid")

    image_url: StrictStr = Field(
        max_length=20_971_520, description="A base64 `data:` URL; other URLs are refused."
    )


class EditImageJsonRequest(GenerateImageRequest):
    """Body of `POST /v1/images/edits` as JSON."""

    images: list[ImageReference]
    mask: ImageReference | None = None
    markup: ImageReference | None = None


def parse_json_request(body: bytearray, schema: type[BaseModel]) -> dict[str, Any]:
    """Return the fields of an order in JSON, their types checked against *schema*.

    Raises:
        InvalidOrder: with OpenAI's message for the same mistake.
    """
    given = read_values(read_json_object(body))
    check_fields(given, schema)
    return given


def read_values(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of an order, alike from JSON and forms: clients write values as their language does.

    `""` counts as absent, as null does, except for the prompt and images. `"1"`, `1.0` and `"1.0"` are the number 1, `"true"` is true. Nested names of forms
    such as `svg[model]` become objects. Other values stay as they are, for the catalogue to refuse.

    Raises:
        InvalidOrder: a text is no number or truth value, where one is needed.
    """
    fields: dict[str, Any] = {}
    for name, value in given.items():
        if value is None or (value == "" and name not in _NEVER_EMPTY):
            continue
        if name in _INTEGERS:
            fields[name] = _to_integer(name, value)
        elif name in _BOOLEANS:
            fields[name] = _to_boolean(name, value)
        elif isinstance(value, str) and name.partition("[")[0] in _OBJECTS and "[" in name:
            _put_nested(fields, name, value)
        else:
            fields[name] = value
    return fields


def read_json_object(body: bytearray) -> dict[str, Any]:
    """Return the JSON object of a body; raises `InvalidOrder`."""
    try:
        # orjson refuses NaN, Infinity, lone surrogates and deep nesting, which pydantic accepts.
        document = orjson.loads(without_mark(body))
    except orjson.JSONDecodeError as error:
        raise _not_json(error) from error
    if not isinstance(document, dict):
        raise InvalidOrder("The body of the request must be a JSON object.", param=None, code="invalid_type")
    return document


def without_mark(body: bytearray) -> memoryview:
    """Return *body* without the byte order mark with which some clients begin a text in UTF-8."""
    return memoryview(body)[len(BOM_UTF8) if body.startswith(BOM_UTF8) else 0 :]


def _not_json(error: orjson.JSONDecodeError) -> InvalidOrder:
    # Its messages are fixed texts. It has no place for bytes that are no UTF-8.
    place = "" if "UTF-8" in error.msg else f" in line {error.lineno}, column {error.colno}"
    return InvalidOrder(
        f"We could not parse the JSON body of your request: {error.msg}{place}. It must be one JSON object in UTF-8.",
        param=None,
        code=None,
    )


def check_fields(given: Mapping[str, Any], schema: type[BaseModel]) -> None:
    """Check names and types; raises `InvalidOrder` with OpenAI's message for the same mistake."""
    try:
        schema.model_validate(given)
    except ValidationError as error:
        raise _invalid(error, schema) from error


def encode_answer(
    images: Sequence[ImageReady],
    *,
    urls: Mapping[int, str],
    with_usage: bool,
    revised_prompt: str | None,
    safety_identifier: str | None,
    errors: Sequence[Mapping[str, Any]] = (),
) -> bytes:
    """Return the JSON of an images answer; images without a URL go as base64."""
    answer: dict[str, Any] = {
        "created": max(ready.image.created_s for ready in images),
        "data": [_encode_image(ready, urls.get(ready.position), revised_prompt) for ready in images],
    }
    if with_usage:
        answer |= images[0].image.resolved
        usage = [ready.image.usage for ready in images if ready.image.usage is not None]
        if usage:
            answer["usage"] = add_usage(usage)
    if safety_identifier is not None:
        answer["safety_identifier"] = safety_identifier
    if errors:
        answer["errors"] = errors
    return orjson.dumps(answer)


def _encode_image(ready: ImageReady, url: str | None, revised_prompt: str | None) -> dict[str, str]:
    entry = {"url": url} if url else {"b64_json": pybase64.b64encode_as_string(ready.data or b"")}
    if revised_prompt is not None:
        entry["revised_prompt"] = ready.image.revised_prompt or revised_prompt
    return entry


def _to_integer(name: str, value: Any) -> Any:
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST:
        return int(value)
    if not isinstance(value, str):
        return value
    number = _INTEGER.fullmatch(value)
    if number is None:
        raise wrong_type(name, "an integer", value)
    return int(number[1])


def _to_boolean(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value.lower() not in _TRUTHS:
        raise wrong_type(name, "a boolean", value)
    return _TRUTHS[value.lower()]


def _put_nested(fields: dict[str, Any], name: str, text: str) -> None:
    first, *rest = name.replace("]", "").split("[")[:4]
    target = fields.setdefault(first, {})
    for part in rest[:-1]:
        target = target.setdefault(part, {}) if isinstance(target, dict) else {}
    if isinstance(target, dict):
        target[rest[-1]] = text


def _invalid(error: ValidationError, schema: type[BaseModel]) -> InvalidOrder:
    # A forbidden field explains a missing one (`file_id` instead of `image_url`), so it comes first.
    problem = min(error.errors(), key=lambda each: each["type"] != "extra_forbidden")
    name = "".join(
        f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"]
    ).removeprefix(".")
    if problem["type"] == "extra_forbidden":
        hint = (
            " The gateway stores no uploaded files: send the image as a data URL in image_url."
            if "file_id" in name
            else ""
        )
        return unknown_parameter(name, () if hint else schema.model_fields, hint)
    if problem["type"] == "string_too_long":
        longest = problem["ctx"]["max_length"]
        return InvalidOrder(
            f"Invalid '{name}': string too long. Expected a string with maximum length {longest}.",
            param=name,
            code="string_above_max_length",
        )
    if problem["type"] == "missing":
        hint = " In JSON, the images of an edit are 'images': [{'image_url': 'data:image/png;base64,...'}]."
        return InvalidOrder(
            f"Missing required parameter: '{name}'.{hint if name == 'images' else ''}",
            param=name,
            code="missing_required_parameter",
        )
    return wrong_type(name, _EXPECTED.get(problem["type"], "another type"), problem["input"])
