"""`/admin/teams`: create, change, close, reopen and list."""

from typing import Annotated, Literal

from fastapi import Path, Request
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr

from service.domain.callers import DeclaredNames, Team
from service.http.admin.envelopes import Listing
from service.http.admin.requests import NAME, administration_of, make_router, name_of_admin, read_fields

router = make_router()


class PutTeamRequest(BaseModel):
    """Body of `PUT /admin/teams/{name}`. Missing fields keep their values."""

    model_config = ConfigDict(extra="forbid")

    policy: StrictStr | None = Field(
        None, description="Policy for the team as a whole; null removes it.", json_schema_extra=NAME
    )
    user_policy: StrictStr | None = Field(
        None, description="Policy for each of its users; null removes it.", json_schema_extra=NAME
    )
    closed: StrictBool = Field(False, description="A closed team may order nothing; a new one is open.")


class TeamEntry(BaseModel):
    """A team. If `declared`, it is in the configuration file and cannot be changed here."""

    object: Literal["team"] = "team"
    name: str
    policy: str | None
    user_policy: str | None
    closed: bool
    declared: bool


class TeamList(Listing[TeamEntry]):
    """All teams, including those known only from the ledger."""


@router.get("/teams", operation_id="adminListTeams", summary="List teams")
async def list_teams(request: Request) -> TeamList:
    """List teams, including those known only from the ledger."""
    administration = administration_of(request)
    names = await administration.reader.declared_names()
    return TeamList(data=[_describe(team, names) for team in await administration.reader.teams()])


@router.put(
    "/teams/{name}",
    operation_id="adminPutTeam",
    summary="Create, change, close or reopen a team; missing fields keep their values, null removes a policy",
)
async def put_team(
    request: Request, name: Annotated[str, Path(description="Name of the team.", json_schema_extra=NAME)]
) -> TeamEntry:
    """Create or change a team, unless the configuration file declares it."""
    fields = await read_fields(request, PutTeamRequest)
    if "closed" in fields:
        fields["is_closed"] = fields.pop("closed")
    administration = administration_of(request)
    team = await administration.change_team(name_of_admin(request), name, fields)
    return _describe(team, DeclaredNames())


def _describe(team: Team, names: DeclaredNames) -> TeamEntry:
    return TeamEntry(
        name=team.name,
        policy=team.policy,
        user_policy=team.user_policy,
        closed=team.is_closed,
        declared=names.has(team),
    )
