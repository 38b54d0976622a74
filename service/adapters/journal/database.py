"""Open the file of a journal: an SQLite database that goes on taking writes on a full disk.

The database and its rollback journal are grown to a reserve when they are opened and never shrink: a change
overwrites what the disk has given already. Only `journal_mode=PERSIST` keeps the rollback journal: a write-ahead
log needs room for every change, and a full disk does not let it be opened again (docs/adr/0010). Each commit
reaches the disk before it counts. Several processes may have one file open.
Failure behaviour: closed, with `sqlite3.Error` or `OSError`. A damaged file is set aside, and a new one begun.
"""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

RESERVE_BYTES = 4 * 1024 * 1024
"""Holds about 2,000 settlements on a full disk."""
_STEP_BYTES = 1024 * 1024
"""Reserve of the rollback journal: more than one transaction changes."""
_BUSY_S = 2.0
_PRIVATE = 0o600
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_SCHEMA = (
    (
        "CREATE TABLE IF NOT EXISTS settlements (number INTEGER PRIMARY KEY, order_id TEXT NOT NULL,"
        " part TEXT NOT NULL, is_last INTEGER NOT NULL, owner TEXT NOT NULL, due_s REAL, content BLOB NOT NULL,"
        " UNIQUE (order_id, part))"
    ),
    (
        "CREATE TABLE IF NOT EXISTS images (team TEXT NOT NULL, name TEXT NOT NULL, number INTEGER NOT NULL,"
        " PRIMARY KEY (team, name, number)) WITHOUT ROWID"
    ),
    "CREATE INDEX IF NOT EXISTS images_of ON images (number)",
    "CREATE TABLE IF NOT EXISTS unreadable (content BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS reserve (number INTEGER PRIMARY KEY, content BLOB NOT NULL)",
    "CREATE TABLE IF NOT EXISTS probe (number INTEGER PRIMARY KEY, at_s REAL NOT NULL)",
)
_log = logging.getLogger(__name__)


def open_database(path: Path) -> sqlite3.Connection:
    """Return a connection to the file at *path*, which is created if it is missing."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return _connect(path)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
    set_aside(path)
    return _connect(path)


def is_damage(error: Exception) -> bool:
    """Tell if the file is no database any more."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGED


def set_aside(path: Path) -> None:
    """Keep a damaged file for an operator to inspect."""
    _log.error("journal unreadable", extra={"file": path.name})
    path.replace(path.with_suffix(".unreadable"))
    # It belongs to the damaged file, and would be applied to the new one.
    path.with_name(f"{path.name}-journal").unlink(missing_ok=True)


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Commit the changes of the block, or none of them."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # SQLite itself rolls back some failures.
        with suppress(sqlite3.OperationalError):
            connection.execute("ROLLBACK")
        raise


def _connect(path: Path) -> sqlite3.Connection:
    with closing(os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, _PRIVATE), "rb")):
        # SQLite gives its own file the mode of the umask.
        pass
    connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        for pragma in ("journal_mode=PERSIST", "synchronous=FULL", "temp_store=MEMORY"):
            connection.execute(f"PRAGMA {pragma}")
        for table in _SCHEMA:
            connection.execute(table)
        with suppress(sqlite3.OperationalError):
            # Without room it goes on with the reserve that it has.
            _grow(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _grow(connection: sqlite3.Connection, path: Path) -> None:
    """Grow both files to their reserve: what is deleted stays theirs."""
    rollback = path.with_name(f"{path.name}-journal")
    is_short = not rollback.exists() or rollback.stat().st_size < _STEP_BYTES
    # Deleted content is overwritten, so each deletion writes its old pages to the rollback journal first.
    connection.execute("PRAGMA secure_delete=ON")
    try:
        while _reserve_bytes(connection) < RESERVE_BYTES or is_short:
            is_short = False
            with transaction(connection):
                connection.execute("INSERT INTO reserve (content) VALUES (zeroblob(?))", (_STEP_BYTES,))
    finally:
        # Those of a process that was killed here, too.
        for (number,) in connection.execute("SELECT number FROM reserve").fetchall():
            with transaction(connection):
                connection.execute("DELETE FROM reserve WHERE number = ?", (number,))
        connection.execute("PRAGMA secure_delete=OFF")


def _reserve_bytes(connection: sqlite3.Connection) -> int:
    """Return the bytes that new settlements may take, with those that are about to be deleted."""
    free_bytes = _read(connection, "PRAGMA freelist_count") * _read(connection, "PRAGMA page_size")
    return free_bytes + _read(connection, "SELECT COUNT(*) FROM reserve") * _STEP_BYTES


def _read(connection: sqlite3.Connection, query: str) -> int:
    (value,) = connection.execute(query).fetchone()
    return int(value)
