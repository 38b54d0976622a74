"""Keep settlements that Redis could not take in one file of this machine, until it can.

One thread of its own does all the work, in the order in which it was asked for, and commits together what
waits together. Several processes may replay one file: a settlement sent twice changes nothing. A settlement
written ahead becomes pending once its process has been silent for a lease, and holds no lock that shows it alive:
a clock that jumps must not make the calls of others unknown.
Failure behaviour: a change that cannot be written is logged and reported to its caller; what it tells of paid
images stays in memory until the file takes it. An unreadable settlement is set aside.
"""

import asyncio
import os
import sqlite3
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from service.adapters.journal.condition import JournalCondition, note_lost
from service.adapters.journal.database import is_damage, open_database, set_aside, transaction
from service.adapters.journal.entries import (
    Entry,
    Key,
    Removal,
    count_settlements,
    has_image,
    has_parts,
    read_pending,
    renew_ahead,
)
from service.adapters.journal.takeover import take_over
from service.ports.admission import Settlement
from service.ports.clock import Clock

_MOST_AT_ONCE = 32
"""Most changes of one transaction: their old pages fit into the reserve of the rollback journal."""
_MOST_UNWRITTEN = 10_000
_CHECK_S = 5.0
_CHECKS_WHILE_USABLE = 12
"""Checks without a write to a journal that works: one small write a minute."""
_FAILURES = (sqlite3.Error, OSError)
_PASSING = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY)
"""Failures after which the connection is still good."""

Change = Entry | Removal
Answer = TypeVar("Answer")


