"""`image-gateway teams`: list, set, close and reopen teams."""

from typing import Annotated

import typer

from service.commands.console import explain, make_group
from service.commands.state import WHO, with_state
from service.commands.table import AsJson, Column, show_table
from service.gateway.accounts.administration import Administration
from service.gateway.accounts.usage import Usage

app = make_group("List teams, give them policies, close and reopen them.")

_Name = Annotated[str, typer.Argument(help="Name of the team.")]


@app.command("list")
def list_teams(as_json: AsJson = False) -> None:
    """List teams, including those known only from the ledger.

    Example: `image-gateway teams list`
    """

    async def read(administration: Administration, _: Usage) -> list[tuple[object, ...]]:
        names = await administration.reader.declared_names()
        return [
            (team.name, team.policy, team.user_policy, team.is_closed, names.has(team))
            for team in await administration.reader.teams()
        ]

    columns = (
        Column("team", "name"),
        "policy",
        Column("user policy", "user_policy"),
        "closed",
        Column("in the file", "declared"),
    )
    show_table(columns, with_state(read), as_json=as_json)


@app.command("set")
def set_team(
    name: _Name,
    policy: Annotated[str | None, typer.Option(help="Policy for the team as a whole; '' removes it.")] = None,
    user_policy: Annotated[
        str | None, typer.Option(help="Policy for each of its users; '' removes it.")
    ] = None,
) -> None:
    """Create a team, or change the given policies of one.

    Example: `image-gateway teams set shop --policy shop-budget --user-policy careful`
    """
    given = {"policy": policy, "user_policy": user_policy}
    fields = {field: value or None for field, value in given.items() if value is not None}
    team = with_state(lambda administration, _: administration.change_team(WHO, name, fields))
    explain(
        f"Team {team.name}: policy {team.policy or 'none'}, policy of each user {team.user_policy or 'the default'}."
    )


@app.command()
def close(name: _Name) -> None:
    """Close a team: its orders are refused from now on. Its images and usage stay.

    Example: `image-gateway teams close shop`
    """
    team = with_state(lambda administration, _: administration.close_team(WHO, name))
    explain(f"Team {team.name} is closed. Undo it: image-gateway teams reopen {team.name}")


@app.command()
def reopen(name: _Name) -> None:
    """Reopen a closed team: it may order again.

    Example: `image-gateway teams reopen shop`
    """
    team = with_state(lambda administration, _: administration.reopen_team(WHO, name))
    explain(f"Team {team.name} is open.")
