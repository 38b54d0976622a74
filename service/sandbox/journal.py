"""The journal: what was asked of the sandbox, what it answered, and what it would have charged for.

Owns the entries, in memory and optionally in a file of JSON lines. It is the oracle for "paid once": an image is
billed as soon as it is painted, whether or not the answer ever reached the caller. Holds no image bytes and
no API keys.
"""

import asyncio
import hashlib
import itertools
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import orjson

MOST_ENTRIES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalImage:
    """One picture that was painted; *sha256* is of the file's bytes, in hex."""

    serial: int
    sha256: str
    order_hash: str
    has_credentials: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalInput:
    """One picture that was sent; *format* is what its bytes are, None with its edges if they are no picture."""

    field: str
    sha256: str
    size_bytes: int
    content_type: str | None
    format: str | None
    width: int | None
    height: int | None


@dataclass(slots=True, kw_only=True)
class Entry:
    """One request, from its arrival (status None) until its answer is handed to the wire.

    A stream's status is known when it starts, *finished_at* only when it has ended.
    """

    number: int
    method: str
    path: str
    key_sha256: str | None
    started_at: str
    started_monotonic_s: float
    finished_at: str | None = None
    finished_monotonic_s: float | None = None
    status: int | None = None
    error_code: str | None = None
    request_id: str | None = None
    model: str | None = None
    prompt: str | None = None
    safety_identifier: str | None = None
    parameters: dict[str, object] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    billed: bool = False
    images: list[JournalImage] = field(default_factory=list)
    inputs: list[JournalInput] = field(default_factory=list)

    def describe(self, parameters: Mapping[str, object]) -> None:
        """Note the members of a body, of whatever type they are."""
        self.parameters = dict(parameters)
        self.model = _text(parameters.get("model"))
        self.prompt = _text(parameters.get("prompt"))
        self.safety_identifier = _text(parameters.get("safety_identifier"))


class Journal:
    """Entries in order of arrival; the oldest are forgotten beyond `MOST_ENTRIES`."""

    def __init__(self, file: Path | None = None) -> None:
        self._entries: deque[Entry] = deque(maxlen=MOST_ENTRIES)
        self._numbers = itertools.count(1)
        self._open = 0
        self._settled = asyncio.Event()
        self._settled.set()
        self._file = file.open("ab") if file else None

    def open(self, *, method: str, path: str, key: str, headers: Mapping[str, str]) -> Entry:
        """Start an entry; *key* is the whole authorization value, *headers* those worth keeping."""
        entry = Entry(
            number=next(self._numbers),
            method=method,
            path=path,
            key_sha256=hashlib.sha256(key.encode()).hexdigest()[:16] if key else None,
            started_at=_now(),
            started_monotonic_s=time.monotonic(),
            headers=dict(headers),
        )
        self._entries.append(entry)
        self._open += 1
        self._settled.clear()
        return entry

    def finish(self, entry: Entry) -> None:
        entry.finished_at, entry.finished_monotonic_s = _now(), time.monotonic()
        if self._file:
            self._file.write(orjson.dumps(asdict(entry), option=orjson.OPT_APPEND_NEWLINE, default=str))
            self._file.flush()
        self._open -= 1
        if self._open == 0:
            self._settled.set()

    async def settle(self, longest_s: float) -> bool:
        """Wait until no request is in flight; returns False if that took longer than *longest_s*."""
        try:
            async with asyncio.timeout(longest_s):
                await self._settled.wait()
        except TimeoutError:
            return False
        return True

    def since(self, number: int) -> list[dict[str, object]]:
        """Return the entries after *number*; numbers never repeat, not even after `clear`."""
        return [asdict(entry) for entry in self._entries if entry.number > number]

    def clear(self) -> None:
        """Forget the entries in memory; the file keeps its lines."""
        self._entries.clear()

    def close(self) -> None:
        if self._file:
            self._file.close()


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
