"""`/admin/teams`: create, change, close, reopen and list."""

from typing import Literal

import orjson
from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictStr

from service.domain.callers import DeclaredNames, Team
from service.http.admin.requests import (
    administration_of,
    body_of,
    make_router,
    name_of_admin,
    read_small_body,
)
from service.http.schemas import parse_json_request

router = make_router()


class PutTeamRequest(BaseModel):
    """Body of `PUT /admin/teams/{name}`. Missing fields keep their values."""

    model_config = ConfigDict(extra="forbid")

    policy: StrictStr | None = Field(None, description="Limits the team as a whole; null takes it away.")
    user_policy: StrictStr | None = Field(None, description="Limits each of its users; null takes it away.")
    closed: StrictBool | None = Field(None, description="A closed team can spend nothing.")


class TeamEntry(BaseModel):
    """A team; one that is declared in the configuration file cannot be changed here."""

    object: Literal["team"] = "team"
    name: str
    policy: str | None
    user_policy: str | None
    closed: bool
    declared: bool


class TeamList(BaseModel):
    """All teams, also those that were never put but have spent."""

    object: Literal["list"] = "list"
    data: list[TeamEntry]


@router.get("/teams", operation_id="adminListTeams", summary="List teams")
async def list_teams(request: Request) -> TeamList:
    """List teams, also those that are known by their spending alone."""
    administration = administration_of(request)
    names = await administration.reader.declared_names()
    return TeamList(data=[_describe(team, names) for team in await administration.reader.teams()])


@router.put(
    "/teams/{name}",
    operation_id="adminPutTeam",
    summary="Make a team, change it, close it or reopen it: what is left out stays, null takes a policy away",
    openapi_extra=body_of(PutTeamRequest),
)
async def put_team(request: Request, name: str) -> TeamEntry:
    """Make a team, or change what is given."""
    body = await read_small_body(request)
    fields = parse_json_request(body, PutTeamRequest)
    # An explicit null has a meaning here, unlike in an order.
    fields |= dict.fromkeys(orjson.loads(body).keys() & {"policy", "user_policy"} - fields.keys())
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
