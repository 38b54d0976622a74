"""Count calls at the provider and in the queue before it, and show the time left to its models."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from functools import partial
from typing import get_args

from service.adapters.telemetry.metrics.registry import Registry, exemplar
from service.adapters.telemetry.recorder import Handlers
from service.domain.failures import Billing, FailureKind
from service.ports.telemetry import AttemptMade, CallQueued, CallRefused, QueueRefusal

_ANSWERED = (
    *(FailureKind.MISCONFIGURED, FailureKind.MODEL_MISSING, FailureKind.BLOCKED),
    *(FailureKind.RATE_LIMITED, FailureKind.OVERLOADED),
)
_UNSPENT = (FailureKind.NOT_SENT, FailureKind.UNREACHABLE, FailureKind.REFUSED, FailureKind.INVALID)
_UNANSWERED = (FailureKind.TIMED_OUT, FailureKind.BROKEN)
ENDS: tuple[tuple[str, str], ...] = (
    ("made", Billing.BILLED),
    *((kind, Billing.NOT_BILLED) for kind in (*_UNSPENT, *_ANSWERED)),
    # An error within a stream may be billed.
    *((kind, Billing.UNKNOWN) for kind in (*_ANSWERED, *_UNANSWERED)),
)
"""The outcomes of attempts, each with its billing."""


class ProviderMetrics:
    """The metrics of calls, of their queue and of models."""

    def __init__(self, registry: Registry) -> None:
        self._attempts = registry.counter(
            "imagegw_upstream_attempts",
            "Attempts of calls at a backend, by outcome and billing.",
            *("backend", "model", "outcome", "billing"),
        )
        self._retries = registry.counter("imagegw_upstream_retries", "Attempts after the first.", "backend")
        self._attempt_s = registry.histogram(
            "imagegw_upstream_attempt_duration_seconds",
            "From sending a call to its complete answer, or to its failure.",
            *("backend", "model", "outcome"),
        )
        self._queue_calls = registry.gauge("imagegw_queue_calls", "Calls that wait for their turn.")
        self._overdue = registry.gauge(
            "imagegw_calls_overdue",
            "Calls in flight that take twice as long as others did, while their key answers none.",
        )
        self._queue_limit = registry.gauge(
            "imagegw_queue_limit_calls", "Most calls that may wait (GATEWAY_MAX_CALLS_WAITING)."
        )
        self._in_flight_limit = registry.gauge(
            "imagegw_in_flight_limit", "Most calls at once, the sum of those of all keys.", "kind"
        )
        self._queue_s = registry.histogram("imagegw_queue_wait_seconds", "Waits of calls that had to wait.")
        self._queue_refusals = registry.counter(
            "imagegw_queue_refusals", "Orders and calls that the queue refused.", "reason"
        )
        for reason in get_args(QueueRefusal):
            self._queue_refusals.labels(reason)
        self._remaining_s = registry.gauge(
            "imagegw_model_remaining_seconds",
            "Time until a model is shut down, in whole days; negative after it.",
            "model",
        )

    @property
    def handlers(self) -> Handlers:
        """The functions that count facts, by their kind."""
        return {
            AttemptMade: self._count_attempt,
            CallQueued: lambda fact: self._queue_s.observe(fact.waited_s),
            CallRefused: lambda fact: self._queue_refusals.labels(fact.reason).inc(),
        }

    def expect(self, backend: str, models: Iterable[str]) -> None:
        """Begin the attempts of *models* at *backend* at zero."""
        self._retries.labels(backend)
        for model in models:
            for outcome, billing in ENDS:
                self._attempts.labels(backend, model, outcome, billing)

    def watch_models(self, shutdowns: Mapping[str, date | None], today: Callable[[], date]) -> None:
        """Show the time left to each model with an end of life."""
        for name, shutdown in shutdowns.items():
            if shutdown is not None:
                self._remaining_s.labels(name).set_function(partial(_seconds_until, shutdown, today))

    def watch_queue(
        self,
        length: Callable[[], int],
        overdue: Callable[[], int],
        *,
        most_calls: int,
        most_in_flight: int,
    ) -> None:
        """Show the numbers of calls that wait and that are overdue, and the bounds of the queue."""
        self._queue_calls.set_function(length)
        self._overdue.set_function(overdue)
        self._queue_limit.set(most_calls)
        self._in_flight_limit.labels("calls").set(most_in_flight)

    def _count_attempt(self, fact: AttemptMade) -> None:
        self._attempts.labels(fact.backend, fact.model, fact.outcome, fact.billing).inc()
        self._attempt_s.labels(fact.backend, fact.model, fact.outcome).observe(fact.duration_s, exemplar())
        if fact.is_retry:
            self._retries.labels(fact.backend).inc()


def _seconds_until(end: date, today: Callable[[], date]) -> float:
    return (end - today()).total_seconds()
