"""Keep the journal: every request to the API, its answer and its charge.

Owns the entries, in memory and optionally in a file of JSON lines. Tests count charges here: an image is billed as
soon as it is painted, even if the answer never reaches the caller. Stores no image bytes and no API keys.
"""

import asyncio
import itertools
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import orjson

from service.sandbox.wire.kinds import name_key

MOST_ENTRIES = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalImage:
    """One painted image; *sha256* is the hex digest of the file."""

    serial: int
    sha256: str
    order_hash: str
    has_credentials: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalInput:
    """One file that was sent; the members from *format* on are None if it is no image.

    Of a mask, *clear_share* is the share of its pixels that are more transparent than not, *white_share* that of those which
    are lighter than grey whatever their transparency: one is to be edited, by the server's `masks`.
    """

    field: str
    sha256: str
    size_bytes: int
    content_type: str | None
    format: str | None
    width: int | None
    height: int | None
    clear_share: float | None = None
    white_share: float | None = None


@dataclass(slots=True, kw_only=True)
class Entry:
    """One request, from its arrival (status None) until the last part of its answer is ready to send.

    A stream has its status from the start, *finished_at* from its end. *model* is the name in the body, or the deployment
    in the path. *refused_as* is the reason if the key was refused (`Cause`), *retry_at_monotonic_s* the instant before
    which the answer asked for no further call.
    """

    number: int
    method: str
    path: str
    query: dict[str, str]
    key_sha256: str | None
    started_at: str
    started_monotonic_s: float
    finished_at: str | None = None
    finished_monotonic_s: float | None = None
    status: int | None = None
    error_code: str | None = None
    refused_as: str | None = None
    retry_at_monotonic_s: float | None = None
    request_id: str | None = None
    model: str | None = None
    prompt: str | None = None
    safety_identifier: str | None = None
    parameters: dict[str, object] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    billed: bool = False
    images: list[JournalImage] = field(default_factory=list)
    inputs: list[JournalInput] = field(default_factory=list)

    def refuse(self, code: str | None, cause: str | None, retry_after_s: float | None) -> None:
        """Note a refusal or failure, and the wait that it asks for."""
        self.error_code, self.refused_as = code, cause
        if retry_after_s is not None:
            self.retry_at_monotonic_s = time.monotonic() + retry_after_s

    def describe(self, parameters: Mapping[str, object], deployment: str | None = None) -> None:
        """Note the members of a body, of any type, and the deployment in the path."""
        self.parameters = dict(parameters)
        self.model = deployment or _text(parameters.get("model"))
        self.prompt = _text(parameters.get("prompt"))
        self.safety_identifier = _text(parameters.get("safety_identifier"))


class Journal:
    """The latest `MOST_ENTRIES` entries, in order of arrival."""

    def __init__(self, file: Path | None = None) -> None:
        self._entries: deque[Entry] = deque(maxlen=MOST_ENTRIES)
        self._numbers = itertools.count(1)
        self._open = 0
        self._settled = asyncio.Event()
        self._settled.set()
        self._file = file.open("ab") if file else None

    def open(
        self, *, method: str, path: str, query: Mapping[str, str], key: str, headers: Mapping[str, str]
    ) -> Entry:
        """Start an entry; of *key* only the hash is kept, *headers* are those to keep."""
        entry = Entry(
            number=next(self._numbers),
            method=method,
            path=path,
            query=dict(query),
            key_sha256=name_key(key) if key else None,
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
        """Wait until no request is in flight; returns False if that takes longer than *longest_s*."""
        try:
            async with asyncio.timeout(longest_s):
                await self._settled.wait()
        except TimeoutError:
            return False
        return True

    def since(self, number: int) -> list[dict[str, object]]:
        """Return the entries after *number*; numbers never repeat, even after `clear`."""
        return [asdict(entry) for entry in self._entries if entry.number > number]

    def clear(self) -> None:
        """Drop the entries in memory; the file keeps its lines."""
        self._entries.clear()

    def close(self) -> None:
        if self._file:
            self._file.close()


def _now() -> str:
    return datetime.now(UTC).isoformat()


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
