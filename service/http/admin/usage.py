"""`/admin/usage`: sum up spending by team, user, model and backend, as JSON or CSV."""

from collections.abc import AsyncIterator, Mapping

from fastapi import Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from service.domain.errors import InvalidOrder
from service.gateway.accounts.usage import MOST_DAYS, sum_up
from service.http.admin.envelopes import Listing
from service.http.admin.requests import administration_of, make_router
from service.http.preference import quality_of
from service.http.query import FROM_AND_TO, parameter, read_choice, read_day, read_query
from service.http.services import services_of
from service.http.tables import columns_of, to_record, write_csv
from service.ports.ledger import LedgerEntry

MOST_ROWS = 50_000
_GROUPS = ("day", "team", "user", "model", "backend")
_USERS_WITHOUT_NAME = frozenset({"anonymous", "erased"})

router = make_router()


class UsageRow(BaseModel):
    """One row; only the columns of the group are present. `backend` is empty if unknown, `microusd` excludes the `unpriced` images."""

    day: str | None = Field(None, json_schema_extra={"format": "date"})
    team: str | None = None
    user: str | None = None
    model: str | None = None
    backend: str | None = None
    realm: str
    outcome: str
    images: int
    microusd: int
    unpriced: int


class UsageTable(Listing[UsageRow]):
    """Sums of the ledger."""


@router.get(
    "/usage",
    operation_id="adminGetUsage",
    summary="Sum up spending, as JSON or CSV",
    response_model=UsageTable,
    response_model_exclude_none=True,
    openapi_extra={
        "parameters": [
            *FROM_AND_TO,
            parameter("team", "Only this team."),
            parameter("user", "Only this user: a name, or the hash that usage shows."),
            parameter(
                "group",
                "Group by this column, realm and outcome; by default by day, team, user, model and backend.",
                enum=list(_GROUPS),
            ),
            parameter(
                "format",
                "Format of the answer; by default the one that `Accept` prefers, JSON if both are equal.",
                enum=["json", "csv"],
            ),
        ]
    },
)
async def get_usage(request: Request) -> UsageTable | Response:
    """Sum up the ledger; a request for too many rows is refused."""
    services = services_of(request.scope)
    query = read_query(request, {"from", "to", "team", "user", "group", "format"})
    days = services.accounts.usage.days(read_day(query, "from"), read_day(query, "to"), most=MOST_DAYS)
    group = read_choice(query, "group", _GROUPS)
    asked = read_choice(query, "format", ("json", "csv"))
    is_csv = asked == "csv" if asked else _prefers_csv(request.headers.get("accept", ""))
    columns = columns_of([group] if group else [])
    entries = services.accounts.usage.entries(days, team=query.get("team"), user=_read_user(request, query))
    rows = await sum_up(_bounded(entries) if group is None else entries, columns)
    if is_csv:
        headers = {"content-disposition": f'attachment; filename="usage-{days[0]}-{days[-1]}.csv"'}
        return Response(write_csv(rows, columns), media_type="text/csv", headers=headers)
    return UsageTable(data=[UsageRow(**to_record(row, columns)) for row in rows])


def _prefers_csv(accept: str) -> bool:
    return quality_of("text/csv", accept) > quality_of("application/json", accept)


def _read_user(request: Request, query: Mapping[str, str]) -> str | None:
    user = query.get("user")
    if user is None or user in _USERS_WITHOUT_NAME:
        return user
    return administration_of(request).callers.hash_of(user)


async def _bounded(entries: AsyncIterator[LedgerEntry]) -> AsyncIterator[LedgerEntry]:
    count = 0
    async for entry in entries:
        count += 1
        if count > MOST_ROWS:
            raise InvalidOrder(
                f"The answer has more than {MOST_ROWS} rows. Set 'group', or narrow 'from', 'to', 'team' or 'user'; "
                "`image-gateway usage export` has no such bound.",
                param="group",
            )
        yield entry
