"""`image-gateway teams`: list, set, close and reopen teams."""

from dataclasses import replace
from typing import Annotated

import typer

from service.commands.surface import WHO, explain, make_group, show_table, with_state
from service.domain.callers import Team
from service.gateway.administration import Administration
from service.gateway.usage import Usage

app = make_group("Say which policy limits a team, and close teams that may spend nothing any more.")

_Name = Annotated[str, typer.Argument(help="The team.")]


@app.command("list")
def list_teams() -> None:
    """List teams, also those that are known by their spending alone.

    Example: `image-gateway teams list`
    """

    async def read(administration: Administration, _: Usage) -> list[tuple[object, ...]]:
        return [
            (team.name, team.policy, team.user_policy, team.is_closed, administration.is_declared(team))
            for team in await administration.teams()
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

    async def change(administration: Administration, _: Usage) -> Team:
        team = (await administration.directory()).teams.get(name, Team(name=name))
        if policy is not None:
            team = replace(team, policy=policy or None)
        if user_policy is not None:
            team = replace(team, user_policy=user_policy or None)
        await administration.put_team(WHO, team)
        return team

    team = with_state(change)
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
