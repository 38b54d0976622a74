"""Write how long a caller should wait: the headers and texts that servers use for it.

Owns their spellings. Does not decide how long.
"""

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Literal

RetryStyle = Literal["both", "seconds", "ms", "date", "reset", "reset_seconds", "text", "none"]


def to_retry_headers(retry_after_s: float, style: RetryStyle = "both") -> dict[str, str]:
    """Return the headers of one style.

    `both` is OpenAI's: whole seconds, at least 1, and exact milliseconds. `reset` has Go's durations and
    `reset_seconds` integers, as Azure does. `text` has no header, as the message says it, and `none` says nothing.
    """
    whole, exact = max(1, math.ceil(retry_after_s)), math.ceil(retry_after_s * 1000)
    spelled = {
        "seconds": {"retry-after": str(whole)},
        "ms": {"retry-after-ms": str(exact)},
        "date": {"retry-after": _to_date(whole)},
        "reset": _to_reset_headers(to_duration(retry_after_s)),
        "reset_seconds": _to_reset_headers(str(whole)),
    }
    return spelled["seconds"] | spelled["ms"] if style == "both" else spelled.get(style, {})


def to_duration(seconds: float) -> str:
    """Return a duration as Go prints it: `12ms`, `58.891s`, `6m0s`."""
    milliseconds = round(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms"
    minutes, rest = divmod(milliseconds, 60_000)
    shown = f"{rest / 1000:.3f}".rstrip("0").rstrip(".")
    return f"{minutes}m{shown}s" if minutes else f"{shown}s"


def _to_date(seconds: int) -> str:
    # A date has whole seconds: one more, so that it is never too early.
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds + 1), usegmt=True)


def _to_reset_headers(shown: str) -> dict[str, str]:
    return {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": shown}
