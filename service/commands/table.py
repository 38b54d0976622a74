"""Print tables: for people on a terminal, as tab-separated lines for programs, or as JSON.

A time is relative on a terminal ("3 days ago"), exact in lines (`2026-11-30 12:00:00Z`) and ISO 8601 in JSON.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import typer
from rich import box
from rich.console import Console
from rich.table import Table

AsJson = Annotated[
    bool, typer.Option("--json", help="Print a JSON array of objects instead of a table, with exact values.")
]
"""The option of every command that prints a table."""

_UNITS_S = ((86_400, "day"), (3600, "hour"), (60, "minute"))
_MOST_DAYS = 100
"""Days from which on a date says more than their number."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column: its *head* in the table, empty for JSON alone, and the *name* of its field in JSON."""

    head: str
    name: str


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell: its *text* in lines, its *value* in JSON, and its text on a terminal if that differs."""

    text: object
    value: Any
    shown: object = None


def instant(at_s: int | None, *, absent: str = "") -> Cell:
    """Return the cell of a time in seconds since 1970; *absent* is the text for none or 0."""
    if not at_s:
        return Cell(absent, None)
    at = datetime.fromtimestamp(at_s, UTC)
    now = datetime.now(UTC)
    return Cell(at.strftime("%Y-%m-%d %H:%M:%SZ"), at.strftime("%Y-%m-%dT%H:%M:%SZ"), _relative(at, now))


def record_of(columns: Sequence[str | Column], row: Sequence[object]) -> dict[str, Any]:
    """Return *row* as an object of JSON."""
    names = [column if isinstance(column, str) else column.name for column in columns]
    return dict(zip(names, map(_value, row), strict=True))


def print_json(document: object) -> None:
    typer.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2))


def show_table(
    columns: Sequence[str | Column], rows: Sequence[Sequence[object]], *, as_json: bool = False
) -> None:
    """Print a table on a terminal, tab-separated lines elsewhere, a JSON array if *as_json*.

    The first column is an argument of other commands, so it is never cut.
    """
    if as_json:
        print_json([record_of(columns, row) for row in rows])
        return
    heads = [column if isinstance(column, str) else column.head for column in columns]
    table = [[cell for head, cell in zip(heads, row, strict=True) if head] for row in rows]
    heads = [head for head in heads if head]
    if sys.stdout.isatty():
        _draw(heads, [[_shown(cell) for cell in row] for row in table])
        return
    for texts in (heads, *([_text(cell) for cell in row] for row in table)):
        typer.echo("\t".join(texts))


def _draw(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    first, *others = heads
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(first, no_wrap=True, min_width=max(len(row[0]) for row in [heads, *rows]))
    for head in others:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def _text(cell: object) -> str:
    if isinstance(cell, Cell):
        cell = cell.text
    if cell is None or cell is False:
        return ""
    return "yes" if cell is True else str(cell)


def _shown(cell: object) -> str:
    return str(cell.shown) if isinstance(cell, Cell) and cell.shown is not None else _text(cell)


def _value(cell: object) -> Any:
    return cell.value if isinstance(cell, Cell) else cell


def _relative(at: datetime, now: datetime) -> str:
    """Return the time from *now* to *at* in words; a date if it is far."""
    distance_s = abs((at - now).total_seconds())
    if distance_s >= _MOST_DAYS * 86_400:
        return at.strftime("%Y-%m-%d")
    for unit_s, unit in _UNITS_S:
        if distance_s >= unit_s:
            count = round(distance_s / unit_s)
            words = f"{count} {unit}" if count == 1 else f"{count} {unit}s"
            return f"in {words}" if at > now else f"{words} ago"
    return "now"
