"""Count orders, their images, their cost and the decisions of limits."""

from collections.abc import Callable

from service.adapters.telemetry.metrics.registry import Registry
from service.adapters.telemetry.recorder import Handlers
from service.ports.telemetry import CostSettled, ImagesDelivered, LimitDecided


class OrderMetrics:
    """The metrics of orders."""

    def __init__(self, registry: Registry) -> None:
        self._images = registry.counter(
            "imagegw_images_delivered", "Images delivered, by asked model and source.", "model", "source"
        )
        self._cost = registry.counter(
            "imagegw_cost_dollars", "Cost of images made, as priced.", "model", "realm"
        )
        self._unpriced = registry.counter(
            "imagegw_images_unpriced", "Images made whose price is not in the catalogue.", "model"
        )
        self._limits = registry.counter(
            "imagegw_limit_decisions",
            "Admissions: allowed, or the limit that refused.",
            "decision",
            "degraded",
        )
        for decision in ("allowed", "requests", "images"):
            self._limits.labels(decision, "false")
        self._in_flight = registry.gauge(
            "imagegw_in_flight", "Orders running, calls sent, and orders waiting for another's image.", "kind"
        )

    @property
    def handlers(self) -> Handlers:
        """The functions that count facts, by their kind."""
        return {
            ImagesDelivered: self._count_images,
            CostSettled: self._count_cost,
            LimitDecided: lambda fact: self._limits.labels(fact.decision, str(fact.degraded).lower()).inc(),
        }

    def watch_in_flight(
        self, *, orders: Callable[[], int], calls: Callable[[], int], waiters: Callable[[], int]
    ) -> None:
        """Show the numbers of running orders, sent calls and orders that wait for another's image."""
        for kind, number in (("orders", orders), ("calls", calls), ("waiters", waiters)):
            self._in_flight.labels(kind).set_function(number)

    def _count_images(self, fact: ImagesDelivered) -> None:
        for source, images in fact.sources.items():
            self._images.labels(fact.asked_model, source).inc(images)

    def _count_cost(self, fact: CostSettled) -> None:
        if fact.microusd is None:
            self._unpriced.labels(fact.model).inc()
        else:
            self._cost.labels(fact.model, fact.realm).inc(fact.microusd / 1e6)
