"""`image-gateway usage`: show or export spending."""

import sys
from collections.abc import AsyncIterator
from datetime import date
from enum import StrEnum
from typing import Annotated

import orjson
import typer

from service.commands.console import make_group, read_day
from service.commands.people import People, read_people
from service.commands.state import with_state
from service.commands.table import AsJson, Cell, Column, show_table
from service.gateway.accounts.administration import Administration
from service.gateway.accounts.usage import MOST_DAYS, Usage, sum_up
from service.http.tables import columns_of, to_record, write_csv
from service.ports.ledger import LedgerEntry

app = make_group("Show or export spending by day, team, user, model, backend and outcome.")


class Format(StrEnum):
    CSV = "csv"
    JSON = "json"


class Group(StrEnum):
    DAY = "day"
    TEAM = "team"
    USER = "user"
    MODEL = "model"
    BACKEND = "backend"


_From = Annotated[
    str | None, typer.Option("--from", help="First day (UTC); by default the first of this month.")
]
_To = Annotated[str | None, typer.Option("--to", help="Last day (UTC); by default today.")]
_Team = Annotated[str | None, typer.Option(help="Only this team.")]
_User = Annotated[
    str | None, typer.Option(help="Only this user: a name, or the hash that `usage export` prints.")
]


@app.command()
def export(
    format_: Annotated[
        Format, typer.Option("--format", help="csv, or json with one object per line.")
    ] = Format.CSV,
    first: _From = None,
    last: _To = None,
    team: _Team = None,
    user: _User = None,
    as_json: Annotated[bool, typer.Option("--json", help="The same as --format json.")] = False,
) -> None:
    """Export the ledger to standard output: a row per day, team, user, model, backend and outcome.

    Users are keyed hashes. `microusd` is in millionths of a US dollar, and excludes the `unpriced` images, whose
    price is unknown.

    Example: `image-gateway usage export --format csv --from 2026-11-01 --to 2026-11-30 > november.csv`
    """
    columns, span = columns_of([]), (read_day(first), read_day(last))
    if as_json:
        format_ = Format.JSON

    async def write(administration: Administration, usage: Usage) -> None:
        entries = _entries(administration, usage, span, team, user)
        if format_ is Format.CSV:
            sys.stdout.write(write_csv([], columns))
        async for entry in entries:
            if format_ is Format.CSV:
                sys.stdout.write(write_csv([entry], columns, with_head=False))
            else:
                sys.stdout.write(orjson.dumps(to_record(entry, columns)).decode() + "\n")
        # Flush where a reader that has left is handled.
        sys.stdout.flush()

    with_state(write)


@app.command()
def show(
    by: Annotated[Group, typer.Option(help="Column to group by.")] = Group.TEAM,
    first: _From = None,
    last: _To = None,
    team: _Team = None,
    user: _User = None,
    as_json: AsJson = False,
) -> None:
    """Show spending as a table. Test images and orders of unknown outcome have rows of their own.

    On a terminal, the names of users who have keys stand behind their hashes.

    Example: `image-gateway usage show --by model --from 2026-11-01 --team shop`
    """
    columns, span = columns_of([by]), (read_day(first), read_day(last))

    async def read(administration: Administration, usage: Usage) -> tuple[list[LedgerEntry], People]:
        rows = await sum_up(_entries(administration, usage, span, team, user), columns)
        return rows, await read_people(administration) if by is Group.USER else People({})

    entries, people = with_state(read)
    rows = [[_cell(entry, column, people) for column in columns] for entry in entries]
    heads: list[str | Column] = [
        Column("USD", column) if column == "microusd" else column for column in columns
    ]
    if by is Group.USER:
        heads.append(Column("", "name"))
        rows = [[*row, people.name_of(entry.user)] for row, entry in zip(rows, entries, strict=True)]
    show_table(heads, rows, as_json=as_json)


def _entries(
    administration: Administration,
    usage: Usage,
    span: tuple[date | None, date | None],
    team: str | None,
    user: str | None,
) -> AsyncIterator[LedgerEntry]:
    """Return the entries that the options select; raises for wrong options before the first."""
    person = None if user is None else administration.callers.hash_of(user)
    return usage.entries(usage.days(*span, most=MOST_DAYS), team=team, user=person)


def _cell(entry: LedgerEntry, column: str, people: People) -> object:
    match column:
        case "microusd":
            return Cell(f"{entry.microusd / 1e6:.6f}", entry.microusd)
        case "user":
            return people.beside(entry.user)
        case _:
            return getattr(entry, column)
