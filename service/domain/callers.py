"""Define callers: roles, policies, and the scopes an order counts against.

An order counts against several scopes at once (its user, its key, its team), each with its own policy;
every limit of every scope must have room. Owns the checks that need no state; `adapters/redis` counts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Literal

from service.domain.errors import InvalidOrder, ModelNotAllowed
from service.domain.limits import LIMITS, Limit, LimitKind, Unit, Window

TOKEN_PREFIX = "ig_"  # noqa: S105 - the beginning of every key
_TOKEN = re.compile(r"ig_[A-Za-z0-9_-]{43}")
NAME_PATTERN = "[a-z0-9][a-z0-9-]{0,39}"
_NAME = re.compile(NAME_PATTERN)


class Role(StrEnum):
    """The rights of credentials: to order, to order for named users, to administer."""

    USER = "user"
    SERVICE = "service"
    ADMIN = "admin"


CacheScope = Literal["user", "team"]
"""Callers who share the images of equal orders: each user alone, or all of a team."""

EqualOrders = Literal["differ", "share"]
"""The images of equal orders that a caller sends at once: different ones, or the same (see `fanout_window`)."""


# Without slots, as there are few, and each order asks for their bounds.
@dataclass(frozen=True, kw_only=True)
class Policy:
    """A named set of limits and rules; 0, empty and None mean no such limit.

    Amounts are named as in `domain.limits.LIMITS`, which has their units. *models* are the allowed asked
    models; *max_size* (`1536x1024`) bounds the pixels of one image; *caches* False keeps orders out of the
    cache.
    """

    name: str = "default"
    requests_per_min: int = 0
    images_per_min: int = 0
    images_per_day: int = 0
    images_in_flight: int = 0
    budget_per_month_microusd: int = 0
    models: tuple[str, ...] = ()
    max_n: int = 0
    max_size: str = ""
    caches: bool = True
    cache_scope: CacheScope | None = None
    equal_orders: EqualOrders = "differ"

    def amount_of(self, kind: LimitKind) -> int:
        """Return the amount of one kind of limit, 0 if it is not set."""
        amount: int = getattr(self, kind.name)
        return amount

    @cached_property
    def bounds(self) -> tuple[tuple[LimitKind, int], ...]:
        """Every limit that is set, with its amount."""
        amounts = [(kind, self.amount_of(kind)) for kind in LIMITS]
        return tuple([(kind, amount) for kind, amount in amounts if amount > 0])

    @cached_property
    def budgets(self) -> tuple[tuple[LimitKind, int], ...]:
        """Every limit of money that is set, with its amount."""
        return tuple([(kind, amount) for kind, amount in self.bounds if kind.unit is Unit.MICROUSD])


NO_POLICY = Policy(name="none")
RESERVED_POLICIES = frozenset({Policy().name, NO_POLICY.name})
"""Names of the gateway's default and of no policy in usage, which no policy of an admin may have."""

