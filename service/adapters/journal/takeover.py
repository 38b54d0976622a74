"""Take over the settlements that an earlier version kept as one small file each.

`<hash>.json` is to be sent, `<hash>.foretold` at its modification time; what was not written to its end
(`.half`) is worth nothing. A file goes once its settlement is in the database.
"""

import logging
import sqlite3
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from service.adapters.journal.database import transaction
from service.adapters.journal.entries import Entry
from service.adapters.journal.record import decode_settlement

_WHOLE, _FORETOLD, _HALF = ".json", ".foretold", ".half"
_NO_PROCESS = ""
_log = logging.getLogger(__name__)


def take_over(directory: Path, connection: sqlite3.Connection) -> None:
    """Move the settlements in the files of *directory*, oldest first; those without room stay for a later call."""
    times_s: dict[Path, float] = {}
    # Other processes may take over the same files.
    for path in directory.glob("*"):
        with suppress(FileNotFoundError):
            times_s[path] = path.stat().st_mtime
    try:
        for path in sorted(times_s, key=times_s.__getitem__):
            with suppress(FileNotFoundError):
                _take_over(path, times_s[path], connection)
    except (sqlite3.Error, OSError):
        _log.exception("old settlements not taken over", extra={"files": len(times_s)})
    with suppress(OSError):
        # One with unreadable files stays.
        directory.rmdir()


def _take_over(path: Path, time_s: float, connection: sqlite3.Connection) -> None:
    if path.suffix in (_WHOLE, _FORETOLD):
        try:
            entry = Entry(decode_settlement(path.read_bytes()), is_ahead=path.suffix == _FORETOLD)
        except ValidationError:
            _log.exception("settlement unreadable", extra={"file": path.name})
            path.rename(path.with_suffix(".unreadable"))
            return
        with transaction(connection):
            entry.write(connection, owner=_NO_PROCESS, due_s=time_s)
        path.unlink()
    elif path.suffix == _HALF:
        path.unlink()
