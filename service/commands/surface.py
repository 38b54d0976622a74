"""What all commands share: the settings, the state, and how they speak to a person or a program.

Answers go to standard output, explanations and errors to standard error. A failure is
one line that says what would be right, and exit code 1.
"""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, date, datetime
from typing import NoReturn, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from service.adapters.redis.advice import advise
from service.domain.errors import GatewayError, StateUnavailable
from service.gateway.administration import Administration
from service.gateway.usage import Usage
from service.serve.children import ChildFailed
from service.serve.state import open_state
from service.settings.environment import load_settings, nearest_variable, unknown_variables
from service.settings.problems import SettingsError
from service.settings.variables import Settings
from service.wiring.checks import check_settings
from service.wiring.commands import open_administration
from service.wiring.ground import Surroundings

WHO = "command line"
"""How the audit names who acts here."""

Answer = TypeVar("Answer")
Opened = TypeVar("Opened")
Open = Callable[[Settings, Surroundings], AbstractAsyncContextManager[Opened]]


def make_group(text: str) -> typer.Typer:
    """Return a group of commands with *text* as its help."""
    return typer.Typer(help=text, no_args_is_help=True, rich_markup_mode="markdown")


def read_settings() -> Settings:
    """Return the settings; what is wrong with them ends the command."""
    try:
        return load_settings(os.environ)  # noqa: TID251 - the one place that reads the environment
    except SettingsError as error:
        fail(str(error))


def warn_of_unknown_variables() -> None:
    """Name variables that are most likely misspelt."""
    for name in unknown_variables(os.environ):  # noqa: TID251 - the one place that reads the environment
        near = nearest_variable(name)
        advice = f". Did you mean {near}?" if near else ""
        explain(f"warning: {name} is not a setting of the gateway{advice}")


def with_state(work: Callable[[Administration, Usage], Awaitable[Answer]]) -> Answer:
    """Return what *work* returns, done on the state that the settings name; failures end the command."""
    return with_opened(open_administration, lambda opened: work(*opened))


def with_opened(open_: Open[Opened], work: Callable[[Opened], Awaitable[Answer]]) -> Answer:
    """Return what *work* returns, done on what *open_* opens over the state that the settings name.

    Failures end the command.
    """
    settings = read_settings()
    warn_of_unknown_variables()
    try:
        check_settings(settings)
        return asyncio.run(_work(settings, open_, work))
    except (SettingsError, ChildFailed, GatewayError) as error:
        fail(str(error))
    except BrokenPipeError:
        # Whoever read our output has enough, as `head` does; what is left in the buffer is for nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None


async def _work(
    settings: Settings, open_: Open[Opened], work: Callable[[Opened], Awaitable[Answer]]
) -> Answer:
    async with open_state(settings) as surroundings:
        try:
            async with open_(settings, surroundings) as opened:
                return await work(opened)
        except StateUnavailable as error:
            raise SettingsError(
                f"{advise(error.reason, surroundings.redis_url)} What was begun may be done."
            ) from error


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


def explain(text: str) -> None:
    """Tell a person something that is not the answer."""
    typer.echo(text, err=True)


def fail(message: str) -> NoReturn:
    """End the command with a message."""
    for line in message.splitlines():
        typer.echo(f"error: {line}", err=True)
    raise typer.Exit(1)


def read_day(text: str | None) -> date | None:
    """Return the day an option names."""
    if text is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        fail(f"'{text}' is not a day. Write it as 2026-11-30.")


def show_instant(at_s: int) -> str:
    """Return an instant for a person; none for 0."""
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%d %H:%M:%SZ") if at_s else ""


def _text(cell: object) -> str:
    if cell is None or cell is False:
        return ""
    return "yes" if cell is True else str(cell)
