"""Measure what the parts of a process have in common: times of failure, breakers, and the event loop."""

from collections.abc import Callable
from typing import get_args

from service.adapters.telemetry.metrics.registry import Registry
from service.adapters.telemetry.recorder import Handlers
from service.ports.telemetry import LoopLagged, Part, PartAway

LAG_BUCKETS_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)


class PartMetrics:
    """The metrics of parts in common."""

    def __init__(self, registry: Registry) -> None:
        self._away_s = registry.counter(
            "imagegw_degraded_seconds", "Time in which a part did not work, as this process found it.", "part"
        )
        for part in get_args(Part):
            self._away_s.labels(part)
        self._breaker = registry.gauge(
            "imagegw_breaker_open", "1 while this process spares a part that failed repeatedly.", "part"
        )
        self._lag_s = registry.histogram(
            "imagegw_event_loop_lag_seconds",
            "Delay of a task of the event loop that is due twice a second.",
            buckets=LAG_BUCKETS_S,
        )

    @property
    def handlers(self) -> Handlers:
        """The functions that count facts, by their kind."""
        return {
            LoopLagged: lambda fact: self._lag_s.observe(fact.lag_s),
            PartAway: lambda fact: self._away_s.labels(fact.part).inc(fact.away_s),
        }

    def watch_breakers(self, *, redis: Callable[[], bool], provider: Callable[[], bool]) -> None:
        """Show the breakers that are open."""
        for part, is_open in (("redis", redis), ("provider", provider)):
            self._breaker.labels(part).set_function(is_open)
