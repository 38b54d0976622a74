"""Measure Redis, count failures of the shared state, and show the journal."""

from collections.abc import Callable

from service.adapters.telemetry.metrics.registry import ROUND_TRIP_BUCKETS_S, Registry
from service.adapters.telemetry.recorder import Handlers
from service.ports.telemetry import ClockCompared, StateFailed


class StateMetrics:
    """The metrics of Redis, and of the journal that keeps what Redis does not take."""

    def __init__(self, registry: Registry) -> None:
        self._failures = registry.counter(
            "imagegw_state_failures",
            "Failed operations on the shared state, by reason.",
            *("operation", "reason"),
        )
        self._up = registry.gauge(
            "imagegw_redis_up", "1 if Redis answered the last round trip; an error is an answer, too."
        )
        self._request_s = registry.histogram(
            "imagegw_redis_request_seconds",
            "Round trips to Redis, from the wait for a connection to the answer.",
            "operation",
            buckets=ROUND_TRIP_BUCKETS_S,
        )
        self._skew_s = registry.gauge(
            "imagegw_clock_skew_seconds", "Seconds by which this process's clock is ahead of that of Redis."
        )
        self._memory_used = registry.gauge(
            "imagegw_redis_memory_used_bytes",
            "Memory that Redis uses; 0 until it is known, and of a cluster.",
        )
        self._memory_limit = registry.gauge(
            "imagegw_redis_memory_limit_bytes", "Memory that Redis may use (maxmemory), 0 without a limit."
        )
        self._journal_settlements = registry.gauge(
            "imagegw_journal_settlements", "Settlements that Redis has not taken yet, on this machine."
        )
        self._journal_oldest_s = registry.gauge(
            "imagegw_journal_oldest_seconds", "Time for which the journal has not been empty, 0 if it is."
        )
        self._journal_failing = registry.gauge(
            "imagegw_journal_failing", "1 if the journal took no settlement when it was last written."
        )
        self._journal_low = registry.gauge(
            "imagegw_journal_low", "1 if the disk of the journal has no room: it lives on its reserve."
        )

    @property
    def handlers(self) -> Handlers:
        """The functions that count facts, by their kind."""
        return {
            StateFailed: lambda fact: self._failures.labels(fact.operation, fact.reason).inc(),
            ClockCompared: lambda fact: self._skew_s.set(fact.skew_s),
        }

    def note_round_trip(self, operation: str, duration_s: float, is_answered: bool) -> None:
        """Measure a round trip to Redis, and note if it was answered; of a closed set of operations."""
        self._request_s.labels(operation).observe(duration_s)
        self._up.set(is_answered)

    def show_memory(self, used_bytes: int, limit_bytes: int) -> None:
        """Show the memory of Redis."""
        self._memory_used.set(used_bytes)
        self._memory_limit.set(limit_bytes)

    def watch_journal(
        self,
        *,
        settlements: Callable[[], int],
        oldest_s: Callable[[], float],
        is_failing: Callable[[], bool],
        is_low: Callable[[], bool],
    ) -> None:
        """Show how many settlements wait in the journal, for how long, and whether it takes more."""
        self._journal_settlements.set_function(settlements)
        self._journal_oldest_s.set_function(oldest_s)
        self._journal_failing.set_function(is_failing)
        self._journal_low.set_function(is_low)
