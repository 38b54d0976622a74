"""`image-gateway audit`: list the actions of admins."""

from typing import Annotated

import typer

from service.commands.console import make_command, show_instant
from service.commands.state import with_state
from service.commands.table import show_table

app = make_command()


@app.command()
def audit(
    limit: Annotated[int, typer.Option(help="Number of actions to list.", min=1, max=10_000)] = 100,
) -> None:
    """List the actions of admins, newest first.

    Includes those made over HTTP. `who` is the id of the admin's key, `bootstrap` for GATEWAY_ADMIN_KEY, or
    `command line`.

    Example: `image-gateway audit --limit 20`
    """
    entries = with_state(lambda administration, _: administration.audit(limit))
    show_table(
        ("at", "who", "act", "target", "details"),
        [(show_instant(entry.at_s), entry.who, entry.act, entry.target, entry.details) for entry in entries],
    )
