"""Declare limits, policies and teams of the configuration file; the domain checks their values."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from service.domain.administration import MOST_N, is_size
from service.domain.callers import RESERVED_POLICIES, is_name
from service.domain.limits import MOST_COUNTED, MOST_MICROUSD


def _check_name(name: str) -> str:
    if not is_name(name):
        raise ValueError("a name is 1 to 40 of a-z, 0-9 and '-', and does not begin with '-'")
    return name


def _check_not_reserved(name: str) -> str:
    if name in RESERVED_POLICIES:
        raise ValueError(f"no policy may be called '{name}': it means something else in usage")
    return name


def _check_size(size: str) -> str:
    if size and not is_size(size):
        raise ValueError("write a size such as 1536x1024")
    return size


Counted = Annotated[int, Field(ge=0, le=MOST_COUNTED)]
Microusd = Annotated[int, Field(ge=0, le=MOST_MICROUSD)]
Name = Annotated[str, AfterValidator(_check_name)]
PolicyName = Annotated[Name, AfterValidator(_check_not_reserved)]
Size = Annotated[str, AfterValidator(_check_size)]


class Limits(BaseModel):
    """The limits of a policy, named as in `domain.limits.LIMITS`; 0 means no limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_min: Counted = 0
    """Requests a minute; 0 sets no limit."""
    images_per_min: Counted = 0
    """Images made a minute; 0 sets no limit."""
    images_per_day: Counted = 0
    """Images made a day (UTC); 0 sets no limit."""
    images_in_flight: Counted = 0
    """Images being made at the same time; 0 sets no limit."""
    budget_per_month_microusd: Microusd = 0
    """Spending a month (UTC), in millionths of a US dollar; 0 sets no limit."""


class DefaultPolicy(Limits):
    """Limits of every user without a policy."""

    requests_per_min: Counted = 600
    """Requests a minute; 0 sets no limit."""
    images_per_min: Counted = 120
    """Images made a minute; 0 sets no limit."""


class PolicyConfig(Limits):
    """A `[policies.<name>]` table of the configuration file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    models: list[str] = []
    """Models that may be ordered; an empty list allows all."""
    max_n: int = Field(0, ge=0, le=MOST_N)
    """Images in one order; 0 sets no limit."""
    max_size: Size = ""
    """Largest image in pixels, given as a size such as `1536x1024`; empty sets no limit."""
    cache: Literal["on", "off"] = "on"
    """If `off`, every order is paid for."""
    cache_scope: Literal["user", "team"] | None = None
    """Callers that share cached images. If unset, `GATEWAY_CACHE_SCOPE` decides."""
    equal_orders: Literal["differ", "share"] = "differ"
    """Images of [equal orders at once](equal-orders.md): different ones, or the same for all."""


class TeamConfig(BaseModel):
    """A `[teams.<name>]` table of the configuration file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: Name | None = None
    """Policy that limits the team as a whole."""
    user_policy: Name | None = None
    """Policy that limits each user of the team."""
    closed: bool = False
    """If `true`, the credentials of the team open nothing."""
