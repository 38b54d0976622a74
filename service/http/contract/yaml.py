"""Write JSON data as YAML: one value a line, in an order that shows well in a diff."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

_PLAIN = re.compile(r"[A-Za-z$/][A-Za-z0-9$/_{}.-]*( [A-Za-z0-9(][A-Za-z0-9_,.()'-]*)*")
"""Text that means itself without quotation marks, and cannot be taken for another value."""
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})


def to_yaml(data: Mapping[str, Any]) -> str:
    """Return *data* as a YAML document."""
    return "\n".join(_lines(data, "")) + "\n"


def _lines(data: Mapping[str, Any] | list[Any], indent: str) -> Iterator[str]:
    entries = (
        [(f"{_scalar(key)}:", value) for key, value in data.items()]
        if isinstance(data, Mapping)
        else [("-", value) for value in data]
    )
    for head, value in entries:
        if isinstance(value, Mapping | list) and value:
            first, *rest = _lines(value, f"{indent}  ")
            if head == "-":
                yield f"{indent}- {first[len(indent) + 2 :]}"
            else:
                yield f"{indent}{head}"
                yield first
            yield from rest
        elif isinstance(value, str) and "\n" in value and value == value.strip():
            yield f"{indent}{head} |-"
            for line in value.split("\n"):
                yield f"{indent}  {line}" if line else ""
        else:
            yield f"{indent}{head} {_scalar(value)}"


def _scalar(value: Any) -> str:
    """Return *value* on one line: JSON is YAML, and plain text is easier to read."""
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
