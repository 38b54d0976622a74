"""Limits, policies and teams as an operator writes them; what they may be is the domain's, as for `/admin`."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from service.domain.administration import MOST_COUNTED, MOST_MICROUSD, MOST_N, is_size
from service.domain.callers import RESERVED_POLICIES, is_name


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
        raise ValueError("it is a size such as 1536x1024")
    return size


Counted = Annotated[int, Field(ge=0, le=MOST_COUNTED)]
Microusd = Annotated[int, Field(ge=0, le=MOST_MICROUSD)]
Name = Annotated[str, AfterValidator(_check_name)]
PolicyName = Annotated[Name, AfterValidator(_check_not_reserved)]
Size = Annotated[str, AfterValidator(_check_size)]


class Limits(BaseModel):
    """The limits of a policy; 0 means no such limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_min: Counted = 0
    images_per_min: Counted = 0
    images_per_day: Counted = 0
    images_in_flight: Counted = 0
    budget_per_month_microusd: Microusd = 0


class DefaultPolicy(Limits):
    """Limits of every user without a policy of their own."""

    requests_per_min: Counted = 600
    images_per_min: Counted = 120


class PolicyConfig(Limits):
    """A `[policies.<name>]` table of the configuration file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    models: list[str] = []
    """Models that may be asked for; empty: all."""
    max_n: int = Field(0, ge=0, le=MOST_N)
    max_size: Size = ""
    """As many pixels as one image may have at most, such as `1536x1024`."""
    cache: Literal["on", "off"] = "on"
    cache_scope: Literal["user", "team"] | None = None


class TeamConfig(BaseModel):
    """A `[teams.<name>]` table: which policy limits the team as a whole, and which each of its users."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: Name | None = None
    user_policy: Name | None = None
    closed: bool = False
