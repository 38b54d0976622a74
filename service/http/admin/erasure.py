"""`/admin/people`: erase a person on request."""

from typing import Annotated, Literal

from fastapi import Path, Request
from pydantic import BaseModel

from service.http.admin.requests import administration_of, make_router, name_of_admin

router = make_router()


class ErasedPerson(BaseModel):
    """The result of an erasure; `user` is the person's keyed hash."""

    object: Literal["erased_person"] = "erased_person"
    user: str
    keys_revoked: int
    entries_changed: int


@router.delete(
    "/people/{user:path}",
    operation_id="adminErasePerson",
    summary="Erase a person: revoke their keys, delete their limits and images, and anonymize their usage",
)
async def erase_person(
    request: Request,
    user: Annotated[str, Path(description="The person's name, or the hash that usage shows.")],
) -> ErasedPerson:
    """Erase a person, given by name or by the hash that usage shows."""
    erased = await administration_of(request).erasure.erase(name_of_admin(request), user)
    return ErasedPerson(user=erased.user, keys_revoked=erased.keys, entries_changed=erased.entries)
