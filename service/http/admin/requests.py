"""Share the parts of admin routes: router, use case, the admin's name and a small JSON body."""

from typing import Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel

from service.domain.callers import NAME_PATTERN
from service.gateway.accounts.administration import Administration
from service.http.bodies import JSON, MAX_BODY_S, check_media_type, memory_for, read_json
from service.http.query import read_query
from service.http.schemas import check_fields, read_json_object
from service.http.services import services_of

MAX_BODY_BYTES = 64 * 1024
NAME: dict[str, Any] = {"pattern": f"^{NAME_PATTERN}$"}
"""The form of names of teams and policies, for the OpenAPI document; `domain/administration.py` checks it."""


def make_router() -> APIRouter:
    """Return a router for one subject.

    Do not include it in another router: metrics name a route by its first path, without a
    prefix that is added later.
    """
    return APIRouter(
        prefix="/admin",
        tags=["Administration"],
        dependencies=[Depends(_refuse_unknown_query)],
    )


def administration_of(request: Request) -> Administration:
    return services_of(request.scope).accounts.administration


def name_of_admin(request: Request) -> str:
    """Return the admin's name for the audit; `GATEWAY_ADMIN_KEY` has no id."""
    key_id: str | None = request.scope["state"]["identity"].key_id
    return key_id or "bootstrap"


async def read_fields(request: Request, schema: type[BaseModel]) -> dict[str, Any]:
    """Return the fields of a body; raises `InvalidOrder`, also for a null that *schema* gives no meaning."""
    fields = {
        name: _as_integer(value) for name, value in read_json_object(await _read_small_body(request)).items()
    }
    check_fields(fields, schema)
    return fields


def _as_integer(value: object) -> object:
    """Return 60 for 60.0: JSON has one kind of numbers."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


async def _read_small_body(request: Request) -> bytearray:
    """Return the body, up to `MAX_BODY_BYTES`."""
    check_media_type(request, JSON)
    with memory_for(request) as room:
        return await read_json(request, room, MAX_BODY_BYTES, MAX_BODY_S)


def _refuse_unknown_query(request: Request) -> None:
    """Refuse query parameters that the route does not describe: a mistake must not widen an act."""
    described = (request.scope["route"].openapi_extra or {}).get("parameters", ())
    read_query(request, {parameter["name"] for parameter in described})
