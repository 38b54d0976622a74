"""`/admin/people`: erase a person on request."""

from typing import Literal

from fastapi import Request
from pydantic import BaseModel

from service.http.admin.requests import administration_of, make_router, name_of_admin

router = make_router()


class ErasedPerson(BaseModel):
    """The data erased of a person; `user` is the hash that stood for them."""

    object: Literal["erased_person"] = "erased_person"
    user: str
    keys_revoked: int
    entries_changed: int


@router.delete(
    "/people/{user:path}",
    operation_id="adminErasePerson",
    summary="Erase a person: keys, limits, the pictures they had made, and the name on every sum",
)
async def erase_person(request: Request, user: str) -> ErasedPerson:
    """Erase a person, given by name or by hash."""
    erased = await administration_of(request).erasure.erase(name_of_admin(request), user)
    return ErasedPerson(user=erased.user, keys_revoked=erased.keys, entries_changed=erased.entries)
