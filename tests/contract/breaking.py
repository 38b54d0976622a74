"""Find the changes of a contract that break clients of the earlier one.

A request may be wider than before, an answer narrower; a name in generated code (an operation's id, a component) stays.
"""

from collections.abc import Iterator, Mapping
from typing import Any

Document = Mapping[str, Any]
Schema = Mapping[str, Any]

_LOWER = ("minimum", "exclusiveMinimum", "minLength", "minItems")
_UPPER = ("maximum", "maxLength", "maxItems")
_FORMS = ("format", "pattern", "additionalProperties")


def find_breaks(old: Document, new: Document) -> Iterator[str]:
    """Yield the place of each change that breaks a client, in words."""
    yield from _missing(old["components"]["schemas"], new["components"]["schemas"], "component")
    for path, methods in old["paths"].items():
        for method, operation in methods.items():
            place = operation["operationId"]
            changed = new["paths"].get(path, {}).get(method)
            if changed is None:
                yield f"{place}: {method} {path} is gone"
            elif changed["operationId"] != place:
                yield f"{place}: its id is {changed['operationId']}"
            else:
                yield from _Comparison(old, new).operation(operation, changed, place)


class _Comparison:
    """Compares parts of two documents; each pair of components is compared once in each direction."""

    def __init__(self, old: Document, new: Document) -> None:
        self._old = old
        self._new = new
        self._seen: set[tuple[str, bool]] = set()

    def operation(self, old: Schema, new: Schema, place: str) -> Iterator[str]:
        yield from self._parameters(old, new, place)
        if "requestBody" not in old and "requestBody" in new:
            yield f"{place}: it needs a body"
        before, after = (each.get("requestBody", {}).get("content", {}) for each in (old, new))
        yield from self._content(before, after, f"{place}, body", is_sent=True)
        if old.get("security") == [] and new.get("security") != []:
            yield f"{place}: it needs credentials"
        for status, response in old["responses"].items():
            if status not in new["responses"]:
                if status < "400":
                    yield f"{place}: no answer {status}"
                continue
            before = _resolve(self._old, response)
            after = _resolve(self._new, new["responses"][status])
            yield from _missing(
                before.get("headers", {}), after.get("headers", {}), f"{place}, {status}: header"
            )
            answered = (before.get("content", {}), after.get("content", {}))
            yield from self._content(*answered, f"{place}, {status}", is_sent=False)

    def _parameters(self, old: Schema, new: Schema, place: str) -> Iterator[str]:
        before, after = (
            {
                (each["in"], each["name"]): each
                for each in (_resolve(document, one) for one in operation.get("parameters", ()))
            }
            for document, operation in ((self._old, old), (self._new, new))
        )
        for key, parameter in before.items():
            name = f"{place}, {key[1]}"
            if key not in after:
                yield f"{name} is gone"
                continue
            if after[key].get("required") and not parameter.get("required"):
                yield f"{name} is required"
            yield from self._schema(parameter["schema"], after[key]["schema"], name, is_sent=True)
        added = after.keys() - before.keys()
        yield from (f"{place}, {key[1]} is required" for key in added if after[key].get("required"))

    def _content(self, old: Schema, new: Schema, place: str, *, is_sent: bool) -> Iterator[str]:
        yield from _missing(old, new, f"{place}: type")
        for kind in old.keys() & new.keys():
            yield from self._schema(old[kind]["schema"], new[kind]["schema"], place, is_sent=is_sent)

    def _schema(self, old: Schema, new: Schema, place: str, *, is_sent: bool) -> Iterator[str]:
        """Compare what a client sends, or reads."""
        name = new.get("$ref", "").rpartition("/")[2]
        if old.get("$ref") != new.get("$ref"):
            yield f"{place}: {_name(old)} has become {_name(new)}"
            return
        if name:
            if (name, is_sent) in self._seen or name not in self._new["components"]["schemas"]:
                return
            self._seen.add((name, is_sent))
            old, new, place = _resolve(self._old, old), _resolve(self._new, new), name
        yield from self._values(old, new, place, is_sent=is_sent)
        yield from self._fields(old, new, place, is_sent=is_sent)
        if isinstance(old.get("items"), Mapping) and isinstance(new.get("items"), Mapping):
            yield from self._schema(old["items"], new["items"], f"{place}[]", is_sent=is_sent)
        kinds = [{each["$ref"] for each in schema.get("oneOf", ())} for schema in (old, new)]
        if kinds[0] != kinds[1]:
            yield f"{place}: its kinds are others"
        for reference in sorted(kinds[0] & kinds[1]):
            yield from self._schema({"$ref": reference}, {"$ref": reference}, place, is_sent=is_sent)

    def _values(self, old: Schema, new: Schema, place: str, *, is_sent: bool) -> Iterator[str]:
        wide, narrow = (new, old) if is_sent else (old, new)
        if not _types(narrow) <= _types(wide):
            yield f"{place}: {sorted(_types(old))} has become {sorted(_types(new))}"
        if "enum" in wide and not set(narrow.get("enum", [...])) <= set(wide["enum"]):
            yield f"{place}: its values are others"
        for key in _FORMS:
            if old.get(key) != new.get(key):
                yield f"{place}: {key} {old.get(key)} has become {new.get(key)}"
        bounds = [(key, 1) for key in _LOWER] + [(key, -1) for key in _UPPER]
        for key, sign in bounds:
            if key in wide and sign * narrow.get(key, -sign * 10**18) < sign * wide[key]:
                yield f"{place}: {key} {old.get(key)} has become {new.get(key)}"

    def _fields(self, old: Schema, new: Schema, place: str, *, is_sent: bool) -> Iterator[str]:
        before, after = old.get("properties", {}), new.get("properties", {})
        yield from _missing(before, after, f"{place}: field")
        required = [set(schema.get("required", ())) for schema in (old, new)]
        lost = required[1] - required[0] if is_sent else (required[0] - required[1]) & after.keys()
        yield from (
            f"{place}.{name} {'is required' if is_sent else 'may be missing'}" for name in sorted(lost)
        )
        for name in before.keys() & after.keys():
            yield from self._schema(before[name], after[name], f"{place}.{name}", is_sent=is_sent)


def _missing(old: Mapping[str, Any], new: Mapping[str, Any], what: str) -> Iterator[str]:
    yield from (f"{what} {name} is gone" for name in old if name not in new)


def _resolve(document: Document, node: Schema) -> Schema:
    if "$ref" not in node:
        return node
    found: Any = document
    for part in node["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    resolved: Schema = found
    return resolved


def _types(schema: Schema) -> set[str]:
    """Return the JSON types of *schema*; all if it names none."""
    types = schema.get("type", ["string", "number", "integer", "boolean", "array", "object", "null"])
    return {types} if isinstance(types, str) else set(types)


def _name(schema: Schema) -> str:
    return str(schema.get("$ref", "").rpartition("/")[2] or schema.get("type", "any"))
