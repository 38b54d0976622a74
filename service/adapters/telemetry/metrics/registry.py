"""Register metrics; each application has its own registry, so that two can run in one process."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from service.adapters.telemetry.trace_ids import current_trace_id

REQUEST_BUCKETS_S = (0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 180, 300, 600)
"""Up to ten minutes: high-quality images take two, more than most default buckets cover."""
ROUND_TRIP_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)
"""From a quiet Redis to the longest operation of a store."""


def exemplar() -> dict[str, str] | None:
    """Return the exemplar of a value that is observed now: the id of the current trace, or None without one."""
    trace_id = current_trace_id()
    return {"trace_id": trace_id} if trace_id else None


class Registry:
    """Makes the metrics of one application; *collectors* renders them."""

    def __init__(self) -> None:
        # Creation times would double the series, and are not used.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.collectors = CollectorRegistry()

    def counter(self, name: str, text: str, *labels: str) -> Counter:
        """Return a counter; the client adds `_total` to *name*."""
        return Counter(name, text, labels, registry=self.collectors)

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        """Return a gauge."""
        return Gauge(name, text, labels, registry=self.collectors)

    def histogram(
        self, name: str, text: str, *labels: str, buckets: tuple[float, ...] = REQUEST_BUCKETS_S
    ) -> Histogram:
        """Return a histogram, of seconds unless it has its own *buckets*."""
        return Histogram(name, text, labels, buckets=buckets, registry=self.collectors)
