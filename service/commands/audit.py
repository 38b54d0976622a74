"""`image-gateway audit`: list the actions of admins."""

import re
from dataclasses import replace
from typing import Annotated

import typer

from service.commands.console import make_command
from service.commands.people import People, read_people
from service.commands.state import with_state
from service.commands.table import AsJson, Cell, Column, instant, show_table
from service.gateway.accounts.administration import Administration
from service.gateway.accounts.usage import Usage
from service.ports.audit import AuditEntry

app = make_command()

_INSTANT = re.compile(r"(?<=_at=)[0-9]+")


@app.command()
def audit(
    limit: Annotated[int, typer.Option(help="Number of actions to list.", min=1, max=10_000)] = 100,
    as_json: AsJson = False,
) -> None:
    """List the actions of admins, newest first.

    Includes those made over HTTP. `who` is the id of the admin's key, `bootstrap` for GATEWAY_ADMIN_KEY, or
    `command line`. On a terminal, names of users who have keys stand behind their hashes and key ids.

    Example: `image-gateway audit --limit 20`
    """

    async def read(administration: Administration, _: Usage) -> tuple[list[AuditEntry], People]:
        return await administration.audit(limit), await read_people(administration)

    entries, people = with_state(read)
    show_table(
        ("at", "who", Column("", "name"), "act", "target", "details"),
        [
            (
                instant(entry.at_s),
                people.beside(entry.who),
                people.name_of(entry.who),
                entry.act,
                people.beside(entry.target),
                _with_times(people.beside(entry.details)),
            )
            for entry in entries
        ],
        as_json=as_json,
    )


def _with_times(details: Cell) -> Cell:
    """Return *details* with the instants in them in words on a terminal."""
    return replace(
        details, shown=_INSTANT.sub(lambda found: str(instant(int(found[0])).shown), str(details.shown))
    )
