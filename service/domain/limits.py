"""Define every kind of limit in one table, `LIMITS`; policies, settings, routes, commands and counting follow it.

How to add one: a `Resource`, a row of `LIMITS`, a field of its name in `Policy` (`domain/callers.py`), and a line in
`adapters/redis/scripts/scopes.lua` (`read_use`, or `read_scope` for a rate). `make test ARGS="-k kind_of_limit"` names
each typed field, option and page that lacks it, and has Redis and the local share refuse an order by it;
`tests/test_settings_page.py` says how to write the generated page anew. A quantity that is not counted yet needs more in
`begin.lua` and `finish.lua`. A new `Window` needs a refusal text in `domain/errors.py` and a share in
`gateway/admission/local.py`; mypy asks for both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

MOST_COUNTED = 1_000_000_000
MOST_MICROUSD = 1_000_000_000_000_000
"""Far below the largest exact integer of Lua."""


class Resource(StrEnum):
    """The quantity a limit counts, by its name in Redis, metrics and error types."""

    REQUESTS = "requests"
    IMAGES = "images"
    IMAGES_PER_DAY = "images_per_day"
    IMAGES_IN_FLIGHT = "images_in_flight"
    BUDGET_PER_MONTH = "budget_per_month"


class Window(StrEnum):
    """The period of a limit; days and months are UTC."""

    MINUTE = "min"
    """A rate: its room comes back steadily (`domain/gcra.py`)."""
    DAY = "day"
    MONTH = "month"
    HELD = "held"
    """No period: the room comes back as images are finished."""


class Unit(StrEnum):
    """The unit of an amount. Images count by their weight, except those held."""

    REQUESTS = "requests"
    IMAGES = "images"
    MICROUSD = "microusd"


@dataclass(frozen=True, slots=True)
class LimitKind:
    """One kind of limit.

    *name* is the field of a policy, and so of settings, the configuration file, `/admin` and usage; an amount of
    money ends in `_microusd`. *column* heads its column in `image-gateway policies list`.
    """

    resource: Resource
    name: str
    window: Window
    unit: Unit
    column: str

    @property
    def option(self) -> str:
        """The parameter of `image-gateway policies set`, which takes money in dollars."""
        return self.name.removesuffix("_microusd")

    @property
    def words(self) -> str:
        """The name in refusals."""
        return self.option.replace("_", " ")

    @property
    def most(self) -> int:
        """The largest amount."""
        return MOST_MICROUSD if self.unit is Unit.MICROUSD else MOST_COUNTED

    @property
    def has_local_share(self) -> bool:
        """Tell if each process may use up a part of it while Redis is away: not of money, nor of a month."""
        return self.unit is not Unit.MICROUSD and self.window is not Window.MONTH


LIMITS = (
    LimitKind(Resource.REQUESTS, "requests_per_min", Window.MINUTE, Unit.REQUESTS, "requests/min"),
    LimitKind(Resource.IMAGES, "images_per_min", Window.MINUTE, Unit.IMAGES, "images/min"),
    LimitKind(Resource.IMAGES_PER_DAY, "images_per_day", Window.DAY, Unit.IMAGES, "images/day"),
    LimitKind(Resource.IMAGES_IN_FLIGHT, "images_in_flight", Window.HELD, Unit.IMAGES, "in flight"),
    LimitKind(
        Resource.BUDGET_PER_MONTH, "budget_per_month_microusd", Window.MONTH, Unit.MICROUSD, "USD/month"
    ),
)
"""All kinds, in the order of settings, columns and answers."""

RATES = tuple(kind.resource for kind in LIMITS if kind.window is Window.MINUTE)
"""Limits that refill steadily."""

_KINDS: Mapping[str, LimitKind] = {kind.resource: kind for kind in LIMITS}


def kind_of(resource: str) -> LimitKind:
    """Return the row of *resource*."""
    return _KINDS[resource]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """One limit to judge an order by: *scope* is the kind of its owner (`user`), *key* identifies the owner.

    *amount* is the bound, in the unit of its kind.
    """

    resource: Resource
    scope: str
    key: str
    amount: int
