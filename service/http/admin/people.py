"""`/admin/people`: erased on request."""

from typing import Literal

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response

from service.http.admin.answers import answer
from service.http.admin.requests import administration_of, make_router, name_of_admin

router = make_router()


class Erased(BaseModel):
    """What a purge took away; `user` is the hash that stood for the person."""

    object: Literal["purge"] = "purge"
    user: str
    keys_revoked: int
    entries_changed: int


@router.delete(
    "/people/{user:path}",
    operation_id="adminPurgePerson",
    summary="Erase a person: keys, limits, the pictures they had made, and the name on every sum",
    response_model=Erased,
)
async def purge_person(request: Request, user: str) -> Response:
    """Erase a person, given by name or by hash."""
    purged = await administration_of(request).purge(name_of_admin(request), user)
    return answer(
        {
            "object": "purge",
            "user": purged.user,
            "keys_revoked": purged.keys,
            "entries_changed": purged.entries,
        }
    )
