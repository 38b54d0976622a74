"""`image-gateway audit`: show the acts of admins."""

from typing import Annotated

import typer

from service.commands.console import make_command, show_instant
from service.commands.state import with_state
from service.commands.table import show_table

app = make_command()


@app.command()
def audit(
    limit: Annotated[int, typer.Option(help="How many acts.", min=1, max=10_000)] = 100,
) -> None:
    """Show what admins did, newest first; over HTTP too.

    Example: `image-gateway audit --limit 20`
    """
    entries = with_state(lambda administration, _: administration.audit(limit))
    show_table(
        ("at", "who", "act", "target", "details"),
        [(show_instant(entry.at_s), entry.who, entry.act, entry.target, entry.details) for entry in entries],
    )
