"""Limits, policies and teams as an operator writes them."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from service.domain.callers import RESERVED_POLICIES


class Limits(BaseModel):
    """The limits of a policy; 0 means no such limit."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    requests_per_min: int = Field(0, ge=0)
    images_per_min: int = Field(0, ge=0)
    images_per_day: int = Field(0, ge=0)
    images_in_flight: int = Field(0, ge=0)
    budget_per_month_microusd: int = Field(0, ge=0)


class DefaultPolicy(Limits):
    """Limits of every user without a policy of their own."""

    requests_per_min: int = Field(600, ge=0)
    images_per_min: int = Field(120, ge=0)


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")]


def _check_not_reserved(name: str) -> str:
    if name in RESERVED_POLICIES:
        raise ValueError(f"no policy may be called '{name}': it means something else in usage")
    return name


PolicyName = Annotated[Name, AfterValidator(_check_not_reserved)]


class PolicyConfig(Limits):
    """A `[policies.<name>]` table of the configuration file."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    models: list[str] = []
    """Models that may be asked for; empty: all."""
    max_n: int = Field(0, ge=0, le=10)
    max_size: str = Field("", pattern=r"^([1-9][0-9]{1,4}x[1-9][0-9]{1,4})?$")
    """As many pixels as one image may have at most, such as `1536x1024`."""
    cache: Literal["on", "off"] = "on"
    cache_scope: Literal["user", "team"] | None = None


class TeamConfig(BaseModel):
    """A `[teams.<name>]` table: which policy limits the team as a whole, and which each of its users."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    policy: Name | None = None
    user_policy: Name | None = None
    closed: bool = False
