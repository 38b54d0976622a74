"""Every metric of the gateway: names, labels and buckets (described in docs/metrics.md).

Labels are closed sets: route templates, models of the catalogue, kinds of failure.
One registry per application, so that two can live in one process.
"""

from collections.abc import Callable, Mapping
from datetime import date
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from service.ports.telemetry import (
    AdminActed,
    AttemptMade,
    CostSettled,
    FilesDeleted,
    ImageDelivered,
    ImageForgotten,
    InFlight,
    LimitDecided,
    OrderCrashed,
    RequestHandled,
    StateFailed,
    StoreCounted,
    TelemetryFact,
)

REQUEST_BUCKETS_S = (0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 180, 300, 600)
"""Up to ten minutes: high-quality pictures take two (peers stop at one and see nothing)."""


class PrometheusMetrics:
    """Implements `ports.telemetry.Telemetry` for numbers, and renders them for a scrape."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, *, version: str) -> None:
        # Creation times would double the series and nobody reads them.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        registry = self.registry
        self._requests = Counter(
            "imagegw_http_requests", "Requests answered.", ["route", "method", "status"], registry=registry
        )
        self._request_s = Histogram(
            "imagegw_http_request_duration_seconds",
            "From the first byte of a request to the last of its answer.",
            ["route"],
            buckets=REQUEST_BUCKETS_S,
            registry=registry,
        )
        self._images = Counter(
            "imagegw_images_delivered",
            "Images delivered, by asked model and source.",
            ["model", "source"],
            registry=registry,
        )
        self._attempts = Counter(
            "imagegw_upstream_attempts",
            "Attempts of calls at a backend, by outcome and by who pays.",
            ["backend", "model", "outcome", "billing"],
            registry=registry,
        )
        self._retries = Counter(
            "imagegw_upstream_retries", "Attempts after the first.", ["backend"], registry=registry
        )
        self._attempt_s = Histogram(
            "imagegw_upstream_attempt_duration_seconds",
            "From sending a call to its complete answer.",
            ["backend", "model"],
            buckets=REQUEST_BUCKETS_S,
            registry=registry,
        )
        self._made = Counter(
            "imagegw_images_made",
            "Images paid for, by the model that made them.",
            ["model"],
            registry=registry,
        )
        self._limits = Counter(
            "imagegw_limit_decisions",
            "Admissions: allowed, or the resource that refused.",
            ["decision", "degraded"],
            registry=registry,
        )
        self._in_flight = Gauge(
            "imagegw_in_flight",
            "Orders running, calls sent, and orders waiting for another's image.",
            ["kind"],
            registry=registry,
        )
        self._cost = Counter(
            "imagegw_cost_dollars", "Cost of images made, as priced.", ["model", "realm"], registry=registry
        )
        self._unpriced = Counter(
            "imagegw_images_unpriced",
            "Images made whose price is not in the catalogue.",
            ["model"],
            registry=registry,
        )
        self._state_failures = Counter(
            "imagegw_state_failures",
            "Redis operations that failed, by reason.",
            ["operation", "reason"],
            registry=registry,
        )
        self._crashes = Counter(
            "imagegw_order_crashes", "Orders ended by a bug in the gateway.", registry=registry
        )
        self._kept = Gauge("imagegw_images_kept", "Images that teams refer to.", registry=registry)
        self._kept_bytes = Gauge(
            "imagegw_kept_bytes", "Bytes of the images that teams refer to.", registry=registry
        )
        self._forgotten = Counter(
            "imagegw_images_forgotten",
            "References to images taken away, by reason.",
            ["reason"],
            registry=registry,
        )
        self._files_deleted = Counter(
            "imagegw_files_deleted",
            "Files of the store deleted: no team referred to them.",
            registry=registry,
        )
        self._admin_acts = Counter(
            "imagegw_admin_acts", "What admins did over HTTP.", ["act"], registry=registry
        )
        Gauge("imagegw_build_info", "Always 1.", ["version"], registry=registry).labels(version).set(1)
        self._remaining_s = Gauge(
            "imagegw_model_remaining_seconds",
            "Time until a model is shut down, in whole days; negative after it.",
            ["model"],
            registry=registry,
        )
        for kind in ("orders", "calls", "waiters"):
            self._in_flight.labels(kind).set(0)
        for decision in ("allowed", "requests", "images"):
            self._limits.labels(decision, "false")

    def watch_models(self, shutdowns: Mapping[str, date | None], today: Callable[[], date]) -> None:
        """Show the time left to each model that has an end; negative once it is past."""
        for name, shutdown in shutdowns.items():
            if shutdown is not None:
                self._remaining_s.labels(name).set_function(partial(_seconds_until, shutdown, today))

    def render(self) -> bytes:
        """Return all metrics in the text format."""
        return generate_latest(self.registry)

    def record(self, fact: TelemetryFact) -> None:  # noqa: C901 - one arm a fact, nothing else
        """Implement `Telemetry.record`."""
        match fact:
            case RequestHandled():
                self._requests.labels(fact.route, fact.method, str(fact.status)).inc()
                self._request_s.labels(fact.route).observe(fact.duration_s)
            case ImageDelivered():
                self._images.labels(fact.asked_model, fact.source).inc()
            case InFlight():
                self._count_in_flight(fact)
            case LimitDecided():
                self._limits.labels(fact.decision, str(fact.degraded).lower()).inc()
            case AttemptMade():
                self._count_attempt(fact)
            case CostSettled():
                self._count_cost(fact)
            case StateFailed():
                self._state_failures.labels(fact.operation, fact.reason).inc()
            case OrderCrashed():
                self._crashes.inc()
            case StoreCounted():
                self._kept.set(fact.images)
                self._kept_bytes.set(fact.size_bytes)
            case ImageForgotten():
                self._forgotten.labels(fact.reason).inc()
            case FilesDeleted():
                self._files_deleted.inc(fact.files)
            case AdminActed(entry=entry):
                self._admin_acts.labels(entry.act).inc()

    def _count_in_flight(self, fact: InFlight) -> None:
        for kind, change in (("orders", fact.orders), ("calls", fact.calls), ("waiters", fact.waiters)):
            if change:
                self._in_flight.labels(kind).inc(change)

    def _count_attempt(self, fact: AttemptMade) -> None:
        self._attempts.labels(fact.backend, fact.model, fact.outcome, fact.billing).inc()
        self._attempt_s.labels(fact.backend, fact.model).observe(fact.duration_s)
        if fact.images:
            self._made.labels(fact.model).inc(fact.images)
        if fact.is_retry:
            self._retries.labels(fact.backend).inc()

    def _count_cost(self, fact: CostSettled) -> None:
        if fact.microusd is None:
            self._unpriced.labels(fact.model).inc()
        else:
            self._cost.labels(fact.model, fact.realm).inc(fact.microusd / 1e6)


def _seconds_until(end: date, today: Callable[[], date]) -> float:
    return (end - today()).total_seconds()
