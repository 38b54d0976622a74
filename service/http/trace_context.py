"""Join each request to the trace in which its caller works, by the headers of W3C Trace Context.

Failure behaviour: open. A malformed header counts as none (https://www.w3.org/TR/trace-context/, 2021-11-23).
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.services import services_of

_TRACEPARENT = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-([0-9a-f]{2})(-.*)?"
)
_SAMPLED = 1
QUIET_ROUTES = frozenset({"/livez", "/readyz", "/metrics"})
"""Polled by machines: requests without a log line and a span."""


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


class TraceRequests:
    """Opens a span for each request, and puts it into the caller's place in the head; only if traces are on."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in QUIET_ROUTES:
            await self._app(scope, receive, send)
            return
        traceparents = [value for name, value in scope["headers"] if name == b"traceparent"]
        caller = traceparents[0].decode() if parse_trace_context(traceparents) else ""
        with services_of(scope).open_request_span(caller) as traceparent:
            others = [(name, value) for name, value in scope["headers"] if name != b"traceparent"]
            scope["headers"] = [*others, (b"traceparent", traceparent.encode())]
            await self._app(scope, receive, send)
