"""Bring the JSON Schemas of pydantic and FastAPI into the form that code generators handle.

* `anyOf` with null: a field that may be missing loses the null; one that may be null gets `type: [x, "null"]`.
* A constant becomes an enum of one value, and a constant boolean a plain one: with a default, Java does not compile.
* Titles and defaults of answers go: generators make names and code of them.
* Numbers of money, bytes and time are int64: 32 bits end at $2,147, 2 GiB and 2038.
"""

from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]

_LONG = frozenset(
    {
        *("microusd", "cost_microusd", "budget_per_month_microusd", "limit", "used", "remaining"),
        *("size_bytes", "max_bytes", "mask_max_bytes", "created", "created_at", "expires_at", "at", "oldest"),
    }
)
_OF_CODE = frozenset({"title", "default"})


def tidy(schema: Mapping[str, Any], *, keeps_null: bool = False) -> Schema:
    """Return *schema* in that form; *keeps_null* leaves the null to fields that may be missing, too."""
    tidied = {key: value for key, value in schema.items() if key not in _OF_CODE}
    may_be_missing = "default" in schema and schema["default"] is None and not keeps_null
    if "anyOf" in tidied:
        tidied = _without_any_of(tidied, may_be_missing=may_be_missing)
    if "const" in tidied:
        constant = tidied.pop("const")
        tidied |= {} if isinstance(constant, bool) else {"enum": [constant]}
    for key in ("items", "additionalProperties"):
        if isinstance(tidied.get(key), Mapping):
            tidied[key] = tidy(tidied[key], keeps_null=keeps_null)
    if tidied.get("additionalProperties") is True:
        del tidied["additionalProperties"]
    if "properties" in tidied:
        tidied |= _tidy_properties(tidied, keeps_null=keeps_null)
    return tidied


def _tidy_properties(schema: Schema, *, keeps_null: bool) -> Schema:
    """Return the properties of *schema*, and those required: constants always stand in an answer."""
    properties = {name: tidy(each, keeps_null=keeps_null) for name, each in schema["properties"].items()}
    for name, each in properties.items():
        if name in _LONG and "integer" in each.get("type", ()):
            each["format"] = "int64"
    constants = {name for name, each in schema["properties"].items() if "const" in each}
    required = [name for name in properties if name in constants or name in schema.get("required", ())]
    return {"required": required, "properties": properties} if required else {"properties": properties}


def _without_any_of(schema: Schema, *, may_be_missing: bool) -> Schema:
    """Return *schema* without the `anyOf` that pydantic writes for `X | None`."""
    (kind,) = (each for each in schema["anyOf"] if each != {"type": "null"})
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    if may_be_missing:
        return {**kind, **rest}
    return {**kind, "type": [kind["type"], "null"], **rest}
