"""`/admin/audit`: the acts of admins, read and never changed. 503 while they cannot be read."""

from typing import Literal

from fastapi import Request
from pydantic import BaseModel

from service.domain.errors import InvalidOrder
from service.http.admin.requests import administration_of, make_router
from service.http.query import read_query, text_parameter
from service.ports.audit import AuditEntry

MOST_AUDIT_ENTRIES = 1000

router = make_router()


class AuditLine(BaseModel):
    """One act: the actor (a key id, `bootstrap` or `command line`), the act, its target and its time."""

    at: int
    who: str
    act: str
    target: str
    details: str


class AuditList(BaseModel):
    """Acts, newest first."""

    object: Literal["list"] = "list"
    data: list[AuditLine]


@router.get(
    "/audit",
    operation_id="adminGetAudit",
    summary="What admins did, newest first",
    openapi_extra={
        "parameters": [text_parameter("limit", f"How many, 1 to {MOST_AUDIT_ENTRIES}; 100 unless given.")]
    },
)
async def get_audit(request: Request) -> AuditList:
    """List the latest acts."""
    text = read_query(request, {"limit"}).get("limit", "100")
    most = int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else 0
    if not 1 <= most <= MOST_AUDIT_ENTRIES:
        raise InvalidOrder(f"Invalid 'limit': it is 1 to {MOST_AUDIT_ENTRIES}.", param="limit")
    return AuditList(data=[_describe(entry) for entry in await administration_of(request).audit(most)])


def _describe(entry: AuditEntry) -> AuditLine:
    return AuditLine(at=entry.at_s, who=entry.who, act=entry.act, target=entry.target, details=entry.details)
