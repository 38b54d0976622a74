"""Decide if a failed call is retried, and after which delay; `gateway/order/attempt.py` retries it.

Only calls that were not billed are retried, within a number of attempts, a deadline and a budget. Full
jitter, because many calls fail at the same moment (Amazon Builders' Library, "Timeouts, retries and backoff
with jitter").
"""

from dataclasses import dataclass

from service.domain.failures import Billing, CallFailure, FailureKind

_RETRIED = frozenset({FailureKind.RATE_LIMITED, FailureKind.OVERLOADED, FailureKind.UNREACHABLE})


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRule:
    """Bounds on *attempts* and delays, which grow from *base_s* to *cap_s*; a longer pause asked for ends the retries."""

    attempts: int = 3
    base_s: float = 0.5
    cap_s: float = 8.0
    max_retry_after_s: float = 20.0


def delay_before_retry_s(
    rule: RetryRule, failure: CallFailure, *, attempt: int, rest_s: float, left_s: float, jitter: float
) -> float | None:
    """Return the delay before the next attempt at the same key, or None to give up.

    *attempt* counts from 1; *rest_s* is the pause that the backend asked for; *left_s* is the time to the deadline; *jitter* is
    uniform in [0, 1).
    """
    if failure.kind not in _RETRIED or failure.billing is not Billing.NOT_BILLED or attempt >= rule.attempts:
        return None
    delay_s = min(rule.cap_s, rule.base_s * 2.0 ** (attempt - 1)) * jitter
    if rest_s > rule.max_retry_after_s:
        return None
    # Spread after the advised instant, or all calls return together.
    delay_s += rest_s
    return delay_s if delay_s < left_s else None


@dataclass(slots=True)
class RetryBudget:
    """Bounds retries to a share of the calls, so that they cannot double an overload.

    Each first attempt earns *share* of a retry; at most *most* are saved up.
    """

    share: float = 0.1
    most: float = 10.0
    saved: float = 10.0

    def earn(self) -> None:
        """Count a first attempt."""
        self.saved = min(self.most, self.saved + self.share)

    @property
    def has_one(self) -> bool:
        """Tell if a retry is left."""
        # Ten tenths add up to a little less than one.
        return self.saved >= 1.0 - 1e-9

    def spend(self) -> bool:
        """Take one retry; returns False if there is none."""
        if not self.has_one:
            return False
        self.saved -= 1.0
        return True
