"""Look into the journal of a gateway from outside."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


def count_unsettled(data_dir: Path, *, ahead: bool = False) -> int:
    """Return the number of settlements that wait for Redis or, with *ahead*, for the end of their call."""
    path = _file_of(data_dir)
    if not path.exists():
        return 0
    # Only its own process may open the file with its rollback journal.
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
        query = "SELECT COUNT(*) FROM settlements WHERE (due_s NOT NULL) = ?"
        (count,) = connection.execute(query, (ahead,)).fetchone()
        return int(count)


@contextmanager
def held_by_another(data_dir: Path) -> Iterator[None]:
    """Hold the file of the journal, so that it takes no change of a gateway."""
    with closing(sqlite3.connect(_file_of(data_dir), isolation_level=None)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


def _file_of(data_dir: Path) -> Path:
    return data_dir / "journal" / "settlements.sqlite3"
