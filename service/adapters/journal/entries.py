"""Write, read and remove the settlements in the file of a journal."""

import logging
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from service.adapters.journal.database import transaction
from service.adapters.journal.record import decode_settlement, encode_settlement
from service.ports.admission import Settlement

_log = logging.getLogger(__name__)

Key = tuple[str, str]
"""An order and the number of one of its settlements."""

_PENDING = (
    "SELECT number, content FROM settlements AS mine"
    " WHERE (due_s IS NULL OR (due_s <= ? AND NOT is_alive(owner)))"
    # The last settlement of an order concludes its key, so the others go first.
    " AND NOT (is_last AND EXISTS (SELECT 1 FROM settlements AS other"
    " WHERE other.order_id = mine.order_id AND NOT other.is_last))"
    " ORDER BY number LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class Entry:
    """One settlement to write; *is_ahead* before its call has ended, in case its process dies."""

    settlement: Settlement
    is_ahead: bool = False

    @property
    def keys(self) -> Sequence[Key]:
        return (key_of(self.settlement),)

    @property
    def is_paid(self) -> bool:
        """Tell if it tells of money that was or may have been spent."""
        return bool(self.settlement.made or self.settlement.unknown)

    def write(self, connection: sqlite3.Connection, *, owner: str, due_s: float) -> None:
        """Write it behind all others, in place of an earlier one with its key; written ahead it is pending at *due_s*."""
        (key,) = self.keys
        _remove(connection, key)
        content = encode_settlement(self.settlement)
        number = connection.execute(
            "INSERT INTO settlements (order_id, part, is_last, owner, due_s, content) VALUES (?, ?, ?, ?, ?, ?)",
            (*key, self.settlement.is_last, owner, due_s if self.is_ahead else None, content),
        ).lastrowid
        team = self.settlement.ticket.caller.team
        connection.executemany(
            "INSERT OR IGNORE INTO images (team, name, number) VALUES (?, ?, ?)",
            [(team, image.name, number) for _, image in self.settlement.made],
        )


@dataclass(frozen=True, slots=True)
class Removal:
    """Settlements to remove."""

    settlements: Sequence[Settlement]

    @property
    def keys(self) -> Sequence[Key]:
        return [key_of(settlement) for settlement in self.settlements]

    def write(self, connection: sqlite3.Connection, *, owner: str, due_s: float) -> None:
        """Remove them; a missing one is no error."""
        for key in self.keys:
            _remove(connection, key)


def key_of(settlement: Settlement) -> Key:
    """Return the key of a settlement: one written ahead and the one that replaces it have the same."""
    return settlement.ticket.id, settlement.part


def read_pending(
    connection: sqlite3.Connection, most: int, *, now_s: float, is_alive: Callable[[str], bool]
) -> list[Settlement]:
    """Return the oldest *most* pending settlements; those that an owner that *is_alive* wrote ahead are not pending."""
    found: list[Settlement] = []
    connection.create_function("is_alive", 1, is_alive)
    for number, content in connection.execute(_PENDING, (now_s, most)).fetchall():
        try:
            found.append(decode_settlement(content))
        except ValidationError:
            _log.exception("settlement unreadable", extra={"number": number})
            _set_aside(connection, number)
    return found


def renew_ahead(connection: sqlite3.Connection, *, owner: str, due_s: float) -> None:
    """Put off what *owner* has written ahead: it lives."""
    connection.execute("UPDATE settlements SET due_s = ? WHERE owner = ? AND due_s NOT NULL", (due_s, owner))


def has_parts(connection: sqlite3.Connection, order_id: str) -> bool:
    """Tell if there is a settlement of the order that is not its last."""
    found = connection.execute(
        "SELECT 1 FROM settlements WHERE order_id = ? AND NOT is_last LIMIT 1", (order_id,)
    )
    return found.fetchone() is not None


def count_settlements(connection: sqlite3.Connection) -> int:
    """Return the number of settlements that are to be sent."""
    (count,) = connection.execute("SELECT COUNT(*) FROM settlements WHERE due_s IS NULL").fetchone()
    return int(count)


def has_image(connection: sqlite3.Connection, team: str, name: str) -> bool:
    """Tell if a settlement to be sent has the image *name* among those made for *team*."""
    found = connection.execute("SELECT 1 FROM images WHERE team = ? AND name = ? LIMIT 1", (team, name))
    return found.fetchone() is not None


def _remove(connection: sqlite3.Connection, key: Key) -> None:
    for (number,) in connection.execute(
        "DELETE FROM settlements WHERE order_id = ? AND part = ? RETURNING number", key
    ).fetchall():
        connection.execute("DELETE FROM images WHERE number = ?", (number,))


def _set_aside(connection: sqlite3.Connection, number: int) -> None:
    """Keep an unreadable settlement for an operator to inspect."""
    with transaction(connection):
        connection.execute(
            "INSERT INTO unreadable SELECT content FROM settlements WHERE number = ?", (number,)
        )
        connection.execute("DELETE FROM settlements WHERE number = ?", (number,))
