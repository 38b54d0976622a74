"""Read from an answer how long to wait before the next call. Pure."""

import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

_MOST_S = 1e6
"""Eleven days: a longer wait is a mistake, such as an instant in place of a duration."""
_UNITS_S = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s)")
_DURATION = re.compile(rf"(?:{_PART.pattern})+")
_RESET = "x-ratelimit-reset-"
_SAID = re.compile(
    r"(?:retry after|try again in) (\d+(?:\.\d+)?) ?(ms|s|m|h)(?:econds?|inutes?|ours?)?\b", re.IGNORECASE
)


def read_retry_after_s(status: int, headers: Mapping[str, str], message: str = "") -> float | None:
    """Return the wait that an answer asks for; *headers* have lower-case names, *message* is its error's.

    It is `retry-after-ms`, else `retry-after`: seconds, a duration like `6m0s`, or a date, which counts from the answer's
    `date`. A 429 without either says it in its message, or has the reset of its emptiest bucket.
    """
    wait_ms = _read_number(headers.get("retry-after-ms", ""))
    if wait_ms is not None and _bounded_s(wait_ms / 1000) is not None:
        return wait_ms / 1000
    text = headers.get("retry-after", "")
    wait_s = read_duration_s(text)
    if wait_s is None:
        wait_s = _read_date(text, headers)
    if wait_s is None and status == 429:
        said = _SAID.search(message)
        wait_s = read_duration_s(said[1] + said[2].lower()) if said else _read_reset_s(headers)
    return wait_s


def read_duration_s(text: str) -> float | None:
    """Return the seconds of `7`, `0.5`, `120ms`, `6m0s` or `1h2m3.5s`, or None for any other text."""
    number = _read_number(text)
    if number is not None:
        return _bounded_s(number)
    if not _DURATION.fullmatch(text.strip()):
        return None
    return _bounded_s(sum(float(amount) * _UNITS_S[unit] for amount, unit in _PART.findall(text)))


def _read_date(text: str, headers: Mapping[str, str]) -> float | None:
    until_s, said_s = _read_instant_s(text), _read_instant_s(headers.get("date", ""))
    return None if until_s is None or said_s is None else _bounded_s(max(0.0, until_s - said_s))


def _read_instant_s(text: str) -> float | None:
    try:
        instant = parsedate_to_datetime(text)
    except ValueError:
        return None
    return (instant if instant.tzinfo else instant.replace(tzinfo=UTC)).timestamp()


def _read_reset_s(headers: Mapping[str, str]) -> float | None:
    """Return the reset of the bucket with the smallest share left: the others would let the next call pass.

    A bucket without a share counts as empty. Of several empty ones the last to fill decides.
    """
    buckets = [
        (_share_left(headers, name.removeprefix(_RESET)), -wait_s)
        for name, text in headers.items()
        if name.startswith(_RESET) and (wait_s := read_duration_s(text)) is not None
    ]
    return -min(buckets)[1] if buckets else None


def _share_left(headers: Mapping[str, str], bucket: str) -> float:
    left = _read_number(headers.get(f"x-ratelimit-remaining-{bucket}", ""))
    limit = _read_number(headers.get(f"x-ratelimit-limit-{bucket}", ""))
    # Azure says -1 of a bucket without a limit.
    if limit is not None and limit < 0:
        return 1.0
    return left / limit if left is not None and left > 0 and limit else 0.0


def _read_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _bounded_s(value_s: float) -> float | None:
    return value_s if 0 <= value_s < _MOST_S else None
