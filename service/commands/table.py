"""Print tables for people, or tab-separated lines for programs."""

import sys
from collections.abc import Sequence

import typer
from rich import box
from rich.console import Console
from rich.table import Table


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table on a terminal, tab-separated lines elsewhere.

    The first column is an argument of other commands, so it is never cut.
    """
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            typer.echo("\t".join(_text(cell) for cell in row))
        return
    first, *others = columns
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column(first, no_wrap=True, min_width=max(len(_text(row[0])) for row in [columns, *rows]))
    for column in others:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(_text(cell) for cell in row))
    Console().print(table)


def _text(cell: object) -> str:
    if cell is None or cell is False:
        return ""
    return "yes" if cell is True else str(cell)
