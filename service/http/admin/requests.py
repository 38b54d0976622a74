"""Share the parts of admin routes: router, use case, the admin's name and a small JSON body."""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel

from service.gateway.accounts.administration import Administration
from service.http.bodies import MAX_BODY_S, media_type_of, memory_for, read_json
from service.http.errors import UNSUPPORTED_TYPE, RequestRejected
from service.http.schemas import ERROR_RESPONSES, parse_json_request
from service.http.services import services_of

MAX_BODY_BYTES = 64 * 1024


def make_router() -> APIRouter:
    """Return a router for one subject.

    Do not include it in another router: metrics name a route by its first path, without a
    prefix that is added later.
    """
    return APIRouter(prefix="/admin", tags=["Administration"], responses=ERROR_RESPONSES)


def administration_of(request: Request) -> Administration:
    return services_of(request.scope).accounts.administration


def name_of_admin(request: Request) -> str:
    """Return the admin's name for the audit; `GATEWAY_ADMIN_KEY` has no id."""
    key_id: str | None = request.scope["state"]["identity"].key_id
    return key_id or "bootstrap"


async def read_fields(request: Request, schema: type[BaseModel]) -> dict[str, Any]:
    """Return the fields of a body, without nulls; raises `InvalidOrder`."""
    return parse_json_request(await read_small_body(request), schema)


async def read_small_body(request: Request) -> bytearray:
    """Return the body, up to `MAX_BODY_BYTES`."""
    if media_type_of(request) != "application/json":
        raise RequestRejected(UNSUPPORTED_TYPE)
    with memory_for(request) as room:
        return await read_json(request, room, MAX_BODY_BYTES, MAX_BODY_S)
