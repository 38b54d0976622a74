"""`/admin/policies`: create, replace, remove and list."""

from typing import Annotated, Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr

from service.domain.administration import MOST_N
from service.domain.callers import DeclaredNames, Policy
from service.domain.limits import LIMITS, MOST_COUNTED, MOST_MICROUSD
from service.http.admin.removed import Removed
from service.http.admin.requests import administration_of, body_of, make_router, name_of_admin, read_fields

_Amount = Annotated[StrictInt, Field(0, json_schema_extra={"minimum": 0, "maximum": MOST_COUNTED})]
_Microusd = Annotated[
    StrictInt, Field(0, json_schema_extra={"minimum": 0, "maximum": MOST_MICROUSD, "format": "int64"})
]

router = make_router()


class PutPolicyRequest(BaseModel):
    """Body of `PUT /admin/policies/{name}`; replaces the policy. 0 or a missing field means no such limit."""

    model_config = ConfigDict(extra="forbid")

    requests_per_min: _Amount
    images_per_min: _Amount
    images_per_day: _Amount
    images_in_flight: _Amount
    budget_per_month_microusd: _Microusd
    models: list[StrictStr] = Field([], description="Models that may be asked for; empty: all.")
    max_n: StrictInt = Field(0, json_schema_extra={"minimum": 0, "maximum": MOST_N})
    max_size: StrictStr = Field("", examples=["1536x1024"], description="As many pixels at most.")
    cache: StrictBool = Field(True, description="Whether orders read and fill the cache.")
    cache_scope: StrictStr | None = Field(None, json_schema_extra={"enum": ["user", "team", None]})


class PolicyEntry(BaseModel):
    """A policy; one that is declared in the configuration file cannot be changed here."""

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
    declared: bool


class PolicyList(BaseModel):
    """All policies."""

    object: Literal["list"] = "list"
    data: list[PolicyEntry]


@router.get("/policies", operation_id="adminListPolicies", summary="List policies")
async def list_policies(request: Request) -> PolicyList:
    """List policies, declared and made."""
    administration = administration_of(request)
    policies = (await administration.reader.read()).policies
    names = await administration.reader.declared_names()
    return PolicyList(data=[_describe(policies[name], names) for name in sorted(policies)])


@router.put(
    "/policies/{name}",
    operation_id="adminPutPolicy",
    summary="Make a policy or replace it; in force everywhere within a second",
    openapi_extra=body_of(PutPolicyRequest),
)
async def put_policy(request: Request, name: str) -> PolicyEntry:
    """Replace a policy."""
    fields = await read_fields(request, PutPolicyRequest)
    caches = fields.pop("cache", True)
    models = tuple(fields.pop("models", ()))
    policy = Policy(**{**fields, "name": name, "models": models, "caches": caches})
    await administration_of(request).put_policy(name_of_admin(request), policy)
    return _describe(policy, DeclaredNames())


@router.delete(
    "/policies/{name}",
    operation_id="adminRemovePolicy",
    summary="Remove a policy that no team and no key is under",
)
async def remove_policy(request: Request, name: str) -> Removed:
    """Remove a policy."""
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
        declared=names.has(policy),
    )
