"""Build the traces of a process: none, unless the settings ask for them."""

from collections.abc import Callable
from contextlib import AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec

from service.adapters.redis.client.round_trips import NoteRoundTrip
from service.adapters.telemetry.recorder import Handlers
from service.ports.tracing import OpenRequestSpan, OpenSpan
from service.settings.problems import SettingsError
from service.settings.variables import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """The traces of a process. *traceparent* tells other servers of the current span; None keeps it from them."""

    open_span: OpenSpan = nullcontext
    open_request: OpenRequestSpan = nullcontext
    handlers: Handlers = field(default_factory=dict)
    watch_redis: Callable[[NoteRoundTrip], NoteRoundTrip] = lambda note: note
    traceparent: Callable[[], str] | None = None


UNTRACED = Traces()


def check_traces(settings: Settings) -> None:
    """Check that the packages for traces are there, if they are on; raises `SettingsError`."""
    if settings.traces == "otlp" and find_spec("opentelemetry.exporter") is None:
        raise SettingsError("GATEWAY_TRACES: install image-gateway[otel], or set it to off")


def open_traces(settings: Settings, stack: AsyncExitStack) -> Traces:
    """Start to record spans, if the settings say so; *stack* sends the last ones."""
    if settings.traces == "off":
        return UNTRACED
    # 0.1 s and 7 MB, for those who trace only.
    from service.adapters.telemetry.spans import Spans, current_traceparent  # noqa: PLC0415

    spans = Spans(version=version("image-gateway"))
    stack.push_async_callback(spans.aclose)
    return Traces(
        open_span=spans.open,
        open_request=spans.open_request,
        handlers=spans.handlers,
        watch_redis=spans.watch_redis,
        traceparent=current_traceparent,
    )
