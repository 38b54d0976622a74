"""`/admin`: keys, teams, policies, people, usage and the audit, for callers with the role `admin`.

Translates and calls `gateway/administration.py`; `access.py` has let nobody else in.
The request models are the admins' own: no field of them is known to any other route.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr
from starlette.responses import Response

from service.domain.administration import MOST_COUNTED, MOST_MICROUSD, MOST_N
from service.domain.callers import ApiKey, DeclaredNames, Policy, Role, Team
from service.domain.errors import InvalidOrder
from service.gateway.administration import Administration, NewKey, TeamChanges
from service.gateway.usage import sum_up
from service.http.errors import UNSUPPORTED_TYPE, Refusal
from service.http.schemas import ErrorResponse, inline_schema, parse_json_request
from service.http.services import services_of
from service.http.tables import columns_of, to_record, write_csv
from service.http.uploads import media_type_of, read_body
from service.http.usage import FROM_AND_TO, read_day, read_query, text_parameter
from service.ports.audit import AuditEntry
from service.ports.ledger import LedgerEntry

MAX_BODY_BYTES = 64 * 1024
MAX_BODY_S = 30.0
MOST_DAYS = 400
MOST_ROWS = 50_000
MOST_AUDIT_ENTRIES = 1000
_GROUPS = ("day", "team", "user", "model")
_USERS_WITHOUT_NAME = frozenset({"anonymous", "erased"})

router = APIRouter(
    prefix="/admin",
    tags=["Administration"],
    responses={"4XX": {"model": ErrorResponse}, "5XX": {"model": ErrorResponse}},
)

_Amount = Annotated[StrictInt, Field(0, json_schema_extra={"minimum": 0, "maximum": MOST_COUNTED})]
_ROLES: list[Any] = [role.value for role in Role]


class CreateKeyRequest(BaseModel):
    """Body of `POST /admin/keys`."""

    model_config = ConfigDict(extra="forbid")

    team: StrictStr = Field(examples=["shop"], description="Made if it is not there.")
    user: StrictStr = Field(examples=["anna"], description="Whose key it is: a person, or a service.")
    role: StrictStr = Field("user", json_schema_extra={"enum": _ROLES})
    policy: StrictStr | None = Field(None, description="Limits this key beside its user and its team.")
    expires_at: StrictInt | None = Field(None, description="Seconds since 1970; never unless given.")


class PutTeamRequest(BaseModel):
    """Body of `PUT /admin/teams/{name}`. What is left out stays as it is."""

    model_config = ConfigDict(extra="forbid")

    policy: StrictStr | None = Field(None, description="Limits the team as a whole; null takes it away.")
    user_policy: StrictStr | None = Field(None, description="Limits each of its users; null takes it away.")
    closed: StrictBool | None = Field(None, description="A closed team can spend nothing.")


class PutPolicyRequest(BaseModel):
    """Body of `PUT /admin/policies/{name}`; replaces what is there. 0 and what is left out: no such limit."""

    model_config = ConfigDict(extra="forbid")

    requests_per_min: _Amount
    images_per_min: _Amount
    images_per_day: _Amount
    images_in_flight: _Amount
    budget_per_month_microusd: StrictInt = Field(
        0, json_schema_extra={"minimum": 0, "maximum": MOST_MICROUSD, "format": "int64"}
    )
    models: list[StrictStr] = Field([], description="Models that may be asked for; empty: all.")
    max_n: StrictInt = Field(0, json_schema_extra={"minimum": 0, "maximum": MOST_N})
    max_size: StrictStr = Field("", examples=["1536x1024"], description="As many pixels at most.")
    cache: StrictBool = Field(True, description="Whether orders read and fill the cache.")
    cache_scope: StrictStr | None = Field(None, json_schema_extra={"enum": ["user", "team", None]})


class Key(BaseModel):
    """What is known of a key. Only the answer to its creation holds the key itself, in `key`."""

    object: Literal["api_key"] = "api_key"
    id: str
    team: str
    user: str
    role: Role
    policy: str | None
    hint: str
    created_at: int
    expires_at: int | None


class CreatedKey(Key):
    """A new key; `key` is shown this once."""

    key: str


class KeyList(BaseModel):
    """Keys, oldest first."""

    object: Literal["list"] = "list"
    data: list[Key]


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


class PolicyEntry(BaseModel):
    """A policy; one that is declared in the configuration file cannot be changed here."""

    object: Literal["policy"] = "policy"
    name: str
    requests_per_min: int
    images_per_min: int
    images_per_day: int
    images_in_flight: int
    budget_per_month_microusd: int
    models: list[str]
    max_n: int
    max_size: str
    cache: bool
    cache_scope: str | None
    declared: bool


class PolicyList(BaseModel):
    """All policies."""

    object: Literal["list"] = "list"
    data: list[PolicyEntry]


class Removed(BaseModel):
    """What is gone."""

    object: str
    id: str
    deleted: Literal[True] = True


class Erased(BaseModel):
    """What a purge took away; `user` is the hash that stood for the person."""

    object: Literal["purge"] = "purge"
    user: str
    keys_revoked: int
    entries_changed: int


class UsageRow(BaseModel):
    """One sum; columns that were not asked for are left out. Images without a known price are in `unpriced` alone."""

    day: str | None = None
    team: str | None = None
    user: str | None = None
    model: str | None = None
    realm: str
    outcome: str
    images: int
    microusd: int
    unpriced: int


class UsageTable(BaseModel):
    """Sums of the ledger."""

    object: Literal["list"] = "list"
    data: list[UsageRow]


class AuditLine(BaseModel):
    """One act: who (a key id, `bootstrap` or `command line`) did what to what, when."""

    at: int
    who: str
    act: str
    target: str
    details: str


class AuditList(BaseModel):
    """Acts, newest first."""

    object: Literal["list"] = "list"
    data: list[AuditLine]


def _body_of(schema: type[BaseModel]) -> dict[str, Any]:
    content = {"application/json": {"schema": inline_schema(schema)}}
    return {"requestBody": {"required": True, "content": content}}


@router.post(
    "/keys",
    operation_id="adminCreateKey",
    summary="Make a key; the answer is the only one that ever shows it",
    status_code=201,
    response_model=CreatedKey,
    openapi_extra=_body_of(CreateKeyRequest),
)
async def create_key(request: Request) -> Response:
    """Make a key, and its team if need be."""
    fields = await _read_body(request, CreateKeyRequest)
    new = NewKey(
        team=fields["team"],
        user=fields["user"],
        role=_read_role(fields.get("role", "user")),
        policy=fields.get("policy"),
        expires_s=fields.get("expires_at", 0),
    )
    key, token = await _administration(request).create_key(_who(request), new)
    answer = _answer({**_describe_key(key), "key": token}, status=201)
    answer.headers["cache-control"] = "no-store"
    return answer


@router.get(
    "/keys",
    operation_id="adminListKeys",
    summary="List keys, of one team or of all",
    response_model=KeyList,
    openapi_extra={"parameters": [text_parameter("team", "Only this team's.")]},
)
async def list_keys(request: Request) -> Response:
    """List keys; tokens cannot be listed, they are not kept."""
    query = read_query(request, {"team"})
    keys = await _administration(request).list_keys(query.get("team"))
    return _answer_list([_describe_key(key) for key in keys])


@router.delete(
    "/keys/{team}/{key_id}",
    operation_id="adminRevokeKey",
    summary="Revoke a key: its orders are refused from this moment on",
    response_model=Removed,
)
async def revoke_key(request: Request, team: str, key_id: str) -> Response:
    """Revoke a key."""
    key = await _administration(request).revoke_key(_who(request), team, key_id)
    return _answer({"object": "api_key", "id": key.id, "deleted": True})


@router.get("/teams", operation_id="adminListTeams", summary="List teams", response_model=TeamList)
async def list_teams(request: Request) -> Response:
    """List teams, also those that are known by their spending alone."""
    administration = _administration(request)
    names = await administration.declared_names()
    return _answer_list([_describe_team(team, names) for team in await administration.teams()])


@router.put(
    "/teams/{name}",
    operation_id="adminPutTeam",
    summary="Make a team, change it, close it or reopen it: what is left out stays, null takes a policy away",
    response_model=TeamEntry,
    openapi_extra=_body_of(PutTeamRequest),
)
async def put_team(request: Request, name: str) -> Response:
    """Make a team, or change what is given."""
    body = await _read_bytes(request)
    fields = parse_json_request(body, PutTeamRequest)
    # An explicit null says something here, unlike in an order.
    fields |= dict.fromkeys(orjson.loads(body).keys() & {"policy", "user_policy"} - fields.keys())
    if "closed" in fields:
        fields["is_closed"] = fields.pop("closed")
    administration = _administration(request)
    team = await administration.change_team(_who(request), TeamChanges(name=name, fields=fields))
    return _answer(_describe_team(team, DeclaredNames()))


@router.get("/policies", operation_id="adminListPolicies", summary="List policies", response_model=PolicyList)
async def list_policies(request: Request) -> Response:
    """List policies, declared and made."""
    administration = _administration(request)
    policies = (await administration.directory()).policies
    names = await administration.declared_names()
    return _answer_list([_describe_policy(policies[name], names) for name in sorted(policies)])


@router.put(
    "/policies/{name}",
    operation_id="adminPutPolicy",
    summary="Make a policy or replace it; in force everywhere within a second",
    response_model=PolicyEntry,
    openapi_extra=_body_of(PutPolicyRequest),
)
async def put_policy(request: Request, name: str) -> Response:
    """Replace a policy."""
    fields = await _read_body(request, PutPolicyRequest)
    caches = fields.pop("cache", True)
    models = tuple(fields.pop("models", ()))
    policy = Policy(**{**fields, "name": name, "models": models, "caches": caches})
    await _administration(request).put_policy(_who(request), policy)
    return _answer(_describe_policy(policy, DeclaredNames()))


@router.delete(
    "/policies/{name}",
    operation_id="adminRemovePolicy",
    summary="Remove a policy that no team and no key is under",
    response_model=Removed,
)
async def remove_policy(request: Request, name: str) -> Response:
    """Remove a policy."""
    await _administration(request).remove_policy(_who(request), name)
    return _answer({"object": "policy", "id": name, "deleted": True})


@router.get(
    "/usage",
    operation_id="adminGetUsage",
    summary="What was spent, as JSON or CSV",
    response_model=UsageTable,
    responses={200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
    openapi_extra={
        "parameters": [
            *FROM_AND_TO,
            text_parameter("team", "Only this team's."),
            text_parameter("user", "Only this person's: a name, or the hash that usage shows."),
            text_parameter("group", "Add up by this, realm and outcome.", enum=list(_GROUPS)),
            text_parameter("format", "Instead of the Accept header.", enum=["json", "csv"]),
        ]
    },
)
async def get_usage(request: Request) -> Response:
    """Sum up the ledger; too many rows are refused rather than held in memory."""
    services = services_of(request.scope)
    query = read_query(request, {"from", "to", "team", "user", "group", "format"})
    days = services.usage.days(read_day(query, "from"), read_day(query, "to"), most=MOST_DAYS)
    group = _read_choice(query, "group", _GROUPS)
    is_csv = _read_choice(query, "format", ("json", "csv")) == "csv" or (
        "format" not in query and "text/csv" in request.headers.get("accept", "")
    )
    columns = columns_of([group] if group else [])
    entries = services.usage.entries(days, team=query.get("team"), user=_read_user(request, query))
    rows = await sum_up(_bounded(entries) if group is None else entries, columns)
    if is_csv:
        headers = {"content-disposition": f'attachment; filename="usage-{days[0]}-{days[-1]}.csv"'}
        return Response(write_csv(rows, columns), media_type="text/csv", headers=headers)
    return _answer_list([to_record(row, columns) for row in rows])


@router.delete(
    "/people/{user:path}",
    operation_id="adminPurgePerson",
    summary="Erase a person: keys, limits, the pictures they had made, and the name on every sum",
    response_model=Erased,
)
async def purge_person(request: Request, user: str) -> Response:
    """Erase a person, given by name or by hash."""
    purged = await _administration(request).purge(_who(request), user)
    return _answer(
        {
            "object": "purge",
            "user": purged.user,
            "keys_revoked": purged.keys,
            "entries_changed": purged.entries,
        }
    )


@router.get(
    "/audit",
    operation_id="adminGetAudit",
    summary="What admins did, newest first",
    response_model=AuditList,
    openapi_extra={
        "parameters": [text_parameter("limit", f"How many, 1 to {MOST_AUDIT_ENTRIES}; 100 unless given.")]
    },
)
async def get_audit(request: Request) -> Response:
    """List the latest acts."""
    text = read_query(request, {"limit"}).get("limit", "100")
    most = int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else 0
    if not 1 <= most <= MOST_AUDIT_ENTRIES:
        raise InvalidOrder(f"Invalid 'limit': it is 1 to {MOST_AUDIT_ENTRIES}.", param="limit")
    return _answer_list([_describe_act(entry) for entry in await _administration(request).audit(most)])


def _administration(request: Request) -> Administration:
    return services_of(request.scope).administration


def _who(request: Request) -> str:
    """Return how the audit names the admin: the operator's own key has no id."""
    key_id: str | None = request.scope["state"]["identity"].key_id
    return key_id or "bootstrap"