class SqliteJournal:
    """Implements `ports.admission.Journal` and `UnsettledImages` in *directory*.

    *old* is the directory of an earlier version, whose files are taken over. *process* is the name of this process.
    Another counts as dead after *lease_s* of silence, unless *is_alive* (called in a thread) tells that it lives.
    """

    def __init__(
        self,
        directory: Path,
        *,
        old: Path,
        clock: Clock,
        lease_s: float,
        process: str,
        is_alive: Callable[[str], bool],
    ) -> None:
        self.condition = JournalCondition()
        self._path = directory / "settlements.sqlite3"
        self._old = old
        self._clock = clock
        self._lease_s = lease_s
        self._process = process
        self._is_alive = is_alive
        self._thread = ThreadPoolExecutor(1, "journal")
        self._queued: deque[tuple[Change, asyncio.Future[bool]]] = deque()
        # The rest belongs to the thread.
        self._connection: sqlite3.Connection | None = None
        self._unwritten: dict[Key, Entry] = {}
        self._ahead: set[Key] = set()
        self._renew_at_s = self._check_at_s = 0.0
        self._checks = 0

    async def open(self) -> None:
        """Open the file, and take over the files of an earlier version; what fails is tried again later."""
        await self._run(self._check)

    async def close(self) -> None:
        """Write all that is queued, and close the file."""
        await self._run(self._close)
        self._thread.shutdown()

    def add(self, settlement: Settlement, *, is_ahead: bool = False) -> Awaitable[bool]:
        return self._change(Entry(settlement, is_ahead=is_ahead))

    async def pending(self, most: int = 100) -> list[Settlement]:
        return await self._run(lambda: self._pending(most))

    def remove(self, settlements: Sequence[Settlement]) -> Awaitable[bool]:
        return self._change(Removal(settlements))

    async def has_image(self, team: str, name: str) -> bool:
        return await self._run(lambda: self._has_image(team, name))

    def _change(self, change: Change) -> Awaitable[bool]:
        done = asyncio.get_running_loop().create_future()
        self._queued.append((change, done))
        self._thread.submit(self._write_queued)
        return done

    async def _run(self, work: Callable[[], Answer]) -> Answer:
        """Do *work* in the thread, after all earlier changes."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _write_queued(self) -> None:
        queued: list[tuple[Change, asyncio.Future[bool]]] = []
        while self._queued and len(queued) < _MOST_AT_ONCE:
            queued.append(self._queued.popleft())
        written = [False] * len(queued)
        try:
            written = self._write([change for change, _ in queued])
        finally:
            for (_, done), is_written in zip(queued, written, strict=True):
                done.get_loop().call_soon_threadsafe(_resolve, done, is_written)

    def _write(self, changes: Sequence[Change]) -> list[bool]:
        """Write *changes* together or, if there is no room for all or one cannot be encoded, those that can be."""
        if not changes:
            return []
        due_s = self._clock.wall_s() + self._lease_s
        try:
            connection = self._opened()
            with transaction(connection):
                for change in changes:
                    change.write(connection, owner=self._process, due_s=due_s)
        except Exception as error:  # noqa: BLE001 - whatever it is, settlements of paid images must be kept
            if len(changes) > 1 and _concerns_some(error):
                return [is_written for change in changes for is_written in self._write([change])]
            self._fail(error)
            for change in changes:
                self._keep(change)
            return [False] * len(changes)
        self.condition.note_success()
        for change in changes:
            self._forget(change)
            if isinstance(change, Entry) and change.is_ahead:
                self._ahead.update(change.keys)
        return [True] * len(changes)

    def _keep(self, change: Change) -> None:
        """Keep in memory what the file does not take; a call whose settlement cannot be written ahead is not made."""
        self._forget(change)
        if isinstance(change, Removal) or change.is_ahead:
            return
        if change.is_paid or len(self._unwritten) < _MOST_UNWRITTEN:
            self._unwritten.update(dict.fromkeys(change.keys, change))
        else:
            note_lost(change.settlement.ticket.id)

    def _forget(self, change: Change) -> None:
        for key in change.keys:
            self._unwritten.pop(key, None)
            self._ahead.discard(key)

    def _pending(self, most: int) -> list[Settlement]:
        self._check()
        unwritten = [entry.settlement for entry in self._unwritten.values()]
        try:
            connection, now_s = self._opened(), self._clock.wall_s()
            found = read_pending(connection, most, now_s=now_s, is_alive=self._is_alive)
            waiting = count_settlements(connection) + len(unwritten)
            self.condition.note_pending(waiting, self._clock.monotonic_s())
            parts = {each.ticket.id for each in unwritten if not each.is_last}
            parts |= {each.ticket.id for each in unwritten if has_parts(connection, each.ticket.id)}
        except _FAILURES as error:
            self._fail(error)
            return [each for each in unwritten if not each.is_last][:most]
        pending = [*found, *unwritten][:most]
        return [each for each in pending if not (each.is_last and each.ticket.id in parts)]

    def _has_image(self, team: str, name: str) -> bool:
        for entry in self._unwritten.values():
            settlement = entry.settlement
            if settlement.ticket.caller.team == team and name in {image.name for _, image in settlement.made}:
                return True
        try:
            return has_image(self._opened(), team, name)
        except _FAILURES as error:
            self._fail(error)
            return False

    def _check(self) -> None:
        """Show that this process lives, try the file from time to time, and write what waits in memory."""
        now_s = self._clock.monotonic_s()
        try:
            connection = self._opened()
            if self._ahead and now_s >= self._renew_at_s:
                self._renew_at_s = now_s + self._lease_s / 3
                renew_ahead(connection, owner=self._process, due_s=self._clock.wall_s() + self._lease_s)
            if now_s >= self._check_at_s:
                self._check_at_s = now_s + _CHECK_S
                self._probe(connection)
                take_over(self._old, connection)
        except _FAILURES as error:
            self._fail(error)
        unwritten = list(self._unwritten.values())
        for first in range(0, len(unwritten), _MOST_AT_ONCE):
            if not all(self._write(unwritten[first : first + _MOST_AT_ONCE])):
                break

    def _probe(self, connection: sqlite3.Connection) -> None:
        """Look at the room on the disk, and write: often only while writing fails."""
        state = os.statvfs(self._path)
        self.condition.note_room(state.f_bavail * state.f_frsize)
        self._checks += 1
        if self.condition.is_failing or self._checks % _CHECKS_WHILE_USABLE == 0:
            connection.execute("INSERT OR REPLACE INTO probe VALUES (1, ?)", (self._clock.wall_s(),))
            self.condition.note_success()

    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = open_database(self._path)
        return self._connection

    def _fail(self, error: Exception) -> None:
        self.condition.note_failure(error)
        if _code_of(error) not in _PASSING:
            self._close()
            if is_damage(error):
                with suppress(OSError):
                    set_aside(self._path)

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _resolve(done: asyncio.Future[bool], value: bool) -> None:
    # Its caller may have left.
    if not done.done():
        done.set_result(value)


def _concerns_some(error: Exception) -> bool:
    """Tell if a change alone may be written: the others took the room, or one of them has no encoding."""
    return not isinstance(error, _FAILURES) or _code_of(error) == sqlite3.SQLITE_FULL


def _code_of(error: Exception) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
