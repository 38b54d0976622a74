"""Compare answers with the contract: status, type, headers and body.

Stricter than a validator: a field or header that the contract does not name is a fault.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from functools import cache
from typing import Any

import httpx
import orjson
from httpx_sse import EventSource

from tests.contract.published import published

Schema = Mapping[str, Any]

_TRANSPORT = {
    *("date", "server", "content-type", "content-length", "connection", "transfer-encoding", "vary"),
    # For pages of other origins only.
    *("access-control-allow-origin", "access-control-expose-headers"),
}
_OPEN = ("ErrorBody",)
"""Schemas of objects to which the provider may add fields."""
_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
}
_FORMATS: Mapping[str, Callable[[str], object]] = {
    "date": date.fromisoformat,
    "date-time": datetime.fromisoformat,
}


@cache
def operations() -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Return method, path and description of each operation by its id."""
    return {
        operation["operationId"]: (method, path, operation)
        for path, methods in published()["paths"].items()
        for method, operation in methods.items()
    }


def find_operation(request: httpx.Request) -> str | None:
    """Return the id of the operation that *request* asks for; None for other spellings of a path, and for pages."""
    for name, (method, path, _) in operations().items():
        if method == request.method.lower() and _pattern(path).fullmatch(request.url.path):
            return name
    return None


@cache
def _pattern(path: str) -> re.Pattern[str]:
    """Return the pattern of a path: models and users may have slashes."""
    parts = re.split(r"\{(\w+)\}", path)
    kinds = {"model": ".+", "user": ".+"}
    return re.compile(
        "".join(
            kinds.get(part, "[^/]+") if place % 2 else re.escape(part) for place, part in enumerate(parts)
        )
    )


def hold_to_contract(answer: httpx.Response) -> None:
    """Check the head of a gateway's answer, and its JSON; an event hook, so that tests compare every answer.

    Raises:
        AssertionError: it differs from the contract.
    """
    name = find_operation(answer.request)
    if name is not None:
        faults = list(_faults_of_head(name, answer))
        if _kind_of(answer) == "application/json":
            answer.read()
            faults += _faults_of_body(name, answer)
        assert faults == [], f"{name}: {answer.status_code}"


HELD = {"response": [hold_to_contract]}
"""Event hooks of a client whose answers are compared with the contract."""


def resolve(schema: Schema) -> Schema:
    """Return the component that *schema* refers to, or itself."""
    if "$ref" not in schema:
        return schema
    found: Any = published()
    for part in schema["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return resolve(found)


def faults_of(operation_id: str, answer: httpx.Response) -> list[str]:
    """Return the ways in which *answer* differs from the contract of its operation."""
    return [*_faults_of_head(operation_id, answer), *_faults_of_body(operation_id, answer)]


def _faults_of_head(operation_id: str, answer: httpx.Response) -> Iterator[str]:
    responses = operations()[operation_id][2]["responses"]
    declared = resolve(responses.get(str(answer.status_code), {}))
    if not declared:
        yield f"status {answer.status_code}"
        return
    known = {name.lower() for name in declared.get("headers", ())} | _TRANSPORT
    yield from (f"header {name}" for name in answer.headers if name not in known)
    kind, content = _kind_of(answer), declared.get("content", {})
    if kind not in content and (kind or content):
        yield f"type {kind!r} of {answer.status_code}"


def _faults_of_body(operation_id: str, answer: httpx.Response) -> Iterator[str]:
    response = resolve(operations()[operation_id][2]["responses"].get(str(answer.status_code), {}))
    kind = _kind_of(answer)
    schema = response.get("content", {}).get(kind, {}).get("schema")
    if schema and kind == "application/json":
        yield from find_faults(schema, orjson.loads(answer.content), "$")
    elif schema and kind == "text/event-stream":
        for event in EventSource(answer).iter_sse():
            yield from find_faults(schema, orjson.loads(event.data), event.event)


def _kind_of(answer: httpx.Response) -> str:
    return str(answer.headers.get("content-type", "").partition(";")[0])


def find_faults(schema: Schema, value: Any, place: str) -> Iterator[str]:
    """Yield the places of *value* that do not fit *schema*."""
    is_open = schema.get("$ref", "").endswith(_OPEN)
    schema = resolve(schema)
    if "oneOf" in schema:
        named = schema["discriminator"]["mapping"].get(value.get("type"))
        yield from find_faults({"$ref": named}, value, place) if named else [f"{place}: {value.get('type')}"]
        return
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_TYPES[kind](value) for kind in kinds):
        yield f"{place}: {value!r} is no {' or '.join(kinds)}"
    elif isinstance(value, dict) and "properties" in schema:
        yield from _in_object(schema, value, place, is_open=is_open)
    elif isinstance(value, dict) and "additionalProperties" in schema:
        for name, each in value.items():
            yield from find_faults(schema["additionalProperties"], each, f"{place}.{name}")
    elif isinstance(value, list):
        for number, each in enumerate(value):
            yield from find_faults(schema["items"], each, f"{place}[{number}]")
    else:
        yield from _in_scalar(schema, value, place)


def _in_object(schema: Schema, value: dict[str, Any], place: str, *, is_open: bool) -> Iterator[str]:
    properties = schema["properties"]
    yield from (f"{place}.{name} is missing" for name in schema.get("required", ()) if name not in value)
    for name, each in value.items():
        if name in properties:
            yield from find_faults(properties[name], each, f"{place}.{name}")
        elif not is_open:
            yield f"{place}.{name} is not declared"


def _in_scalar(schema: Schema, value: Any, place: str) -> Iterator[str]:
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place}: {value!r} is none of {schema['enum']}"
    if isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        yield f"{place}: {value} is out of range"
    if isinstance(value, int) and schema.get("format") != "int64" and abs(value) >= 2**31:
        yield f"{place}: {value} needs 64 bits"
    if isinstance(value, str):
        if not re.search(schema.get("pattern", ""), value):
            yield f"{place}: {value!r} has another form"
        try:
            _FORMATS.get(schema.get("format", ""), str)(value)
        except ValueError:
            yield f"{place}: {value!r} is no {schema['format']}"
