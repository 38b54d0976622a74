"""Record requests, orders, calls and attempts as spans of OpenTelemetry, and send them to a collector.

Loaded only if traces are on. The exporter (OTLP over HTTP), the sampler and the limits read the `OTEL_*` variables.
Names and attributes are those of the semantic conventions 1.44 where they have one, and `imagegw.*` elsewhere. All
values are numbers or of closed sets. `url.path`, `url.query` and `tracestate` are left out: links, and texts of
callers, are in them.
Failure behaviour: open. Spans wait in a bounded queue for a thread that sends them; those without room are dropped.

How to add a value: the entry of its fact in `_VALUES`, a row in `docs/traces.md`.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import time_ns
from typing import Any
from uuid import uuid4

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from service.adapters.telemetry.recorder import Handlers
from service.ports.telemetry import (
    AttemptMade,
    CallQueued,
    CallRefused,
    LimitDecided,
    OrderEnded,
    RequestHandled,
    StateFailed,
    StoreAsked,
    StoreFailed,
)
from service.ports.tracing import SpanName

_SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
_KINDS = {"order": SpanKind.INTERNAL, "call": SpanKind.INTERNAL, "attempt": SpanKind.CLIENT}
_LAST_SPANS_S = 3.0
"""Longest delay of the end of a process by a collector that does not answer."""
_W3C = TraceContextTextMapPropagator()

NoteRoundTrip = Callable[[str, float, bool], None]
"""Takes the operation, its seconds, and whether the server answered."""
_Values = dict[str, str | int | float | bool]
_VALUES: Mapping[type[Any], Callable[[Any], _Values]] = {
    LimitDecided: lambda fact: {
        "imagegw.limit.decision": fact.decision,
        "imagegw.degraded": fact.degraded,
        **({"imagegw.limit.resource": fact.limit} if fact.limit else {}),
        **({"imagegw.limit.scope": fact.scope} if fact.scope else {}),
    },
    CallQueued: lambda fact: {"imagegw.queue.wait_s": fact.waited_s},
    CallRefused: lambda fact: {"imagegw.queue.refusal": fact.reason},
    StateFailed: lambda fact: {"imagegw.state.failure": fact.reason},
    StoreFailed: lambda fact: {"imagegw.store.failure": fact.reason},
    OrderEnded: lambda fact: {
        "imagegw.operation": fact.operation,
        "imagegw.model.asked": fact.asked_model,
        "imagegw.outcome": fact.outcome,
        "imagegw.cache": fact.cache,
        "imagegw.calls": fact.record.calls,
        **({"imagegw.code": fact.code} if fact.code else {}),
        **{f"imagegw.images.{source}": number for source, number in Counter(fact.record.sources).items()},
        **{f"imagegw.stage.{stage}_s": spent_s for stage, spent_s in fact.record.stages_s.items()},
    },
}


class Spans:
    """The spans of this process; a thread sends them."""

    def __init__(self, *, version: str) -> None:
        self._exporter = OTLPSpanExporter()
        # A name in OTEL_SERVICE_NAME takes precedence.
        resource = Resource.create({"service.version": version, "service.instance.id": str(uuid4())})
        self._provider = TracerProvider(resource=_named(resource), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("image-gateway", version, _SCHEMA_URL)

    @property
    def handlers(self) -> Handlers:
        """The functions that add facts to the spans in which they are recorded."""
        return {
            **dict.fromkeys(_VALUES, _add_values),
            RequestHandled: _describe_request,
            AttemptMade: _describe_attempt,
            StoreAsked: self._add_store_operation,
        }

    @contextmanager
    def open(self, name: SpanName) -> Iterator[None]:
        """Implements `ports.tracing.OpenSpan`; only the type of an error is shown, as its message may quote a prompt."""
        with self._tracer.start_as_current_span(
            name, kind=_KINDS[name], record_exception=False, set_status_on_exception=False
        ) as span:
            try:
                yield
            except BaseException as error:
                _fail(span, type(error).__name__)
                raise

    @contextmanager
    def open_request(self, traceparent: str) -> Iterator[str]:
        """Implements `ports.tracing.OpenRequestSpan`."""
        with self._tracer.start_as_current_span(
            "HTTP",
            context=_W3C.extract({"traceparent": traceparent}, Context()),
            kind=SpanKind.SERVER,
            record_exception=False,
            set_status_on_exception=False,
        ):
            yield current_traceparent()

    def watch_redis(self, note: NoteRoundTrip) -> NoteRoundTrip:
        """Return a function that passes round trips to *note*, too."""

        def note_both(operation: str, duration_s: float, is_answered: bool) -> None:
            note(operation, duration_s, is_answered)
            values: _Values = {"db.system.name": "redis", "db.operation.name": operation}
            if not is_answered:
                values["error.type"] = "unanswered"
            self._add_ended(f"redis {operation}", SpanKind.CLIENT, duration_s, values)

        return note_both

    def _add_store_operation(self, fact: StoreAsked) -> None:
        values: _Values = {"imagegw.store.operation": fact.operation}
        self._add_ended(f"store {fact.operation}", SpanKind.INTERNAL, fact.duration_s, values)

    def _add_ended(self, name: str, kind: SpanKind, duration_s: float, values: _Values) -> None:
        """Add a span that ends now, if it is part of a request or order: background work would only be noise."""
        if trace.get_current_span().is_recording():
            started_ns = time_ns() - int(duration_s * 1e9)
            span = self._tracer.start_span(name, kind=kind, attributes=values, start_time=started_ns)
            if "error.type" in values:
                span.set_status(StatusCode.ERROR)
            span.end()

    async def aclose(self) -> None:
        """Send the spans that wait, for a few seconds at most."""
        # The interpreter does not wait for this thread; its last request may take the exporter's whole time-out.
        sending = threading.Thread(target=self._provider.shutdown, daemon=True)
        sending.start()
        await asyncio.to_thread(sending.join, _LAST_SPANS_S)
        if sending.is_alive():
            self._exporter.shutdown()  # type: ignore[no-untyped-call]  # OpenTelemetry's own


def current_traceparent() -> str:
    """Return the W3C header of the current span, or an empty text."""
    headers: dict[str, str] = {}
    _W3C.inject(headers)
    return headers.get("traceparent", "")


def _named(resource: Resource) -> Resource:
    is_named = not str(resource.attributes["service.name"]).startswith("unknown_service")
    return resource if is_named else resource.merge(Resource({"service.name": "image-gateway"}))


def _add_values(fact: object) -> None:
    span = trace.get_current_span()
    if span.is_recording():
        span.set_attributes(_VALUES[type(fact)](fact))


def _describe_request(fact: RequestHandled) -> None:
    span = trace.get_current_span()
    if not span.is_recording():
        return
    method = "_OTHER" if fact.method == "other" else fact.method
    span.update_name(method)
    span.set_attribute("http.request.method", method)
    if fact.route != "other":
        span.update_name(f"{method} {fact.route}")
        span.set_attribute("http.route", fact.route)
    if fact.status:
        span.set_attribute("http.response.status_code", fact.status)
    if fact.status >= 500:
        _fail(span, str(fact.status))
    elif not fact.status:
        _fail(span, "unanswered")


def _describe_attempt(fact: AttemptMade) -> None:
    span = trace.get_current_span()
    if not span.is_recording():
        return
    span.update_name(f"generate_content {fact.model}")
    span.set_attributes(
        {
            "gen_ai.operation.name": "generate_content",
            "gen_ai.provider.name": "openai",
            "gen_ai.output.type": "image",
            "gen_ai.request.model": fact.model,
            "imagegw.backend": fact.backend,
            "imagegw.key": fact.key,
            "imagegw.billing": fact.billing,
            "imagegw.images.made": fact.images,
            "imagegw.is_retry": fact.is_retry,
        }
    )
    if fact.failure is not None:
        _fail(span, fact.outcome)
        if fact.failure.status:
            span.set_attribute("http.response.status_code", fact.failure.status)


def _fail(span: Span, kind: str) -> None:
    span.set_attribute("error.type", kind)
    span.set_status(StatusCode.ERROR)
