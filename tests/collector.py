"""Receive spans as an OpenTelemetry collector does: OTLP over HTTP, on a real socket."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True)
class Received:
    """One span that arrived; ids are hexadecimal, *parent* is empty for the first of a trace."""

    name: str
    kind: int
    trace: str
    id: str
    parent: str
    values: dict[str, Any]
    is_error: bool
    start_ns: int
    end_ns: int


@dataclass(slots=True)
class Collector:
    """A running collector at *url*; an answer waits while *answers* is cleared."""

    url: str
    bodies: list[bytes] = field(default_factory=list)
    answers: threading.Event = field(default_factory=threading.Event)

    @property
    def spans(self) -> list[Received]:
        return [span for body in list(self.bodies) for span in _decode(body)]

    @property
    def resources(self) -> list[dict[str, Any]]:
        requests = [ExportTraceServiceRequest.FromString(body) for body in list(self.bodies)]
        return [_values(sent.resource.attributes) for request in requests for sent in request.resource_spans]

    def of(self, trace: str) -> list[Received]:
        """Return the spans of a trace, in the order of their beginning."""
        return sorted((span for span in self.spans if span.trace == trace), key=lambda span: span.start_ns)

    def wait_for(self, trace: str, is_complete: Callable[[list[Received]], bool]) -> list[Received]:
        """Return the spans of a trace once it is complete."""
        deadline_s = time.monotonic() + PATIENCE_S
        while not is_complete(spans := self.of(trace)):
            assert time.monotonic() < deadline_s, [span.name for span in spans]
            time.sleep(0.02)
        return spans


@contextmanager
def run_collector() -> Iterator[Collector]:
    """Run a collector that takes all spans."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            collector.answers.wait()
            collector.bodies.append(body)
            self.send_response(200)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        collector = Collector(f"http://127.0.0.1:{server.server_address[1]}")
        collector.answers.set()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield collector
        finally:
            collector.answers.set()
            server.shutdown()


def _decode(body: bytes) -> Iterator[Received]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Received(
                    name=span.name,
                    kind=span.kind,
                    trace=span.trace_id.hex(),
                    id=span.span_id.hex(),
                    parent=span.parent_span_id.hex(),
                    values=_values(span.attributes),
                    is_error=span.status.code == 2,
                    start_ns=span.start_time_unix_nano,
                    end_ns=span.end_time_unix_nano,
                )


def _values(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
