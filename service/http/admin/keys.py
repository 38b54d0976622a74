"""`/admin/keys`: create, list and revoke API keys."""

from typing import Annotated, Literal

from fastapi import Path, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

from service.domain.administration import LATEST_S
from service.domain.callers import ApiKey, Role
from service.gateway.accounts.administration import Administration
from service.gateway.accounts.keys import NewKey
from service.http.admin.envelopes import Listing, Removed
from service.http.admin.requests import NAME, administration_of, make_router, name_of_admin, read_fields
from service.http.query import parameter, read_choice, read_query

_ROLES = tuple(role.value for role in Role)

router = make_router()


class CreateKeyRequest(BaseModel):
    """Body of `POST /admin/keys`."""

    model_config = ConfigDict(extra="forbid")

    team: StrictStr = Field(
        examples=["shop"],
        description="Team that pays for the orders; created if new.",
        json_schema_extra=NAME,
    )
    user: StrictStr = Field(
        examples=["anna"],
        description="Owner of the key: a person or a service.",
        json_schema_extra={"minLength": 1, "maxLength": 100},
    )
    role: StrictStr = Field(
        "user",
        description="Rights of the key: to order (`user`, the default), to order for named users (`service`), to administer "
        "(`admin`).",
        json_schema_extra={"enum": list(_ROLES)},
    )
    policy: StrictStr | None = Field(
        None,
        description="Policy for this key, in addition to those of its user and team.",
        json_schema_extra=NAME,
    )
    expires_at: StrictInt | None = Field(
        None,
        description="Seconds since 1970; never by default.",
        json_schema_extra={"minimum": 0, "maximum": LATEST_S},
    )


class Key(BaseModel):
    """The record of a key, without the key itself."""

    object: Literal["api_key"] = "api_key"
    id: str
    team: str
    user: str
    role: Role
    policy: str | None
    hint: str
    created_at: int
    expires_at: int | None
    secret_listed: bool | None = Field(
        description="false: the key is refused, as GATEWAY_SECRETS no longer has the secret it was created with. "
        "null: unknown, for keys of earlier versions."
    )


class CreatedKey(Key):
    """A new key; `key` is shown only once."""

    key: str


class KeyList(Listing[Key]):
    """Keys, oldest first."""


@router.post(
    "/keys",
    operation_id="adminCreateKey",
    summary="Create a key; only this answer shows it",
    status_code=201,
)
async def create_key(request: Request, response: Response) -> CreatedKey:
    """Create a key, and its team if new."""
    fields = await read_fields(request, CreateKeyRequest)
    new = NewKey(
        team=fields["team"],
        user=fields["user"],
        role=Role(read_choice(fields, "role", _ROLES) or Role.USER),
        policy=fields.get("policy"),
        expires_s=fields.get("expires_at") or 0,
    )
    administration = administration_of(request)
    key, token = await administration.keys.create(name_of_admin(request), new)
    response.headers["cache-control"] = "no-store"
    return CreatedKey(**vars(_describe(administration, key)), key=token)


@router.get(
    "/keys",
    operation_id="adminListKeys",
    summary="List keys, oldest first",
    openapi_extra={"parameters": [parameter("team", "Only keys of this team.")]},
)
async def list_keys(request: Request) -> KeyList:
    """List the records of keys; the keys themselves are stored as hashes."""
    query = read_query(request, {"team"})
    administration = administration_of(request)
    keys = await administration.keys.list(query.get("team"))
    return KeyList(data=[_describe(administration, key) for key in keys])


@router.delete(
    "/keys/{team}/{key_id}",
    operation_id="adminRevokeKey",
    summary="Revoke a key: its orders are refused at once",
)
async def revoke_key(
    request: Request,
    team: Annotated[str, Path(description="Team of the key.", json_schema_extra=NAME)],
    key_id: Annotated[str, Path(description="Id of the key, as the list shows it.")],
) -> Removed:
    """Revoke a key; its other requests are refused within a second."""
    key = await administration_of(request).keys.revoke(name_of_admin(request), team, key_id)
    return Removed(object="api_key", id=key.id)


def _describe(administration: Administration, key: ApiKey) -> Key:
    return Key(
        id=key.id,
        team=key.team,
        user=key.user,
        role=key.role,
        policy=key.policy,
        hint=key.hint,
        created_at=key.created_s,
        expires_at=key.expires_s or None,
        secret_listed=administration.keys.has_its_secret(key),
    )
