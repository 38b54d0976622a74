"""Define every metric of the gateway: names, labels and buckets (described in docs/metrics.md).

Labels are closed sets: route templates, models of the catalogue, kinds of failure. Each application has its own
registry, so that two can run in one process.

To add a metric, add a fact to `ports/telemetry.py` and its `TelemetryFact`, a metric to `__init__` and an entry to
`handlers`. `tests/test_metrics_page.py` demands the metric's row in `docs/metrics.md`. Give the fact a case in
`tests/adapters/telemetry/test_prometheus.py`, and each closed label a line in the page's second table and its test.
"""

from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from typing import get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from service.adapters.telemetry.recorder import Handlers
from service.ports.telemetry import (
    AdminActed,
    AttemptMade,
    BytesDeclined,
    CallQueued,
    CallRefused,
    CostSettled,
    Crashed,
    FilesDeleted,
    ImageForgotten,
    ImagesDelivered,
    ImageSpilled,
    ImageUnprocessed,
    LimitDecided,
    QueueRefusal,
    RequestHandled,
    SpillCounted,
    StateFailed,
    StoreCounted,
    StoreFailed,
)

REQUEST_BUCKETS_S = (0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 180, 300, 600)
"""Up to ten minutes: high-quality images take two, more than most default buckets cover."""


