"""Say which key of a backend gets no calls for a while, why, and for how long."""

from dataclasses import dataclass
from enum import StrEnum

from service.domain.backends import KeyName


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
    """The account lacks the model."""


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
