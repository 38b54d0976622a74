"""`GET /v1/usage`: report a caller's spending and limits; counts against no limit."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from math import prod
from typing import Literal

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel
from starlette.responses import Response

from service.domain.callers import Caller, Policy, Role
from service.domain.errors import LimitState, PermissionDenied
from service.domain.limits import Window, kind_of
from service.domain.sizes import parse_size
from service.gateway.accounts.usage import add_up, sum_up
from service.http.access import caller_of
from service.http.query import FROM_AND_TO, parameter, read_day, read_query
from service.http.services import HttpServices, services_of
from service.http.tables import SUMS, to_record

MOST_DAYS = 92
_COLUMNS = ("day", "model", "realm", "outcome", *SUMS)
_TOTALS = ("realm", "outcome", *SUMS)

router = APIRouter(tags=["Usage"])


class UsageTotal(BaseModel):
    """A total; *microusd* excludes the *unpriced* images."""

    realm: str
    outcome: str
    images: int
    microusd: int
    unpriced: int


class UsageEntry(UsageTotal):
    """The total of a day and a model."""

    day: date
    model: str


class UsageLimit(BaseModel):
    """The state of a limit; `resets_at` is null for images in flight."""

    scope: str
    name: str
    unit: str
    limit: int
    used: int
    remaining: int
    resets_at: datetime | None


class UsagePolicy(BaseModel):
    """A policy that limits the caller."""

    scope: str
    policy: str


class Usage(BaseModel):
    """The answer of `GET /v1/usage`; null means no limit."""

    object: Literal["usage"] = "usage"
    team: str
    user: str
    key: str | None
    first_day: date
    last_day: date
    data: list[UsageEntry]
    totals: list[UsageTotal]
    limits: list[UsageLimit]
    policies: list[UsagePolicy]
    models: list[str]
    max_n: int | None
    max_size: str | None


@router.get(
    "/v1/usage",
    operation_id="getUsage",
    summary="Show your spending and the state of your limits",
    response_model=Usage,
    openapi_extra={
        "parameters": [
            *FROM_AND_TO,
            parameter("user", "For service keys: the end user, by the name in your orders."),
        ]
    },
)
async def get_usage(request: Request) -> Response:
    """Read the ledger and the limits; the request counts against none."""
    services = services_of(request.scope)
    query = read_query(request, {"from", "to", "user"})
    days = services.accounts.usage.days(read_day(query, "from"), read_day(query, "to"), most=MOST_DAYS)
    caller = _caller(request, services, query.get("user"))
    limits = await services.accounts.allowance.read(caller)
    entries = await sum_up(
        services.accounts.usage.entries(days, team=caller.team, user=caller.user), ("day", "model")
    )
    policies = [scope.policy for scope in caller.scopes]
    answer = Usage(
        team=caller.team,
        user=caller.user,
        key=request.scope["state"]["identity"].key_hint,
        first_day=days[0],
        last_day=days[-1],
        data=[UsageEntry(**to_record(entry, _COLUMNS)) for entry in entries],
        totals=[UsageTotal(**to_record(entry, _TOTALS)) for entry in add_up(entries)],
        limits=[describe_limit(services, limit) for limit in limits],
        policies=[UsagePolicy(scope=scope.name, policy=scope.policy.name) for scope in caller.scopes],
        models=_allowed_models(policies, services),
        max_n=min((policy.max_n for policy in policies if policy.max_n), default=None),
        max_size=_largest_size(policies),
    )
    # orjson writes instants with +00:00; pydantic would write Z.
    return Response(orjson.dumps(answer.model_dump()), media_type="application/json")


def _caller(request: Request, services: HttpServices, named_user: str | None) -> Caller:
    identity = request.scope["state"]["identity"]
    if named_user is not None and identity.role is not Role.SERVICE and identity.user is not None:
        raise PermissionDenied("Only a key with the role 'service' may read the usage of another user.")
    return caller_of(request.scope, services, named_user=named_user)


def describe_limit(services: HttpServices, state: LimitState) -> UsageLimit:
    """Return the state of a limit for callers."""
    kind = kind_of(state.resource)
    resets_at = datetime.fromtimestamp(round(services.clock.wall_s() + state.reset_s), UTC)
    return UsageLimit(
        scope=state.scope,
        name=kind.name,
        unit=kind.unit,
        limit=state.limit,
        used=state.limit - state.remaining,
        remaining=state.remaining,
        resets_at=None if kind.window is Window.HELD else resets_at,
    )


def _allowed_models(policies: Sequence[Policy], services: HttpServices) -> list[str]:
    today = datetime.fromtimestamp(services.clock.wall_s(), UTC).date()
    return [
        model.name
        for model in services.ordering.catalog.orderable(today)
        if all(not policy.models or model.name in policy.models for policy in policies)
    ]


def _largest_size(policies: Sequence[Policy]) -> str | None:
    sizes = [policy.max_size for policy in policies if policy.max_size]
    return min(sizes, key=lambda size: prod(parse_size(size) or ()), default=None)