async def _read_body(request: Request, schema: type[BaseModel]) -> dict[str, Any]:
    return parse_json_request(await _read_bytes(request), schema)


async def _read_bytes(request: Request) -> bytes:
    if media_type_of(request) != "application/json":
        raise Refusal(UNSUPPORTED_TYPE)
    return await read_body(request, MAX_BODY_BYTES, MAX_BODY_S)


def _read_role(text: str) -> Role:
    try:
        return Role(text)
    except ValueError as error:
        raise InvalidOrder(
            f"Invalid 'role': supported values are {', '.join(_ROLES)}.", param="role"
        ) from error


def _read_choice(query: Mapping[str, str], name: str, choices: tuple[str, ...]) -> str | None:
    value = query.get(name)
    if value is not None and value not in choices:
        raise InvalidOrder(f"Invalid '{name}': supported values are {', '.join(choices)}.", param=name)
    return value


def _read_user(request: Request, query: Mapping[str, str]) -> str | None:
    user = query.get("user")
    if user is None or user in _USERS_WITHOUT_NAME:
        return user
    return _administration(request).hash_of(user)


async def _bounded(entries: AsyncIterator[LedgerEntry]) -> AsyncIterator[LedgerEntry]:
    count = 0
    async for entry in entries:
        count += 1
        if count > MOST_ROWS:
            raise InvalidOrder(
                f"These are more than {MOST_ROWS} sums. Add them up with 'group', or narrow 'from', 'to', "
                "'team' or 'user'; `image-gateway usage export` has no such bound.",
                param="group",
            )
        yield entry


