"""Keep the leases of this process: what Redis granted its orders and they have not settled."""

from collections import Counter
from dataclasses import replace

from service.domain.limits import Window, kind_of
from service.domain.order import Ticket
from service.ports.admission import Ask, Grant, Lease, Settlement


class Leases(dict[str, Lease]):
    """The leases by fence, and those of keys by a name of their own."""

    def add(self, ask: Ask, grant: Grant) -> None:
        """Add what *grant* gave."""
        if ask.ticket.idempotency is not None:
            # An order holds its key while it only waits for others, too.
            self[_of_key(ask.ticket)] = Lease(ticket=ask.ticket, fence="")
        if grant.mine and not grant.degraded:
            self[ask.fence] = Lease(
                ticket=ask.ticket, fence=ask.fence, indices=grant.mine, granted=len(grant.mine)
            )

    def end(self, settlement: Settlement) -> bool:
        """Renew no more what *settlement* ends; returns False if the local share granted it."""
        if settlement.is_last:
            self.pop(_of_key(settlement.ticket), None)
        lease = self.get(settlement.fence)
        if lease is None:
            return False
        ended = {index for index, _ in settlement.made} | set(settlement.released)
        left = tuple(index for index in lease.indices if index not in ended)
        if left:
            self[settlement.fence] = replace(lease, indices=left)
        else:
            del self[settlement.fence]
        return True

    def claimed(self, pool: str | None) -> list[int]:
        """Return the indices of *pool* that are being made."""
        return [index for lease in self.values() if lease.ticket.pool == pool for index in lease.indices]

    def running(self, ticket: Ticket) -> Counter[tuple[str, str]]:
        """Return the images being made, by the name and key of each scope in which *ticket* has a limit of them."""
        limits = [limit for limit in ticket.limits if kind_of(limit.resource).window is Window.HELD]
        running: Counter[tuple[str, str]] = Counter()
        if not limits:
            return running
        counted = {(limit.scope, limit.key) for limit in limits}
        for lease in self.values():
            if lease.ticket.caller.team == ticket.caller.team:
                scopes = {(scope.name, scope.key) for scope in lease.ticket.caller.scopes}
                running.update(dict.fromkeys(scopes & counted, len(lease.indices)))
        return running


def _of_key(ticket: Ticket) -> str:
    return f"{ticket.id} key"