OPEN_TEAM = "open"
"""The team of callers without credentials, in open mode."""
ADMIN_TEAM = "admin"
"""The team of the operator's own key."""
RESERVED_TEAMS = frozenset({OPEN_TEAM, ADMIN_TEAM})
"""The gateway's own teams, which no other caller may join."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """A team: *policy* limits it as a whole, *user_policy* each of its users; both are names."""

    name: str
    policy: str | None = None
    user_policy: str | None = None
    is_closed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """All policies and teams, by name."""

    policies: Mapping[str, Policy] = field(default_factory=dict)
    teams: Mapping[str, Team] = field(default_factory=dict)

    def under(self, above: "Directory") -> "Directory":
        """Return both directories as one, in which *above* takes precedence."""
        return Directory(policies={**self.policies, **above.policies}, teams={**self.teams, **above.teams})


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredNames:
    """The names that a gateway's configuration file declares, which admins cannot change."""

    policies: frozenset[str] = frozenset()
    teams: frozenset[str] = frozenset()
    models: frozenset[str] = frozenset()

    def has(self, entry: Policy | Team) -> bool:
        """Tell if the file declares a policy or a team of this name."""
        return entry.name in (self.policies if isinstance(entry, Policy) else self.teams)

    def joined(self, other: "DeclaredNames") -> "DeclaredNames":
        """Return the names that either declares."""
        return DeclaredNames(
            policies=self.policies | other.policies,
            teams=self.teams | other.teams,
            models=self.models | other.models,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """The record of an API key, without the key itself.

    *user* is the name an admin gave; *hint* has its first and last characters. *expires_s* 0 means never.
    *secret_mark* marks the secret it was hashed with; empty for keys of earlier versions.
    """

    id: str
    team: str
    user: str
    role: Role
    hint: str
    created_s: int
    policy: str | None = None
    expires_s: int = 0
    secret_mark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """One scope that an order counts against: *name* is its kind, *key* identifies it."""

    name: Literal["user", "key", "team"]
    key: str
    policy: Policy


# Without slots, as one is kept for many orders, which ask for its limits.
@dataclass(frozen=True, kw_only=True)
class Caller:
    """The sender of an order. *user* is a keyed hash; *key_id* names the API key, checked again before spending.

    *holder* names who takes turns at what all callers share in a process; no caller can invent it.
    """

    team: str
    user: str
    scopes: tuple[Scope, ...] = ()
    key_id: str | None = None
    role: Role = Role.USER
    holder: str = ""

    def pool_scope(self, default: CacheScope) -> str | None:
        """Return the scope in the team that shares cached images, the narrowest; None if a policy forbids the cache."""
        if not all(scope.policy.caches for scope in self.scopes):
            return None
        is_own = default == "user" or any(scope.policy.cache_scope == "user" for scope in self.scopes)
        return f"user-{self.user}" if is_own else "team"

    @cached_property
    def limits(self) -> tuple[Limit, ...]:
        """Every limit that an order counts against."""
        return tuple(
            [
                Limit(resource=kind.resource, scope=scope.name, key=scope.key, amount=amount)
                for scope in self.scopes
                for kind, amount in scope.policy.bounds
            ]
        )

    @cached_property
    def equal_orders(self) -> EqualOrders:
        """The rule for equal orders at once: one policy suffices to share."""
        return "share" if any(scope.policy.equal_orders == "share" for scope in self.scopes) else "differ"

    @property
    def has_budget(self) -> bool:
        """Tell if a limit of money applies."""
        return any(scope.policy.budgets for scope in self.scopes)


def is_token(text: str) -> bool:
    """Tell if *text* has the form of an API key; other texts need no look-up."""
    return _TOKEN.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Tell if *text* can name a team or a policy: 1 to 40 of `a-z0-9-`, no `-` in front."""
    return _NAME.fullmatch(text) is not None


def hint_of(token: str) -> str:
    """Return the part of an API key that may be shown: its prefix and last four characters."""
    return f"{token[:7]}…{token[-4:]}"


def check_policies(caller: Caller, *, model: str, n: int, pixels: int, weight: int) -> None:
    """Check an order for *n* images of at most *pixels* each against every policy of *caller*.

    *weight* is the number that one image counts for. Refuses orders that could never be admitted.

    Raises:
        ModelNotAllowed: a policy does not allow *model*.
        InvalidOrder: for n or size.
    """
    for scope in caller.scopes:
        policy = scope.policy
        if policy.models and model not in policy.models:
            raise ModelNotAllowed(model, scope.name)
        if 0 < policy.max_n < n:
            raise _too_many(f"this {scope.name} may order at most {policy.max_n} images at once", n)
        if policy.max_size and pixels > _pixels(policy.max_size):
            raise InvalidOrder(
                f"Invalid 'size': this {scope.name} may order at most as many pixels as {policy.max_size} has.",
                param="size",
                code="invalid_size",
            )
        _check_images(scope, n, weight)


def check_budgets(caller: Caller, n: int, estimate_microusd: int) -> None:
    """Check that an unused budget could pay for *n* images of an estimated price each; raises `InvalidOrder`."""
    for scope in caller.scopes:
        for kind, budget in scope.policy.budgets:
            if budget < n * estimate_microusd:
                raise InvalidOrder(
                    f"This order is estimated at ${n * estimate_microusd / 1e6:.6f}, but this {scope.name} may spend "
                    f"${budget / 1e6:.6f} a {kind.window}. Order fewer images, a lower quality or a smaller size.",
                    param="n" if n > 1 else None,
                    code="budget_too_small",
                )


def _check_images(scope: Scope, n: int, weight: int) -> None:
    """Check that each unused limit of images in *scope* has room for *n* images."""
    for kind, amount in scope.policy.bounds:
        is_held = kind.window is Window.HELD
        if kind.unit is Unit.IMAGES and amount < n * (1 if is_held else weight):
            words = f"{kind.unit} at a time" if is_held else kind.words
            counted = f", each counting as {weight}" if weight > 1 else ""
            raise _too_many(f"this {scope.name} may make at most {amount} {words}{counted}", n)


def _too_many(rule: str, n: int) -> InvalidOrder:
    return InvalidOrder(f"Invalid 'n': {rule}, but n is {n}.", param="n", code="integer_above_max_value")


def _pixels(size: str) -> int:
    width, _, height = size.partition("x")
    return int(width) * int(height)
