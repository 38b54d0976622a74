"""Describe failed calls as values: their meaning for the caller and for a retry, and their billing.

`service.adapters.openai.failures` recognizes the failures of the provider.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

_CODE = re.compile(r"(?!(?:\D*\d){4})[A-Za-z][A-Za-z0-9_]{0,39}")


class Billing(StrEnum):
    """The billing of a failed call by the provider."""

    BILLED = "billed"
    NOT_BILLED = "not_billed"
    UNKNOWN = "unknown"


class FailureKind(StrEnum):
    """The meaning of a failed call for the caller and for a retry."""

    REFUSED = "refused"
    """The provider's policy refused the prompt or the image."""
    INVALID = "invalid"
    """The provider rejects a parameter that the gateway accepted."""
    MISCONFIGURED = "misconfigured"
    """The gateway's key, account or billing at the provider is wrong: no order can succeed."""
    MODEL_MISSING = "model_missing"
    """The account lacks the model, or the provider has ended it: orders for others succeed."""
    BLOCKED = "blocked"
    """The provider has blocked the gateway's account, perhaps for earlier orders of other callers."""
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    """A 5xx with a complete error envelope."""
    UNREACHABLE = "unreachable"
    """No connection was made: nothing was sent."""
    TIMED_OUT = "timed_out"
    """No answer came before the deadline."""
    BROKEN = "broken"
    """The answer was reset, cut off or cannot be read."""
    NOT_SENT = "not_sent"
    """Given up before it was sent: its time was too short, or its caller left."""
    SHED = "shed"
    """Refused by the queue before it was sent, as every other call would be."""
    NOT_KEPT = "not_kept"
    """Made and paid for, but not finished or stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailure:
    """One failed call, as a value: its siblings are being paid for.

    *message* is safe to show: it has no prompt, key or raw provider body. *details* are further fields of
    the provider's error object, bounded and otherwise unchanged. *cause* (the provider's or the network's words, without
    keys and prompts) and *advice* are for operators.
    """

    kind: FailureKind
    billing: Billing
    message: str
    status: int | None = None
    code: str | None = None
    type: str | None = None
    param: str | None = None
    retry_after_s: float | None = None
    details: dict[str, Any] = field(default_factory=dict)
    cause: str = ""
    advice: str = ""

    @property
    def may_be_billed(self) -> bool:
        """Tell if a repeat may pay a second time."""
        return self.billing is not Billing.NOT_BILLED

    @property
    def is_shared(self) -> bool:
        """Tell if equal orders that wait for the call fail with it: nothing was spent, and they would meet the same."""
        return not self.may_be_billed and self.kind is not FailureKind.NOT_SENT

    @property
    def is_callers_own(self) -> bool:
        """Tell if every equal order would fail the same way."""
        return self.kind in (FailureKind.REFUSED, FailureKind.INVALID)


def loggable_code(code: str | None) -> str | None:
    """Return *code* if it has the form of a code, which no key has, or `other`."""
    return code if code is None or _CODE.fullmatch(code) else "other"
