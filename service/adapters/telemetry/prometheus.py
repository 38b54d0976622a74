"""Collect every metric of the gateway, and render them (described in docs/metrics.md).

Each module of `metrics/` has the names, labels and buckets of a subject. Labels are closed sets: route templates,
models of the catalogue, kinds of failure. A series exists at zero before its first fact if an alert needs it: without a
zero, Prometheus misses the first increase.

To add a metric, add a fact to `ports/telemetry.py` and its `TelemetryFact`; and in the module of its subject a metric
to `__init__` and an entry to `handlers`. `tests/test_metrics_page.py` demands the metric's row in `docs/metrics.md`. Give
the fact a case in `tests/adapters/telemetry/test_prometheus.py`, and each closed label a line in the page's second table
and its test.
"""

from prometheus_client import exposition
from prometheus_client.openmetrics import exposition as openmetrics

from service.adapters.telemetry.metrics.keys import KeyMetrics
from service.adapters.telemetry.metrics.orders import OrderMetrics
from service.adapters.telemetry.metrics.parts import PartMetrics
from service.adapters.telemetry.metrics.process import ProcessMetrics
from service.adapters.telemetry.metrics.provider import ProviderMetrics
from service.adapters.telemetry.metrics.registry import Registry
from service.adapters.telemetry.metrics.requests import RequestMetrics
from service.adapters.telemetry.metrics.state import StateMetrics
from service.adapters.telemetry.metrics.store import StoreMetrics
from service.adapters.telemetry.recorder import Handlers


class PrometheusMetrics:
    """Counts facts, and renders the numbers for a scrape."""

    def __init__(self, *, version: str, revision: str = "unknown", replicas: int = 1) -> None:
        registry = Registry()
        self.registry = registry.collectors
        self.requests = RequestMetrics(registry)
        self.orders = OrderMetrics(registry)
        self.provider = ProviderMetrics(registry)
        self.keys = KeyMetrics(registry)
        self.state = StateMetrics(registry)
        self.store = StoreMetrics(registry)
        self.parts = PartMetrics(registry)
        self.process = ProcessMetrics(registry, version=version, revision=revision, replicas=replicas)

    @property
    def handlers(self) -> tuple[Handlers, ...]:
        """The functions that count facts, by their kind, of each subject."""
        subjects = (
            *(self.requests, self.orders, self.provider, self.keys, self.state),
            *(self.store, self.parts, self.process),
        )
        return tuple([subject.handlers for subject in subjects])

    def render(self, is_openmetrics: bool = False) -> tuple[bytes, str]:
        """Return all metrics and their media type: the text format, or OpenMetrics, which has exemplars."""
        if is_openmetrics:
            body: bytes = openmetrics.generate_latest(self.registry)  # type: ignore[no-untyped-call]  # the client's own
            return body, openmetrics.CONTENT_TYPE_LATEST
        return exposition.generate_latest(self.registry), exposition.CONTENT_TYPE_PLAIN_0_0_4
