"""Create commands, and print their results and failures.

Results go to standard output, explanations and errors to standard error. A failure is
one line with a remedy, and exit code 1.
"""

from datetime import UTC, date, datetime
from typing import NoReturn

import typer


def make_group(text: str) -> typer.Typer:
    return typer.Typer(help=text, no_args_is_help=True, add_completion=False, rich_markup_mode="markdown")


def make_command() -> typer.Typer:
    """Return an application for a single command."""
    return typer.Typer(add_completion=False, rich_markup_mode="markdown")


def explain(text: str) -> None:
    """Print an explanation to standard error."""
    typer.echo(text, err=True)


def fail(message: str) -> NoReturn:
    for line in message.splitlines():
        typer.echo(f"error: {line}", err=True)
    raise typer.Exit(1)


def read_day(text: str | None) -> date | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        fail(f"'{text}' is not a date. Write one such as 2026-11-30.")


def show_instant(at_s: int) -> str:
    """Format an instant; an empty text for 0."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at_s else ""
