"""Read the current state of a caller's limits. Failure behaviour: closed: a local share would be a guess."""

from dataclasses import dataclass
from uuid import uuid4

from service.domain.callers import Caller, limits_of
from service.domain.errors import LimitState, StateUnavailable
from service.domain.images import Realm
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
            limits=limits_of(caller),
            price=Price(),
            origin=Origin(),
        )
        ask = Ask(ticket=ticket, round=1, fence=f"{ticket.id}.1", n=0, cache=_ORDERS_NOTHING)
        grant = await self.state.begin(ask)
        if grant.degraded:
            raise StateUnavailable("degraded")
        return grant.limits
