"""Decide which key of a backend gets no calls for a while, why, and for how long.

A call that was billed, or may have been, is never a reason to send it again; these rules only say where the next goes.
"""

from dataclasses import dataclass
from enum import StrEnum

from service.domain.backends import KeyName
from service.domain.failures import Billing, CallFailure, FailureKind


class RestReason(StrEnum):
    """The reason why a key gets no calls."""

    THROTTLED = "throttled"
    """The backend asked for a pause, or limits the rate of the key."""
    FAILING = "failing"
    """Calls fail without being billed."""
    UNANSWERED = "unanswered"
    """Calls end without a known outcome: each may have been paid for."""
    BLOCKED = "blocked"
    """The backend has blocked the account."""
    REFUSED = "refused"
    """The key, its quota or its permissions are refused."""
    MISSING = "missing"
    """The account lacks the model, or may not use it."""


@dataclass(frozen=True, slots=True)
class RestName:
    """A name for a rest: that of a key for one *model*, or for all if that is empty."""

    key: KeyName
    model: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rest:
    """A rest that lasts another *left_s*; with 0 it is over, and the key works again."""

    name: RestName
    reason: RestReason
    left_s: float


@dataclass(frozen=True, slots=True)
class RestRule:
    """The rests of one reason: begun after *in_a_row* such failures, for *first_s*, then twice as long up to *longest_s*.

    *is_wide* concerns the key for all models. If all keys rest, those for which *is_tried* still get one call at a time, others as
    many as ever; None gets none.
    """

    in_a_row: int
    first_s: float
    longest_s: float
    is_wide: bool = False
    is_tried: bool | None = False

    def pause_s(self, repeats: int) -> float:
        """Return the length of a rest after *repeats* others, without a good answer in between."""
        return float(min(self.longest_s, self.first_s * 2.0 ** min(repeats, 20)))


RULES = {
    RestReason.THROTTLED: RestRule(1, 1.0, 8.0, is_tried=None),
    RestReason.FAILING: RestRule(3, 2.0, 60.0),
    RestReason.UNANSWERED: RestRule(5, 10.0, 60.0, is_tried=True),
    RestReason.BLOCKED: RestRule(1, 60.0, 600.0, is_wide=True, is_tried=True),
    RestReason.REFUSED: RestRule(1, 30.0, 300.0, is_wide=True, is_tried=True),
    RestReason.MISSING: RestRule(1, 60.0, 600.0),
}
LONGEST_ASKED_S = 600.0
"""The longest pause that a backend may ask for: a wrong header must not shut a key for a day."""
LONGEST_WAITED_S = 20.0
"""The longest pause of all keys that orders wait for; they are told of a longer one at once."""

_REASONS = {
    FailureKind.RATE_LIMITED: RestReason.THROTTLED,
    FailureKind.OVERLOADED: RestReason.FAILING,
    FailureKind.UNREACHABLE: RestReason.FAILING,
    FailureKind.BLOCKED: RestReason.BLOCKED,
    FailureKind.MISCONFIGURED: RestReason.REFUSED,
    FailureKind.MODEL_MISSING: RestReason.MISSING,
}


_FAILURES = {
    RestReason.THROTTLED: (FailureKind.RATE_LIMITED, "The image provider limits the gateway's rate."),
    RestReason.FAILING: (FailureKind.OVERLOADED, "The image provider fails."),
    RestReason.UNANSWERED: (FailureKind.TIMED_OUT, "The image provider does not answer."),
    RestReason.BLOCKED: (
        FailureKind.BLOCKED,
        "The image provider has blocked the gateway's account for a while.",
    ),
    RestReason.REFUSED: (FailureKind.MISCONFIGURED, "The image provider refuses the gateway's account."),
    RestReason.MISSING: (
        FailureKind.MODEL_MISSING,
        "The image provider does not offer this model to the gateway.",
    ),
}


def failure_of(reason: RestReason) -> CallFailure:
    """Return the failure of a call that is not sent as its keys rest for *reason*, which another process has seen."""
    kind, message = _FAILURES[reason]
    return CallFailure(kind=kind, billing=Billing.NOT_BILLED, message=message)


_OF_AN_ORDER = (403, 404, 405, 410)
"""Statuses that may concern the model or the operation alone: one caller who asks for what an account lacks must not shut it for all."""


def reason_of(failure: CallFailure) -> RestReason | None:
    """Return the reason that *failure* is for a rest, or None: the backend works, the order is at fault."""
    if failure.billing is Billing.UNKNOWN:
        return RestReason.UNANSWERED
    if failure.kind is FailureKind.MISCONFIGURED and failure.status in _OF_AN_ORDER:
        return RestReason.MISSING
    if failure.kind is FailureKind.OVERLOADED and failure.retry_after_s:
        return RestReason.THROTTLED
    return _REASONS.get(failure.kind)


def goes_elsewhere(failure: CallFailure) -> bool:
    """Tell if another key may make the call: nothing was billed, and the failure is of this key alone."""
    return failure.billing is Billing.NOT_BILLED and failure.kind in _REASONS


def is_of_backend(failure: CallFailure) -> bool:
    """Tell if other keys of the same backend most likely fail the same way."""
    return failure.kind in (FailureKind.OVERLOADED, FailureKind.UNREACHABLE)
