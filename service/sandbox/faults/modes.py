"""Define the faults that a `FaultProxy` can cause in its traffic.

Owns the modes and their JSON. `proxy` and `connections` carry them out.

An *exchange* is a request and its answer: one HTTP request and response, or one Redis pipeline and its replies. A
mode with `times` applies to that many exchanges.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field, TypeAdapter


@dataclass(frozen=True, slots=True)
class PassThrough:
    """Forward everything unchanged."""


@dataclass(frozen=True, slots=True)
class RefuseConnections:
    """Stop listening and cut all connections, as if the target had died. Takes no `times`."""


@dataclass(frozen=True, slots=True)
class HangAfterAccept:
    """Accept, but read and answer nothing. Held connections continue with the next mode."""


@dataclass(frozen=True, slots=True)
class HangAfterRequest:
    """Forward the request, drop the answer, and keep the connection open but silent."""


@dataclass(frozen=True, slots=True)
class ResetAfterRequest:
    """Forward the request, let the target do its work, and answer with a TCP reset."""


@dataclass(frozen=True, slots=True)
class Drip:
    """Forward the answer slowly."""

    bytes_per_s: Annotated[float, Field(gt=0)]


@dataclass(frozen=True, slots=True)
class Truncate:
    """Close the connection after *after_bytes* of the answer, headers included."""

    after_bytes: Annotated[int, Field(ge=0)]


@dataclass(frozen=True, slots=True)
class Delay:
    """Delay the start of the request by *up_s* and the start of the answer by *down_s*."""

    up_s: Annotated[float, Field(ge=0)] = 0
    down_s: Annotated[float, Field(ge=0)] = 0


@dataclass(frozen=True, slots=True)
class DropReply:
    """Drop every *nth* answer since the mode was set; the connection stays usable."""

    nth: Annotated[int, Field(ge=1)] = 1


Mode = (
    PassThrough
    | RefuseConnections
    | HangAfterAccept
    | HangAfterRequest
    | ResetAfterRequest
    | Drip
    | Truncate
    | Delay
    | DropReply
)

_BY_NAME: Mapping[str, type[Mode]] = {
    "pass_through": PassThrough,
    "refuse_connections": RefuseConnections,
    "hang_after_accept": HangAfterAccept,
    "hang_after_request": HangAfterRequest,
    "reset_after_request": ResetAfterRequest,
    "drip": Drip,
    "truncate": Truncate,
    "delay": Delay,
    "drop_reply": DropReply,
}


def read_mode(fields: Mapping[str, object]) -> Mode:
    """Return the mode of e.g. `{"mode": "drip", "bytes_per_s": 100}`.

    Raises:
        ValueError: an unknown mode or member, or a value of the wrong type.
    """
    name = fields.get("mode")
    kind = _BY_NAME.get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueError(f"mode must be one of {', '.join(_BY_NAME)}")
    values = {member: value for member, value in fields.items() if member != "mode"}
    mode: Mode = TypeAdapter(kind).validate_python(values, extra="forbid")
    return mode


def name_mode(mode: Mode) -> str:
    return next(name for name, kind in _BY_NAME.items() if isinstance(mode, kind))
