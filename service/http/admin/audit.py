"""`/admin/audit`: list the actions of admins."""

from fastapi import Request
from pydantic import BaseModel

from service.domain.errors import InvalidOrder
from service.http.admin.envelopes import Listing
from service.http.admin.requests import administration_of, make_router
from service.http.query import parameter, read_query
from service.ports.audit import AuditEntry

MOST_AUDIT_ENTRIES = 1000

router = make_router()


class AuditLine(BaseModel):
    """One action of an admin. `who` is a key id, `bootstrap` (`GATEWAY_ADMIN_KEY`) or `command line`."""

    at: int
    who: str
    act: str
    target: str
    details: str


class AuditList(Listing[AuditLine]):
    """Actions, newest first."""


@router.get(
    "/audit",
    operation_id="adminGetAudit",
    summary="List the actions of admins, newest first",
    openapi_extra={
        "parameters": [
            parameter(
                "limit",
                f"Number of actions, 1 to {MOST_AUDIT_ENTRIES}; 100 by default.",
                type="integer",
                minimum=1,
                maximum=MOST_AUDIT_ENTRIES,
            )
        ]
    },
)
async def get_audit(request: Request) -> AuditList:
    """List who changed which key, team or policy, and when; acts of the command line, too."""
    text = read_query(request, {"limit"}).get("limit", "100")
    most = int(text) if text.isascii() and text.isdigit() and len(text) <= 4 else 0
    if not 1 <= most <= MOST_AUDIT_ENTRIES:
        raise InvalidOrder(f"Invalid 'limit': it must be 1 to {MOST_AUDIT_ENTRIES}.", param="limit")
    return AuditList(data=[_describe(entry) for entry in await administration_of(request).audit(most)])


def _describe(entry: AuditEntry) -> AuditLine:
    return AuditLine(at=entry.at_s, who=entry.who, act=entry.act, target=entry.target, details=entry.details)
