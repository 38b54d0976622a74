"""Renew the leases of living orders, and book the holds of dead processes: one script for each team.

Failure behaviour: closed; claims expire if it lasts. A failure of one team is raised once the others are renewed.
"""

from collections.abc import AsyncIterator, Sequence
from collections.abc import Set as AbstractSet

import orjson
from redis.asyncio import Redis

from service.adapters.redis import keys
from service.adapters.redis.client.commands import BoundedCommands
from service.adapters.redis.client.script import Script, read_script
from service.domain.errors import StateUnavailable
from service.domain.limits import RATES
from service.ports.admission import Lease
from service.ports.clock import Calendar
from service.ports.ledger import KEPT_DAYS

LEDGER_TTL_S = KEPT_DAYS * 86400
SETTLED_MARKER_S = 86400
"""Longest time in a journal after which a settlement is still not booked twice."""
_SWEEP = 100


class Renewals:
    """Runs the script `renew`."""

    def __init__(self, client: Redis, *, clock: Calendar, timeout_s: float, lease_s: float) -> None:
        self._client = client
        self._clock = clock
        self._ask = BoundedCommands(client, timeout_s=timeout_s)
        self._lease_us = int(lease_s * 1e6)
        self._renew = Script(client, read_script("scopes", "renew"), timeout_s=timeout_s)

    async def renew(self, leases: Sequence[Lease], teams: AbstractSet[str]) -> None:
        """Renew *leases* of any team; *teams* are those that this process has served."""
        failure: StateUnavailable | None = None
        async for team in self._each_team(leases, teams):
            try:
                await self._renew_team(team, leases)
            except StateUnavailable as error:
                if not error.is_about_keys:
                    raise
                # The claims of other teams must not lapse for it.
                failure = error
        if failure is not None:
            raise failure

    async def _renew_team(self, team: str, leases: Sequence[Lease]) -> None:
        own = keys.of_team(team)
        names = _ScriptKeys(own.holds, own.hold_details, own.ledger(self._clock.today()))
        arguments = {
            "lease_us": self._lease_us,
            "leases": [
                _lease_arguments(lease, names) for lease in leases if lease.ticket.caller.team == team
            ],
            "sweep": _SWEEP,
            "ledger_ttl_s": LEDGER_TTL_S,
            "keep_s": SETTLED_MARKER_S,
        }
        await self._renew.run(names.names, orjson.dumps(arguments))

    async def _each_team(self, leases: Sequence[Lease], teams: AbstractSet[str]) -> AsyncIterator[str]:
        """Yield the teams of living orders first, then this process's other teams, then all known teams."""
        living = dict.fromkeys(lease.ticket.caller.team for lease in leases)
        here = [*living, *(teams - living.keys())]
        for team in here:
            yield team
        for team in (await self._ask.members(keys.SEEN)).difference(here):
            yield team


def _lease_arguments(lease: Lease, names: "_ScriptKeys") -> dict[str, object]:
    ticket, own = lease.ticket, keys.of_team(lease.ticket.caller.team)
    is_of_claims = bool(lease.fence)
    key = None if is_of_claims else ticket.idempotency
    # Only scopes with a limit other than a rate have a hold.
    holding = {(limit.scope, limit.key) for limit in ticket.limits if limit.resource not in RATES}
    scopes = [scope for scope in ticket.caller.scopes if is_of_claims and (scope.name, scope.key) in holding]
    return {
        "id": ticket.id,
        "fence": lease.fence,
        "pool": names.place(ticket.pool) if ticket.pool and is_of_claims else 0,
        "record": names.place(own.idempotency(key.key)) if key else 0,
        "indices": lease.indices,
        "scopes": [names.place(name) for name in own.limits(scopes)],
    }


class _ScriptKeys:
    """The names of a script's KEYS; each has one position, counted from 1 as Lua does."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)

    def place(self, name: str) -> int:
        """Return the position of *name*, which is added if missing."""
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name) + 1
