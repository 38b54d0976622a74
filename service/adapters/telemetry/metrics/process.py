"""Count crashes, and show the build and the resources of this process."""

from prometheus_client import ProcessCollector

from service.adapters.telemetry.metrics.registry import Registry
from service.adapters.telemetry.recorder import Handlers
from service.ports.telemetry import Crashed


class ProcessMetrics:
    """The metrics of a process."""

    def __init__(self, registry: Registry, *, version: str, revision: str, replicas: int) -> None:
        self._crashes = registry.counter(
            "imagegw_order_crashes", "Orders, turns of background loops and requests ended by a bug.", "where"
        )
        for where in ("order", "loop", "request"):
            self._crashes.labels(where)
        build = registry.gauge("imagegw_build_info", "Always 1.", "version", "revision")
        build.labels(version, revision).set(1)
        told = registry.gauge(
            "imagegw_replicas", "Gateways that share one Redis, as told (GATEWAY_REPLICAS)."
        )
        told.set(replicas)
        ProcessCollector(registry=registry.collectors)

    @property
    def handlers(self) -> Handlers:
        """The functions that count facts, by their kind."""
        return {Crashed: lambda fact: self._crashes.labels(fact.where).inc()}
