"""Write entries of the ledger as CSV that is safe to open, and as JSON.

Spreadsheets run text that begins with `=`, so such text gets a quotation mark in front
(OWASP, "CSV Injection", 2025).
"""

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any

from service.gateway.accounts.usage import COLUMNS
from service.ports.ledger import LedgerEntry

SUMS = ("images", "microusd", "unpriced")
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def columns_of(group: Sequence[str]) -> tuple[str, ...]:
    """Return the columns of a table that is grouped by *group*, all if it is empty."""
    kept = {*group, "realm", "outcome"} if group else set(COLUMNS)
    return (*(column for column in COLUMNS if column in kept), *SUMS)


def to_record(entry: LedgerEntry, columns: Sequence[str]) -> dict[str, Any]:
    return {column: getattr(entry, column) for column in columns}


def write_csv(entries: Iterable[LedgerEntry], columns: Sequence[str], *, with_head: bool = True) -> str:
    """Return *entries* as CSV lines (RFC 4180), safe for spreadsheets."""
    text = io.StringIO()
    writer = csv.writer(text)
    if with_head:
        writer.writerow(columns)
    for entry in entries:
        writer.writerow([_defuse(getattr(entry, column)) for column in columns])
    return text.getvalue()


def _defuse(value: str | int) -> str | int:
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value
