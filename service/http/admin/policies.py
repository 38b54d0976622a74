"""`/admin/policies`: create, replace, remove and list."""

from typing import Annotated, Literal

from fastapi import Path, Request
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from service.domain.administration import MOST_N, SIZE_PATTERN
from service.domain.callers import DeclaredNames, Policy
from service.domain.limits import LIMITS, MOST_COUNTED, MOST_MICROUSD
from service.http.admin.envelopes import Listing, Removed
from service.http.admin.requests import NAME, administration_of, make_router, name_of_admin, read_fields

_Name = Annotated[str, Path(description="Name of the policy.", json_schema_extra=NAME)]
_Amount = Annotated[StrictInt, Field(0, json_schema_extra={"minimum": 0, "maximum": MOST_COUNTED})]
_Microusd = Annotated[
    StrictInt, Field(0, json_schema_extra={"minimum": 0, "maximum": MOST_MICROUSD, "format": "int64"})
]

router = make_router()


class PutPolicyRequest(BaseModel):
    """Body of `PUT /admin/policies/{name}`, which replaces the policy. 0 or a missing field sets no limit."""

    model_config = ConfigDict(extra="forbid")

    requests_per_min: _Amount
    images_per_min: _Amount
    images_per_day: _Amount
    images_in_flight: _Amount
    budget_per_month_microusd: _Microusd
    models: list[StrictStr] = Field([], description="Models that may be ordered; empty allows all.")
    max_n: StrictInt = Field(0, json_schema_extra={"minimum": 0, "maximum": MOST_N})
    max_size: StrictStr = Field(
        "",
        examples=["1536x1024"],
        description="Largest image, in pixels; empty sets no limit.",
        json_schema_extra={"pattern": f"^({SIZE_PATTERN})?$"},
    )
    cache: StrictBool = Field(
        True, description="If false, orders neither read nor fill the cache; true by default."
    )
    cache_scope: StrictStr | None = Field(None, json_schema_extra={"pattern": "^(user|team)$"})
    equal_orders: StrictStr = Field(
        "differ",
        description="Equal orders for one image each that a caller sends at once: `differ`, the default, or `share` its images.",
        json_schema_extra={"enum": ["differ", "share"]},
    )


class PolicyEntry(BaseModel):
    """A policy. If `declared`, it is in the configuration file and cannot be changed here."""

    object: Literal["policy"] = "policy"
    name: str
    requests_per_min: int
    images_per_min: int
    images_per_day: int
    images_in_flight: int
    budget_per_month_microusd: int
    models: list[str]
    max_n: int
    max_size: str
    cache: bool
    cache_scope: str | None
    equal_orders: str
    declared: bool


class PolicyList(Listing[PolicyEntry]):
    """All policies."""


@router.get("/policies", operation_id="adminListPolicies", summary="List policies")
async def list_policies(request: Request) -> PolicyList:
    """List policies, including those of the configuration file."""
    administration = administration_of(request)
    policies = (await administration.reader.read()).policies
    names = await administration.reader.declared_names()
    return PolicyList(data=[_describe(policies[name], names) for name in sorted(policies)])


@router.put(
    "/policies/{name}",
    operation_id="adminPutPolicy",
    summary="Create or replace a policy; all gateways apply it within a second",
)
async def put_policy(request: Request, name: _Name) -> PolicyEntry:
    """Create a policy, or replace all of it, unless the configuration file declares it."""
    fields = await read_fields(request, PutPolicyRequest)
    caches = fields.pop("cache", True)
    models = tuple(fields.pop("models", ()))
    policy = Policy(**{**fields, "name": name, "models": models, "caches": caches})
    await administration_of(request).put_policy(name_of_admin(request), policy)
    return _describe(policy, DeclaredNames())


@router.delete(
    "/policies/{name}",
    operation_id="adminRemovePolicy",
    summary="Remove a policy that no team and no key uses",
)
async def remove_policy(request: Request, name: _Name) -> Removed:
    """Remove a policy; one that a team or a key uses is a conflict."""
    await administration_of(request).remove_policy(name_of_admin(request), name)
    return Removed(object="policy", id=name)


def _describe(policy: Policy, names: DeclaredNames) -> PolicyEntry:
    return PolicyEntry(
        object="policy",
        name=policy.name,
        **{kind.name: policy.amount_of(kind) for kind in LIMITS},
        models=list(policy.models),
        max_n=policy.max_n,
        max_size=policy.max_size,
        cache=policy.caches,
        cache_scope=policy.cache_scope,
        equal_orders=policy.equal_orders,
        declared=names.has(policy),
    )