def _describe_key(key: ApiKey) -> dict[str, Any]:
    return {
        "object": "api_key",
        "id": key.id,
        "team": key.team,
        "user": key.user,
        "role": key.role,
        "policy": key.policy,
        "hint": key.hint,
        "created_at": key.created_s,
        "expires_at": key.expires_s or None,
    }


def _describe_team(team: Team, names: DeclaredNames) -> dict[str, Any]:
    return {
        "object": "team",
        "name": team.name,
        "policy": team.policy,
        "user_policy": team.user_policy,
        "closed": team.is_closed,
        "declared": names.has(team),
    }


def _describe_policy(policy: Policy, names: DeclaredNames) -> dict[str, Any]:
    return {
        "object": "policy",
        "name": policy.name,
        **{resource: getattr(policy, resource) for resource in _LIMITS},
        "models": policy.models,
        "max_n": policy.max_n,
        "max_size": policy.max_size,
        "cache": policy.caches,
        "cache_scope": policy.cache_scope,
        "declared": names.has(policy),
    }


_LIMITS = (
    "requests_per_min",
    "images_per_min",
    "images_per_day",
    "images_in_flight",
    "budget_per_month_microusd",
)


def _describe_act(entry: AuditEntry) -> dict[str, Any]:
    return {
        "at": entry.at_s,
        "who": entry.who,
        "act": entry.act,
        "target": entry.target,
        "details": entry.details,
    }


def _answer(content: dict[str, Any], *, status: int = 200) -> Response:
    return Response(orjson.dumps(content), status, media_type="application/json")


def _answer_list(data: list[dict[str, Any]]) -> Response:
    return _answer({"object": "list", "data": data})
