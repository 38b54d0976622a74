"""Tables: for a person, or for a program that reads the output."""

import sys
from collections.abc import Sequence

import typer
from rich.console import Console
from rich.table import Table


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table for a person, or tab-separated lines for a program."""
    if not sys.stdout.isatty():
        for row in (columns, *rows):
            typer.echo("\t".join(_text(cell) for cell in row))
        return
    table = Table(*columns)
    for row in rows:
        table.add_row(*(_text(cell) for cell in row))
    Console().print(table)


def _text(cell: object) -> str:
    if cell is None or cell is False:
        return ""
    return "yes" if cell is True else str(cell)
