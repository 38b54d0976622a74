"""Know the id of the current trace, for exemplars: one for each request, which its order and calls inherit."""

from contextvars import ContextVar

_TRACE_ID: ContextVar[str] = ContextVar("trace_id", default="")

note_trace_id = _TRACE_ID.set
"""Takes the id of the trace of this request; only of a trace whose spans are recorded."""


def current_trace_id() -> str:
    """Return the id of the recorded trace of this request, order or call, or an empty text."""
    return _TRACE_ID.get()
