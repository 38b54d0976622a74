"""Limit images per minute, and count requests: a sliding window for every key.

Owns the counting and the `x-ratelimit-*` headers. Does not choose the limit (`faults.behaviour`).
"""

import math
from collections import deque
from dataclasses import dataclass

from service.sandbox.wire.azure_refusals import call_rate_exceeded
from service.sandbox.wire.error_envelope import Cause, ErrorType, Refusal
from service.sandbox.wire.kinds import Kind
from service.sandbox.wire.retry_headers import to_duration, to_retry_headers

WINDOW_S = 60.0
UNLIMITED = 100_000  # in the headers if no limit is set


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """One bucket after a request; it will be empty again in *reset_s*."""

    limit: int
    used: int
    reset_s: float

    def to_headers(self, name: str, kind: Kind = Kind.OPENAI) -> dict[str, str]:
        """Return the headers; Azure's reset is a number of seconds."""
        reset = str(math.ceil(self.reset_s)) if kind is Kind.AZURE else to_duration(self.reset_s)
        return {
            f"x-ratelimit-limit-{name}": str(self.limit),
            f"x-ratelimit-remaining-{name}": str(max(0, self.limit - self.used)),
            f"x-ratelimit-reset-{name}": reset,
        }


class Window:
    """Counts units over the last minute; *now_s* must never decrease."""

    def __init__(self) -> None:
        self._taken: deque[tuple[float, int]] = deque()
        self._used = 0

    def take(self, units: int, now_s: float) -> None:
        self._forget(now_s)
        self._taken.append((now_s, units))
        self._used += units

    def wait_s(self, units: int, limit: int, now_s: float) -> float:
        """Return the seconds until *units* fit: 0 for now, a whole window if they never will."""
        self._forget(now_s)
        excess = self._used + units - limit
        if excess <= 0:
            return 0
        for taken_at_s, taken in self._taken:
            excess -= taken
            if excess <= 0:
                return taken_at_s + WINDOW_S - now_s
        return WINDOW_S

    def to_rate(self, limit: int | None, now_s: float) -> Rate:
        self._forget(now_s)
        reset_s = self._taken[-1][0] + WINDOW_S - now_s if self._taken else 0
        return Rate(limit=UNLIMITED if limit is None else limit, used=self._used, reset_s=reset_s)

    def _forget(self, now_s: float) -> None:
        while self._taken and self._taken[0][0] <= now_s - WINDOW_S:
            self._used -= self._taken.popleft()[1]


class Rates:
    """The windows of all keys, kept until `clear`."""

    def __init__(self) -> None:
        self._images: dict[str, Window] = {}
        self._requests: dict[str, Window] = {}

    def admit(
        self, key: str, images: int, limit: int | None, now_s: float, kind: Kind = Kind.OPENAI
    ) -> tuple[float, dict[str, str]]:
        """Return the seconds to wait (0 = admitted) and the headers; only admitted images count.

        Azure has no headers for images.
        """
        requests = self._requests.setdefault(key, Window())
        window = self._images.setdefault(key, Window())
        requests.take(1, now_s)
        wait_s = 0.0 if limit is None else window.wait_s(images, limit, now_s)
        if wait_s == 0:
            window.take(images, now_s)
        headers = requests.to_rate(None, now_s).to_headers("requests", kind)
        if kind is Kind.AZURE:
            return wait_s, headers
        return wait_s, headers | window.to_rate(limit, now_s).to_headers("images")

    def clear(self, key: str | None = None) -> None:
        """Forget what a key took, or what all did."""
        for windows in (self._images, self._requests):
            if key is None:
                windows.clear()
            else:
                windows.pop(key, None)


def limit_reached(model: str, limit: int, wait_s: float, kind: Kind) -> Refusal:
    """Return the 429 of a full window, with the wait in its headers."""
    # The captured texts concern DALL·E and input images; this is the second with another bucket name.
    message = (
        f"Rate limit reached for {model} in organization org-sandbox on images per min: Limit {limit}. "
        f"Please try again in {to_duration(wait_s)}."
    )
    refusal = (
        call_rate_exceeded(wait_s)
        if kind is Kind.AZURE
        else Refusal(429, message, kind=ErrorType.REQUESTS, code="rate_limit_exceeded")
    )
    refusal.headers = to_retry_headers(wait_s)
    refusal.cause, refusal.retry_after_s = Cause.RATE_LIMIT, wait_s
    return refusal
