"""`image-gateway teams`: list, set, close and reopen teams."""

from typing import Annotated

import typer

from service.commands.console import explain, make_group
from service.commands.state import WHO, with_state
from service.commands.table import show_table
from service.gateway.accounts.administration import Administration
from service.gateway.accounts.usage import Usage

app = make_group("Say which policy limits a team, and close teams that may spend nothing any more.")

_Name = Annotated[str, typer.Argument(help="The team.")]


@app.command("list")
def list_teams() -> None:
    """List teams, also those that are known by their spending alone.

    Example: `image-gateway teams list`
    """

    async def read(administration: Administration, _: Usage) -> list[tuple[object, ...]]:
        names = await administration.reader.declared_names()
        return [
            (team.name, team.policy, team.user_policy, team.is_closed, names.has(team))
            for team in await administration.reader.teams()
        ]

    show_table(("team", "policy", "user policy", "closed", "in the file"), with_state(read))


@app.command("set")
def set_team(
    name: _Name,
    policy: Annotated[str | None, typer.Option(help="Limits the team as a whole; '' takes it away.")] = None,
    user_policy: Annotated[
        str | None, typer.Option(help="Limits each of its users; '' takes it away.")
    ] = None,
) -> None:
    """Make a team, or change what is given.

    Example: `image-gateway teams set shop --policy shop-budget --user-policy careful`
    """
    given = {"policy": policy, "user_policy": user_policy}
    fields = {field: value or None for field, value in given.items() if value is not None}
    team = with_state(lambda administration, _: administration.change_team(WHO, name, fields))
    explain(
        f"Team {team.name}: policy {team.policy or 'none'}, of each user {team.user_policy or 'the default'}."
    )


@app.command()
def close(name: _Name) -> None:
    """Close a team: nobody in it can order anything from this moment on. What it made stays.

    Example: `image-gateway teams close shop`
    """
    team = with_state(lambda administration, _: administration.close_team(WHO, name))
    explain(f"Team {team.name} is closed. Undo it: image-gateway teams reopen {team.name}")


@app.command()
def reopen(name: _Name) -> None:
    """Open a closed team again.

    Example: `image-gateway teams reopen shop`
    """
    team = with_state(lambda administration, _: administration.reopen_team(WHO, name))
    explain(f"Team {team.name} is open.")
