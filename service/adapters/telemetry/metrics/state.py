"""Count failures of the shared state, and show the journal."""

from collections.abc import Callable

from service.adapters.telemetry.metrics.registry import Registry
from service.adapters.telemetry.recorder import Handlers
from service.ports.telemetry import StateFailed


class StateMetrics:
    """The metrics of Redis, and of the journal that keeps what Redis does not take."""

    def __init__(self, registry: Registry) -> None:
        self._failures = registry.counter(
            "imagegw_state_failures",
            "Failed operations on the shared state, by reason.",
            *("operation", "reason"),
        )
        self._journal_settlements = registry.gauge(
            "imagegw_journal_settlements", "Settlements that Redis has not taken yet, on this machine."
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
        return {StateFailed: lambda fact: self._failures.labels(fact.operation, fact.reason).inc()}

    def watch_journal(
        self, *, settlements: Callable[[], int], is_failing: Callable[[], bool], is_low: Callable[[], bool]
    ) -> None:
        """Show how many settlements wait in the journal, and whether it takes more."""
        self._journal_settlements.set_function(settlements)
        self._journal_failing.set_function(is_failing)
        self._journal_low.set_function(is_low)