class PrometheusMetrics:
    """Counts facts, and renders the numbers for a scrape."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self, *, version: str) -> None:
        # Creation times would double the series, and are not used.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        self._requests = self._counter(
            "imagegw_http_requests", "Requests answered.", "route", "method", "status"
        )
        self._request_s = self._histogram(
            "imagegw_http_request_duration_seconds",
            "From the head of a request to the last byte of its answer.",
            "route",
        )
        self._images = self._counter(
            "imagegw_images_delivered", "Images delivered, by asked model and source.", "model", "source"
        )
        self._attempts = self._counter(
            "imagegw_upstream_attempts",
            "Attempts of calls at a backend, by outcome and billing.",
            *("backend", "model", "outcome", "billing"),
        )
        self._retries = self._counter("imagegw_upstream_retries", "Attempts after the first.", "backend")
        self._attempt_s = self._histogram(
            "imagegw_upstream_attempt_duration_seconds",
            "From sending a call to its complete answer.",
            *("backend", "model"),
        )
        self._made = self._counter(
            "imagegw_images_made", "Images paid for, by the model that made them.", "model"
        )
        self._limits = self._counter(
            "imagegw_limit_decisions",
            "Admissions: allowed, or the limit that refused.",
            "decision",
            "degraded",
        )
        self._held_bytes = self._gauge(
            "imagegw_request_bytes", "Bytes of requests that are held, in memory and on disk.", "place"
        )
        self._declined = self._counter(
            "imagegw_bodies_refused", "Bodies refused for lack of room, by the bound.", "place", "reason"
        )
        self._in_flight = self._gauge(
            "imagegw_in_flight", "Orders running, calls sent, and orders waiting for another's image.", "kind"
        )
        self._queue_calls, self._queue_s, self._queue_refusals = (
            self._gauge("imagegw_queue_calls", "Calls that wait for their turn."),
            self._histogram("imagegw_queue_wait_seconds", "Waits of calls that had to wait."),
            self._counter("imagegw_queue_refusals", "Orders and calls that the queue refused.", "reason"),
        )
        self._cost = self._counter(
            "imagegw_cost_dollars", "Cost of images made, as priced.", "model", "realm"
        )
        self._unpriced = self._counter(
            "imagegw_images_unpriced", "Images made whose price is not in the catalogue.", "model"
        )
        self._state_failures = self._counter(
            "imagegw_state_failures",
            "Failed operations on the shared state, by reason.",
            *("operation", "reason"),
        )
        self._store_failures = self._counter(
            "imagegw_store_failures", "Operations of the image store that failed, by reason.", "reason"
        )
        self._store_failing = self._gauge(
            "imagegw_store_failing", "1 if the last operation or probe of the image store failed."
        )
        self._journal = {
            "settlements": self._gauge(
                "imagegw_journal_settlements", "Settlements that Redis has not taken yet, on this machine."
            ),
            "failing": self._gauge(
                "imagegw_journal_failing", "1 if the journal took no settlement when it was last written."
            ),
            "low": self._gauge(
                "imagegw_journal_low", "1 if the disk of the journal has no room: it lives on its reserve."
            ),
        }
        self._crashes = self._counter(
            "imagegw_order_crashes", "Orders, turns of background loops and requests ended by a bug.", "where"
        )
        self._kept, self._kept_bytes = (
            self._gauge("imagegw_images_kept", "Images that teams refer to."),
            self._gauge("imagegw_kept_bytes", "Bytes of the images that teams refer to."),
        )
        self._forgotten = self._counter(
            "imagegw_images_forgotten", "References to images removed, by reason.", "reason"
        )
        self._files_deleted = self._counter(
            "imagegw_files_deleted", "Files deleted from the store, since no team referred to them."
        )
        self._spilled, self._spill = (
            self._counter(
                "imagegw_images_spilled", "Images that the store did not take, by outcome.", "outcome"
            ),
            self._gauge("imagegw_spill_images", "Images that wait on this machine for the store."),
        )
        self._unprocessed = self._counter(
            "imagegw_images_unprocessed",
            "Images that no worker could process, by origin and reason.",
            "origin",
            "reason",
        )
        self._admin_acts = self._counter("imagegw_admin_acts", "Acts of admins over HTTP.", "act")
        self._remaining_s = self._gauge(
            "imagegw_model_remaining_seconds",
            "Time until a model is shut down, in whole days; negative after it.",
            "model",
        )
        self._gauge("imagegw_build_info", "Always 1.", "version").labels(version).set(1)
        self._begin_at_zero()

    def watch_models(self, shutdowns: Mapping[str, date | None], today: Callable[[], date]) -> None:
        """Show the time left to each model with an end of life."""
        for name, shutdown in shutdowns.items():
            if shutdown is not None:
                self._remaining_s.labels(name).set_function(partial(_seconds_until, shutdown, today))

    def watch_store(self, is_failing: Callable[[], bool]) -> None:
        """Show whether the image store works."""
        self._store_failing.set_function(is_failing)

    def watch_journal(
        self, *, settlements: Callable[[], int], is_failing: Callable[[], bool], is_low: Callable[[], bool]
    ) -> None:
        """Show how many settlements wait in the journal, and whether it takes more."""
        self._journal["settlements"].set_function(settlements)
        self._journal["failing"].set_function(is_failing)
        self._journal["low"].set_function(is_low)

    def watch_in_flight(
        self, *, orders: Callable[[], int], calls: Callable[[], int], waiters: Callable[[], int]
    ) -> None:
        """Show the numbers of running orders, sent calls and orders that wait for another's image."""
        for kind, number in (("orders", orders), ("calls", calls), ("waiters", waiters)):
            self._in_flight.labels(kind).set_function(number)

    def watch_queue(self, length: Callable[[], int]) -> None:
        """Show the number of calls that wait."""
        self._queue_calls.set_function(length)

    def render(self) -> bytes:
        """Return all metrics in the text format."""
        return generate_latest(self.registry)

    def watch_bytes(self, *, memory: Callable[[], int], disk: Callable[[], int]) -> None:
        """Show the bytes of requests that are held."""
        for place, held in (("memory", memory), ("disk", disk)):
            self._held_bytes.labels(place).set_function(held)

    @property
    def handlers(self) -> Handlers:
        """The functions that count facts, by their kind."""
        return {
            RequestHandled: self._count_request,
            ImagesDelivered: self._count_images,
            LimitDecided: lambda fact: self._limits.labels(fact.decision, str(fact.degraded).lower()).inc(),
            BytesDeclined: lambda fact: self._declined.labels(fact.place, fact.reason).inc(),
            AttemptMade: self._count_attempt,
            CallQueued: lambda fact: self._queue_s.observe(fact.waited_s),
            CallRefused: lambda fact: self._queue_refusals.labels(fact.reason).inc(),
            CostSettled: self._count_cost,
            StateFailed: lambda fact: self._state_failures.labels(fact.operation, fact.reason).inc(),
            StoreFailed: lambda fact: self._store_failures.labels(fact.reason).inc(),
            Crashed: lambda fact: self._crashes.labels(fact.where).inc(),
            StoreCounted: self._show_store,
            ImageForgotten: lambda fact: self._forgotten.labels(fact.reason).inc(),
            FilesDeleted: lambda fact: self._files_deleted.inc(fact.files),
            ImageSpilled: lambda fact: self._spilled.labels(fact.outcome).inc(),
            ImageUnprocessed: lambda fact: self._unprocessed.labels(fact.origin, fact.reason).inc(),
            SpillCounted: lambda fact: self._spill.set(fact.images),
            AdminActed: lambda fact: self._admin_acts.labels(fact.entry.act).inc(),
        }

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(name, text, labels, buckets=REQUEST_BUCKETS_S, registry=self.registry)

    def _begin_at_zero(self) -> None:
        """Show series before their first fact: without a zero, Prometheus misses the first increase."""
        for decision in ("allowed", "requests", "images"):
            self._limits.labels(decision, "false")
        for reason in get_args(QueueRefusal):
            self._queue_refusals.labels(reason)
        for where in ("order", "loop", "request"):
            self._crashes.labels(where)
        for outcome in ("kept", "refused", "brought_home"):
            self._spilled.labels(outcome)

    def _count_request(self, fact: RequestHandled) -> None:
        self._requests.labels(fact.route, fact.method, str(fact.status)).inc()
        self._request_s.labels(fact.route).observe(fact.duration_s)

    def _count_images(self, fact: ImagesDelivered) -> None:
        for source, images in fact.sources.items():
            self._images.labels(fact.asked_model, source).inc(images)

    def _show_store(self, fact: StoreCounted) -> None:
        self._kept.set(fact.images)
        self._kept_bytes.set(fact.size_bytes)

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
