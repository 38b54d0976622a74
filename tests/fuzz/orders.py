"""Judge bodies of orders by the published document: strictly, and as OpenAI reads them.

Used by `hooks.py`, in the environment of schemathesis.
"""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import jsonschema_rs
from schemathesis.transport.serialization import Binary

Schema = Mapping[str, Any]
Body = Mapping[str, Any]
_IMAGE = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAABAAAAAQCAYAAAAf8/9hAAAAHElEQVR42mM8kWLEQAlgYqAQjBowasCoAYPFAADRFQF+FwKl8wAAAABJRU5ErkJggg=="
)
"""A transparent image of 16x16: good as an image and as a mask."""
_NUMBER = re.compile(r"-?\d+(\.0+)?")


@dataclass(frozen=True, slots=True)
class OrderBody:
    """The body of one operation."""

    schema: Schema
    components: Schema
    is_form: bool

    @classmethod
    def of(cls, document: Schema, path: str) -> Self:
        """Return the body that *document* names for the orders of *path*."""
        ((kind, media),) = document["paths"][path]["post"]["requestBody"]["content"].items()
        name = media["schema"]["$ref"].rpartition("/")[2]
        schemas = document["components"]["schemas"]
        return cls(schemas[name], document["components"], kind.startswith("multipart/"))

    def is_leniently_good(self, body: Body) -> bool:
        """Tell if *body* is good once null and "" are left out, and numbers and truths are read from texts.

        Of a field that a form repeats, the last counts.
        """
        fields = self.schema["properties"]
        read = {name: self._read(value, fields.get(name, {})) for name, value in body.items()}
        return self._is_valid(
            {name: value for name, value in read.items() if value not in (None, "")}, self.schema
        )

    def reduce(self, body: Body, *, keeps: int) -> dict[str, Any]:
        """Return *body* with its required, unknown and invalid fields, and the optional one of number *keeps*.

        Most combinations of optional fields are refused, as no model takes them: then nothing else is seen.
        """
        fields = self.schema["properties"]
        optional = [
            name
            for name, value in body.items()
            if name in fields
            and name not in self.schema.get("required", ())
            and self._is_valid(_plain(value), fields[name])
        ]
        dropped = set(optional) - {optional[keeps % len(optional)]} if optional else set()
        return {name: value for name, value in body.items() if name not in dropped}

    def with_image(self, body: Body) -> dict[str, Any]:
        """Return *body* with an image that every model takes in place of each file."""
        fields = self.schema["properties"]
        return {name: _with_image(value, fields.get(name, {})) for name, value in body.items()}

    def _is_valid(self, value: object, schema: Schema) -> bool:
        return bool(jsonschema_rs.validator_for({**schema, "components": self.components}).is_valid(value))

    def _read(self, value: object, schema: Schema) -> object:
        """Return a value as it is read; of an array in a form, the last is read, unless these are files."""
        kind = schema.get("type")
        if isinstance(value, list):
            if self.is_form and kind != "array":
                return self._read(value[-1], schema) if value else None
            return [self._read(each, schema.get("items", {})) for each in value]
        if self.is_form and isinstance(value, int | float):
            value = json.dumps(value)
        return _read_text(value, kind) if isinstance(value, str) else value


def _read_text(text: str, kind: object) -> object:
    if isinstance(text, Binary):
        return _plain(text)
    if kind == "integer" and _NUMBER.fullmatch(text):
        return int(text.partition(".")[0])
    return text in ("true", "1") if kind == "boolean" and text in ("true", "1", "false", "0") else text


def _with_image(value: object, schema: Schema) -> object:
    if isinstance(value, list):
        return [_with_image(each, schema.get("items", {})) for each in value]
    is_file = schema.get("format") == "binary" and isinstance(value, str)
    return Binary(_IMAGE) if is_file else value


def _plain(value: object) -> object:
    """Return a value for the validator, which knows no bytes."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return "a file" if isinstance(value, Binary) else value
