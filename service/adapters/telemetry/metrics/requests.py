"""Count HTTP requests, the bytes of their bodies and the acts of admins."""

from collections.abc import Callable
from itertools import product
from typing import get_args

from service.adapters.telemetry.metrics.registry import Registry, exemplar
from service.adapters.telemetry.recorder import Handlers
from service.domain.errors import RefusedFor
from service.ports.telemetry import AdminActed, BytesDeclined, HeldIn, RequestHandled


class RequestMetrics:
    """The metrics of requests."""

    def __init__(self, registry: Registry) -> None:
        self._requests = registry.counter(
            "imagegw_http_requests", "Requests answered.", "route", "method", "status"
        )
        self._request_s = registry.histogram(
            "imagegw_http_request_duration_seconds",
            "From the head of a request to the last byte of its answer.",
            "route",
        )
        self._received = registry.counter(
            "imagegw_http_received_bytes",
            "Bytes of the bodies of requests, as far as they were read.",
            "route",
        )
        self._sent = registry.counter("imagegw_http_sent_bytes", "Bytes of the bodies of answers.", "route")
        self._held_bytes = registry.gauge(
            "imagegw_request_bytes", "Bytes of requests that are held, in memory and on disk.", "place"
        )
        self._declined = registry.counter(
            "imagegw_bodies_refused", "Bodies refused for lack of room, by the bound.", "place", "reason"
        )
        for place, reason in product(get_args(HeldIn), get_args(RefusedFor)):
            if reason != "disk" or place == "disk":
                self._declined.labels(place, reason)
        self._admin_acts = registry.counter("imagegw_admin_acts", "Acts of admins over HTTP.", "act")

    @property
    def handlers(self) -> Handlers:
        """The functions that count facts, by their kind."""
        return {
            RequestHandled: self._count_request,
            BytesDeclined: lambda fact: self._declined.labels(fact.place, fact.reason).inc(),
            AdminActed: lambda fact: self._admin_acts.labels(fact.entry.act).inc(),
        }

    def watch_bytes(self, *, memory: Callable[[], int], disk: Callable[[], int]) -> None:
        """Show the bytes of requests that are held."""
        for place, held in (("memory", memory), ("disk", disk)):
            self._held_bytes.labels(place).set_function(held)

    def _count_request(self, fact: RequestHandled) -> None:
        self._requests.labels(fact.route, fact.method, str(fact.status)).inc()
        self._request_s.labels(fact.route).observe(fact.duration_s, exemplar())
        self._received.labels(fact.route).inc(fact.received_bytes)
        self._sent.labels(fact.route).inc(fact.sent_bytes)
