"""`image-gateway purge`: erase a person."""

from typing import Annotated

import typer

from service.commands.console import explain, fail, make_command
from service.commands.state import WHO, with_state

app = make_command()


@app.command()
def purge(
    user: Annotated[str, typer.Option(help="A name, as keys and tokens have it, or a hash of the ledger.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Erase a person: keys, limits, the pictures they had made, and the name on every sum.

    Sums stay, under the user 'erased', and the audit keeps the keyed hash of whom it was about. It cannot be
    undone. Exit code 1 if nothing is known of them.

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
