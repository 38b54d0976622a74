"""Decide whether a failed call is tried again, and after which delay.

Only calls that were not billed are tried again; the number of attempts, the deadline and
a budget bound it. Full jitter, because many callers fail at the same moment
(Amazon Builders' Library, "Timeouts, retries and backoff with jitter").
"""

from dataclasses import dataclass

from service.domain.failures import Billing, CallFailure, FailureKind

_RETRIED = frozenset({FailureKind.RATE_LIMITED, FailureKind.OVERLOADED, FailureKind.UNREACHABLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRule:
    """At most *attempts* tries; delays grow from *base_s* to *cap_s*; a longer Retry-After ends the retrying."""

    attempts: int = 3
    base_s: float = 0.5
    cap_s: float = 8.0
    max_retry_after_s: float = 20.0


def delay_before_retry_s(
    rule: RetryRule, failure: CallFailure, *, attempt: int, left_s: float, jitter: float
) -> float | None:
    """Return the delay before the next attempt, or None when there must be none.

    *attempt* counts from 1; *left_s* is the time to the deadline; *jitter* is
    uniform in [0, 1).
    """
    if failure.kind not in _RETRIED or failure.billing is not Billing.NOT_BILLED or attempt >= rule.attempts:
        return None
    delay_s = min(rule.cap_s, rule.base_s * 2.0 ** (attempt - 1)) * jitter
    if failure.retry_after_s is not None:
        if failure.retry_after_s > rule.max_retry_after_s:
            return None
        # Never earlier than advised, and spread, or all calls return in the same instant.
        delay_s = failure.retry_after_s + delay_s
    return delay_s if delay_s < left_s else None


@dataclass(slots=True)
class RetryBudget:
    """Keeps retries to a share of the calls, so that they cannot double an overload.

    Each first attempt earns *share* of a retry, each retry spends one, at most
    *most* are saved up.
    """

    share: float = 0.1
    most: float = 10.0
    saved: float = 10.0

    def earn(self) -> None:
        """Count a first attempt."""
        self.saved = min(self.most, self.saved + self.share)

    def spend(self) -> bool:
        """Take one retry if there is one."""
        # Ten tenths are a little less than one.
        if self.saved < 1.0 - 1e-9:
            return False
        self.saved -= 1.0
        return True
