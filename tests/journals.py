"""Look into the journal of a gateway from outside."""

import sqlite3
from contextlib import closing
from pathlib import Path


def count_unsettled(data_dir: Path, *, ahead: bool = False) -> int:
    """Return the number of settlements that wait for Redis or, with *ahead*, for the end of their call."""
    path = data_dir / "journal" / "settlements.sqlite3"
    if not path.exists():
        return 0
    # Only its own process may open the file with its rollback journal.
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
        query = "SELECT COUNT(*) FROM settlements WHERE (due_s NOT NULL) = ?"
        (count,) = connection.execute(query, (ahead,)).fetchone()
        return int(count)
