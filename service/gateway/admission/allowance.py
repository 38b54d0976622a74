"""Read the current state of a caller's limits, and judge an order by it.

Failure behaviour: closed: a local share would be a guess.
"""

from dataclasses import dataclass
from uuid import uuid4

from service.domain.callers import Caller
from service.domain.errors import LimitState, RateLimited, StateUnavailable
from service.domain.images import Realm
from service.domain.limits import RATES, Unit, Window, kind_of
from service.domain.order import CacheControl, Origin, Price, Ticket
from service.gateway.admission.shared import SharedState
from service.ports.admission import Ask

_ORDERS_NOTHING = CacheControl(only_if_cached=True)


@dataclass(frozen=True, slots=True)
class Allowance:
    """Reads limits from the shared state."""

    state: SharedState

    async def read(self, caller: Caller) -> tuple[LimitState, ...]:
        """Return the state of every limit of *caller*, by an ask that each limit judges and none charges."""
        ticket = Ticket(
            id=uuid4().hex,
            caller=caller,
            model="",
            realm=Realm.LIVE,
            pool=None,
            limits=caller.limits,
            price=Price(),
            origin=Origin(),
        )
        ask = Ask(ticket=ticket, round=1, fence=f"{ticket.id}.1", n=0, cache=_ORDERS_NOTHING)
        grant = await self.state.begin(ask)
        if grant.degraded:
            raise StateUnavailable("degraded")
        return grant.limits


_HELD_WAIT_S = 1.0
"""A guess: the end of other orders is unknown."""
_MINUTE_S = 60.0


def find_refusal(limits: tuple[LimitState, ...], n: int, price: Price) -> RateLimited | None:
    """Return the refusal of an order for *n* new images of *price* by *limits*, as Redis would decide now (`begin.lua`).

    Of several, the one that lasts longest.
    """
    waits_s = [(limit, _wait_s(limit, n, price)) for limit in limits]
    refused, wait_s = max(waits_s, key=lambda each: each[1], default=(None, 0.0))
    if refused is None or wait_s <= 0:
        return None
    return RateLimited(refused, retry_after_s=wait_s, limits=limits, image_microusd=price.microusd)


def _wait_s(limit: LimitState, n: int, price: Price) -> float:
    """Return the time until *limit* has room, 0 if it has."""
    kind = kind_of(limit.resource)
    of_image = {
        Unit.REQUESTS: 0,
        Unit.IMAGES: 1 if kind.window is Window.HELD else price.weight,
        Unit.MICROUSD: price.microusd or 0,
    }[kind.unit]
    # A request counts once. An image without a price needs a budget that is not used up.
    wanted = max(1, n * of_image)
    if limit.remaining >= wanted:
        return 0.0
    if kind.resource in RATES:
        return limit.reset_s - (limit.limit - wanted) * _MINUTE_S / limit.limit
    return limit.reset_s or _HELD_WAIT_S
