"""`image-gateway purge`: erase a person."""

from typing import Annotated

import typer

from service.commands.console import explain, fail, make_command
from service.commands.state import WHO, with_state

app = make_command()


@app.command()
def purge(
    user: Annotated[
        str,
        typer.Option(help="Name of the user, as in keys and tokens, or the hash that `usage export` prints."),
    ],
    yes: Annotated[bool, typer.Option("--yes", help="Erase without asking for confirmation.")] = False,
) -> None:
    """Erase a person: revoke their keys, delete their limits and images, and anonymize their usage.

    Their spending stays in the ledger under the user `erased`, and their keyed hash in the audit. This cannot be
    undone. The exit code is 1 if the gateway has no data about the person.

    Example: `image-gateway purge --user anna`
    """
    if not yes:
        typer.confirm(
            f"Erase '{user}' and revoke their keys in every team? This cannot be undone", abort=True, err=True
        )
    erased = with_state(lambda administration, _: administration.erasure.erase(WHO, user))
    if not erased.found_anything:
        fail(f"nothing is known of '{user}' (hash {erased.user}): no key, no limit and no sum has changed.")
    explain(f"Erased {erased.user}: {erased.keys} keys revoked, {erased.entries} entries changed.")
