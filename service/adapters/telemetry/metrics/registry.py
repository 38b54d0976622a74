"""Register metrics; each application has its own registry, so that two can run in one process."""

from functools import cache
from typing import TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from service.adapters.telemetry.trace_ids import current_trace_id

REQUEST_BUCKETS_S = (0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 180, 300, 600)
"""Up to ten minutes: high-quality images take two, more than most default buckets cover."""
ROUND_TRIP_BUCKETS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)
"""From a quiet Redis to the longest operation of a store."""


Metric = TypeVar("Metric", Counter, Gauge, Histogram)


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
        return _quick(Counter(name, text, labels, registry=self.collectors))

    def gauge(self, name: str, text: str, *labels: str) -> Gauge:
        """Return a gauge."""
        return _quick(Gauge(name, text, labels, registry=self.collectors))

    def histogram(
        self, name: str, text: str, *labels: str, buckets: tuple[float, ...] = REQUEST_BUCKETS_S
    ) -> Histogram:
        """Return a histogram, of seconds unless it has its own *buckets*."""
        return _quick(Histogram(name, text, labels, buckets=buckets, registry=self.collectors))


def _quick(metric: Metric) -> Metric:
    """Let *metric* remember its series: the client looks each up under a lock, by texts that it makes of its labels anew."""
    # Labels are closed sets, and no series is removed.
    metric.labels = cache(metric.labels)  # type: ignore[method-assign]  # the client's own calls are not concerned
    return metric
