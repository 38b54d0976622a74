"""Record the end of orders, each as one fact."""

from collections.abc import Callable
from dataclasses import dataclass

from service.domain.errors import DeadlineExceeded, GatewayError, OrderFailed
from service.domain.failures import FailureKind
from service.domain.order import ImageOrder, Ticket
from service.domain.progress import OrderRecord
from service.gateway.order.progress import Progress
from service.ports.clock import Clock
from service.ports.telemetry import OrderEnded, OrderOutcome, Telemetry

HURRIED = "own_deadline"
"""The code of a hurried order that failed for time alone: no operator can help."""
_ABOUT_TIME = (FailureKind.NOT_SENT, FailureKind.TIMED_OUT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ends:
    """Records ends; *code_of* names the errors, by a closed set."""

    clock: Clock
    telemetry: Telemetry
    code_of: Callable[[GatewayError], str]

    def record_refusal(self, order: ImageOrder, error: GatewayError, started_s: float) -> None:
        """Record that *order*, which came at *started_s*, does not run."""
        record = OrderRecord(started_s=started_s)
        self._record(order, None, record, outcome="refused", code=self._code_of(order, error))

    def record(self, progress: Progress, error: GatewayError | None) -> None:
        """Record the end of an order, with *error*; one without a class of its own is a bug."""
        outcome = _outcome_of(progress, error)
        is_failure = error is not None and outcome not in ("delivered", "abandoned")
        code = self._code_of(progress.order, error) if error is not None and is_failure else ""
        self._record(progress.order, progress.ticket, progress.record, outcome=outcome, code=code)

    def _code_of(self, order: ImageOrder, error: GatewayError) -> str:
        return HURRIED if order.is_hurried and _is_about_time(error) else self.code_of(error)

    def _record(
        self,
        order: ImageOrder,
        ticket: Ticket | None,
        record: OrderRecord,
        *,
        outcome: OrderOutcome,
        code: str,
    ) -> None:
        record.ended_s = self.clock.monotonic_s()
        self.telemetry.record(
            OrderEnded(
                operation=order.operation,
                asked_model=order.asked.name,
                sent_model=ticket.model if ticket else "",
                realm=ticket.realm if ticket else "",
                team=order.caller.team,
                is_dying=order.asked.shutdown is not None,
                is_streamed=order.is_streamed,
                outcome=outcome,
                code=code,
                cache=record.cache_outcome(is_cached=ticket is not None and ticket.pool is not None),
                record=record,
            )
        )


def _is_about_time(error: GatewayError) -> bool:
    if isinstance(error, OrderFailed):
        return all(failure.kind in _ABOUT_TIME for failure in error.failures)
    return isinstance(error, DeadlineExceeded)


def _outcome_of(progress: Progress, error: GatewayError | None) -> OrderOutcome:
    sources = progress.record.sources
    if len(sources) == progress.order.n:
        return "delivered"
    if progress.running.is_abandoned:
        return "abandoned"
    if sources:
        return "partial"
    was_tried = progress.record.calls or progress.failures or isinstance(error, DeadlineExceeded)
    return "failed" if was_tried or error is None or type(error) is GatewayError else "refused"
