"""Mark the spans of work that a trace shows.

A use case only names a span. Its values are those of the facts (`telemetry.py`) that are recorded within it.

How to add one: a name here, `with self.span(name):` in the use case, its kind in `adapters/telemetry/spans.py`, a row
in `docs/traces.md`.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Literal

SpanName = Literal["order", "call", "attempt"]

OpenSpan = Callable[[SpanName], AbstractContextManager[object]]
"""Opens a span around a block: spans and facts within it belong to it, also those of tasks that start in it.

`contextlib.nullcontext` opens none.
"""

OpenRequestSpan = Callable[[str], AbstractContextManager[str]]
"""Opens the span of a request whose caller sent this valid `traceparent`, or none (""); gives that of the span."""
