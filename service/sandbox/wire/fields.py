"""Read single members of a body, and refuse bad ones as the API does.

Owns the types and ranges of one value at a time. Knows no models and no combinations of values.
"""

from collections.abc import Mapping, Sequence

from service.sandbox.wire.error_envelope import Refusal, missing_parameter, unsupported_value, wrong_type

Fields = Mapping[str, object]


def read_text(fields: Fields, name: str, *, longest: int | None = None) -> str:
    """Return a required, non-empty string."""
    if name not in fields:
        raise missing_parameter(name)
    value = fields[name]
    if not isinstance(value, str):
        raise wrong_type(name, "a string", value)
    if not value:
        message = f"Invalid '{name}': empty string. Expected a string with minimum length 1."
        raise Refusal(400, message, param=name, code="empty_string")
    if longest is not None and len(value) > longest:
        message = (
            f"Invalid '{name}': string too long. Expected a string with maximum length {longest}, "
            f"but got a string with length {len(value)} instead."
        )
        raise Refusal(400, message, param=name, code="string_above_max_length")
    return value


def read_optional_text(fields: Fields, name: str) -> str | None:
    """Return a string that may be absent or empty."""
    value = fields.get(name)
    if value is None or isinstance(value, str):
        return value
    raise wrong_type(name, "a string", value)


def read_integer(fields: Fields, name: str, *, default: int, lowest: int, highest: int) -> int:
    value = fields.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise wrong_type(name, "an integer", value)
    if value < lowest:
        message = f"Invalid '{name}': integer below minimum value. Expected a value >= {lowest}, but got {value} instead."
        raise Refusal(400, message, param=name, code="integer_below_min_value")
    if value > highest:
        message = f"Invalid '{name}': integer above maximum value. Expected a value <= {highest}, but got {value} instead."
        raise Refusal(400, message, param=name, code="integer_above_max_value")
    return value


def read_flag(fields: Fields, name: str) -> bool:
    value = fields.get(name, False)
    if isinstance(value, bool):
        return value
    raise wrong_type(name, "a boolean", value)


def read_choice(fields: Fields, name: str, supported: Sequence[str], *, default: str) -> str:
    value = fields.get(name, default)
    if not isinstance(value, str):
        raise wrong_type(name, f"one of {', '.join(supported)}", value)
    if value not in supported:
        raise unsupported_value(name, value, supported)
    return value
