"""Failed calls as values: their meaning for the caller and for a retry, and their billing.

Does not own the knowledge of how a provider fails (`service.adapters.openai.failures`).
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
    """The gateway's key, account, billing or model name at the provider is wrong."""
    BLOCKED = "blocked"
    """The provider has blocked the gateway's account, perhaps for earlier orders of other callers."""
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    """A 5xx with a complete error envelope."""
    UNREACHABLE = "unreachable"
    """No connection was made: nothing was sent."""
    TIMED_OUT = "timed_out"
    """Sent, and no answer before the deadline."""
    BROKEN = "broken"
    """Sent, and the answer was reset, cut off or cannot be understood."""
    NOT_SENT = "not_sent"
    """Given up while waiting for a slot or for the pace of the backend."""
    NOT_KEPT = "not_kept"
    """Made and paid for, but it could not be finished or stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFailure:
    """One failed call, as a value: its siblings are being paid for.

    *message* is safe to show: it holds no prompt, key or raw provider body.
    *details* are fields of the provider's error object beyond the four known
    ones, passed on as they came. *retry_after_s* is the provider's own advice.
    *cause* and *advice* are for operators: the words of the provider or the network,
    without keys and prompts, and a possible remedy.
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
    def is_callers_own(self) -> bool:
        """Tell if every equal order would fail the same way."""
        return self.kind in (FailureKind.REFUSED, FailureKind.INVALID)


def loggable_code(code: str | None) -> str | None:
    """Return *code* if it has the form of one, which no key has: a provider may send anything."""
    return code if code is None or _CODE.fullmatch(code) else "other"
