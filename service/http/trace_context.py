"""Read the W3C Trace Context of a request: the trace in which its caller works.

Failure behaviour: open. A malformed header counts as none (https://www.w3.org/TR/trace-context/, 2021-11-23).
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from starlette.types import Scope

_TRACEPARENT = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?"
)
_SAMPLED = 1


class TraceContext(NamedTuple):
    """The id of a trace, and if its spans are recorded."""

    trace_id: str
    is_sampled: bool


def parse_trace_context(traceparents: Sequence[bytes]) -> TraceContext | None:
    """Return the context that a request's only `traceparent` names, or None."""
    match = _TRACEPARENT.fullmatch(traceparents[0]) if len(traceparents) == 1 else None
    # Later versions may have more fields.
    if match is None or (match[1] == b"00" and match[4]):
        return None
    return TraceContext(match[2].decode(), bool(int(match[3], 16) & _SAMPLED))


def trace_id_of(scope: Scope) -> str:
    """Return the id of the request's trace, 32 hexadecimal digits, or an empty text if it has none."""
    trace_id: str = scope["state"].get("trace_id", "")
    return trace_id
