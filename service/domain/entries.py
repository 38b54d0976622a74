"""Read tables of TOML into frozen dataclasses, and report every missing, unknown or mistyped field.

Reads tables, lists, choices and plain values; knows no model. The fields of an `INLINE` dataclass belong to
the table of its owner.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from datetime import date
from enum import EnumType
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, get_args, get_origin

from service.domain.unknown import find_nearest

Entry = TypeVar("Entry")

INLINE = {"inline": True}
"""Metadata of a field whose dataclass has no table of its own."""

_WORDS = {
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    date: "a date such as 2026-01-31",
    dict: "a table",
    list: "a list",
}


class EntryFaults(ValueError):
    """The faults of a table, a sentence each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


def read_entry(kind: type[Entry], table: Mapping[str, Any], **given: Any) -> Entry:
    """Return a *kind*, a dataclass, of *table* and the *given* fields, which a table may not name.

    Raises:
        EntryFaults: the table has faults.
    """
    faults: list[str] = []
    found = _read_table(kind, table, "", faults, given)
    if faults:
        raise EntryFaults(faults)
    entry: Entry = _build(kind, found)
    return entry


def suggest(name: str, known: Iterable[str]) -> str:
    """Return a question with the nearest of the *known* names, or an empty text."""
    nearest = find_nearest(name, known)
    return f" (did you mean {nearest}?)" if nearest else ""


def _read_table(
    kind: Any, table: Mapping[str, Any], path: str, faults: list[str], given: Mapping[str, Any]
) -> dict[str, Any]:
    known = {field.name: field for field in _flat_fields(kind) if field.name not in given}
    faults += [f"{path}{name} is no field{suggest(name, known)}" for name in table if name not in known]
    faults += [
        f"{path}{name} is missing: {_describe(field.type)}"
        for name, field in known.items()
        if name not in table and _is_required(field)
    ]
    read = {
        name: _read(known[name].type, value, path + name, faults)
        for name, value in table.items()
        if name in known
    }
    return {**read, **given}


def _flat_fields(kind: Any) -> Iterator[Field[Any]]:
    for field in fields(kind):
        if field.metadata == INLINE:
            yield from _flat_fields(field.type)
        else:
            yield field


def _build(kind: Any, read: Mapping[str, Any]) -> Any:
    """Return a *kind* made of the fields of a faultless table."""
    values = {
        field.name: _build(field.type, read) if field.metadata == INLINE else read[field.name]
        for field in fields(kind)
        if field.metadata == INLINE or field.name in read
    }
    return kind(**values)


def _read(kind: Any, value: Any, path: str, faults: list[str]) -> Any:
    options = get_args(kind) if isinstance(kind, UnionType) else (kind,)
    first, origin = options[0], get_origin(options[0])
    if isinstance(value, Mapping) and is_dataclass(first):
        before = len(faults)
        read = _read_table(first, value, f"{path}.", faults, {})
        return _build(first, read) if len(faults) == before else None
    if isinstance(value, Mapping) and origin is Mapping:
        return {
            name: _read(get_args(first)[1], each, f"{path}.{name}", faults) for name, each in value.items()
        }
    if isinstance(value, list) and origin is tuple:
        return tuple(
            _read(get_args(first)[0], each, f"{path}[{at}]", faults) for at, each in enumerate(value)
        )
    if value in _choices(first):
        return first(value) if isinstance(first, EnumType) else value
    if type(value) in options or (type(value) is int and float in options):
        return value
    shown = repr(value) if _choices(first) else _WORDS.get(type(value), type(value).__name__)
    faults.append(f"{path} must be {_describe(kind)}, not {shown}")
    return None


def _describe(kind: Any) -> str:
    """Describe a value of *kind* in words."""
    options = [option for option in get_args(kind) if option is not NoneType]
    if isinstance(kind, UnionType):
        return " or ".join(map(_describe, options))
    if choices := _choices(kind):
        return f"one of {', '.join(choices)}"
    if is_dataclass(kind):
        return f"a table of {', '.join(field.name for field in fields(kind))}"
    return _WORDS[{tuple: list, Mapping: dict}.get(get_origin(kind), kind)]


def _choices(kind: Any) -> list[str]:
    if isinstance(kind, EnumType):
        return list(kind)
    return list(get_args(kind)) if get_origin(kind) is Literal else []


def _is_required(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING
