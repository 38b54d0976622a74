"""Renew the leases of living orders, and book the holds of dead processes, team by team.

Failure behaviour: closed. A failure of one team is raised once the others are renewed. While no process
renews, no lease lapses; whatever Redis lost of a living order is restored from its lease.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import orjson
from redis.asyncio import Redis

from service.adapters.redis import keys
from service.adapters.redis.client.commands import BoundedCommands, batches
from service.adapters.redis.client.script import Script, read_script
from service.domain.errors import StateUnavailable
from service.ports.admission import Lease
from service.ports.ledger import KEPT_DAYS

LEDGER_TTL_S = KEPT_DAYS * 86400
SWEPT_KEPT_S = 31 * 86400
"""Longest time for which a late settlement replaces the booking of a sweep."""
_SWEEP = 100
_OUTDATED_S = 86400


class Renewals:
    """Runs the scripts `renew` and `restore`; *hold_of* returns the hold of a lease as `begin.lua` writes it."""

    def __init__(
        self, client: Redis, *, timeout_s: float, lease_s: float, hold_of: Callable[[Lease], dict[str, Any]]
    ) -> None:
        self._client = client
        self._ask = BoundedCommands(client, timeout_s=timeout_s)
        self._lease_us = int(lease_s * 1e6)
        self._hold_of = hold_of
        renew, restore = (read_script("scopes", name) for name in ("renew", "restore"))
        self._renew = Script(client, renew, timeout_s=timeout_s, name="renew")
        self._restore = Script(client, restore, timeout_s=timeout_s, name="restore")
        self._visited: set[str] = set()

    async def renew(self, leases: Sequence[Lease], teams: AbstractSet[str]) -> None:
        """Renew *leases* of any team; *teams* are those that this process has served."""
        by_team: dict[str, list[Lease]] = {}
        for lease in leases:
            by_team.setdefault(lease.ticket.caller.team, []).append(lease)
        failure: StateUnavailable | None = None
        async for team in self._each_team(by_team.keys(), teams):
            try:
                await self._renew_team(team, by_team.get(team, []))
            except StateUnavailable as error:
                if not error.is_about_keys:
                    raise
                # The claims of other teams must not lapse for it.
                failure = error
        if failure is not None:
            raise failure

    async def _renew_team(self, team: str, leases: Sequence[Lease]) -> None:
        own = keys.of_team(team)
        pages = [*batches(leases)] or [()]
        for number, page in enumerate(pages, 1):
            names = _ScriptKeys(own.holds, own.hold_details, own.ledgers, own.pulse)
            arguments = {
                "lease_us": self._lease_us,
                "leases": [_lease_arguments(lease, names) for lease in page],
                "sweep": _SWEEP if number == len(pages) else 0,
                "ledger_ttl_s": LEDGER_TTL_S,
                "keep_s": SWEPT_KEPT_S,
                "channel": keys.CHANNEL,
            }
            missing = set(await self._renew.run(names.names, orjson.dumps(arguments)))
            for lease in page:
                if lease.fence.encode() in missing:
                    await self._restore_lease(own, lease)
        if team not in self._visited:
            for name in own.outdated:
                await self._ask(self._client.expire(name, _OUTDATED_S))
            self._visited.add(team)

    async def _restore_lease(self, own: keys.TeamKeys, lease: Lease) -> None:
        arguments = {
            "lease_us": self._lease_us,
            "fence": lease.fence,
            "hold": self._hold_of(lease),
        }
        names = (own.holds, own.hold_details, own.marker("ended", lease.fence))
        await self._restore.run(names, orjson.dumps(arguments))

    async def _each_team(self, living: AbstractSet[str], teams: AbstractSet[str]) -> AsyncIterator[str]:
        """Yield the teams of living orders first, then this process's other teams, then all known teams."""
        here = [*living, *(teams - living)]
        for team in here:
            yield team
        for team in (await self._ask.members(keys.SEEN)).difference(here):
            yield team


def _lease_arguments(lease: Lease, names: "_ScriptKeys") -> dict[str, object]:
    ticket, own = lease.ticket, keys.of_team(lease.ticket.caller.team)
    is_of_claims = bool(lease.fence)
    key = None if is_of_claims else ticket.idempotency
    return {
        "id": ticket.id,
        "fence": lease.fence,
        "pool": names.place(ticket.pool) if ticket.pool and is_of_claims else 0,
        "record": names.place(own.idempotency(key.key)) if key else 0,
        "indices": lease.indices,
    }


class _ScriptKeys:
    """The names of a script's KEYS; each has one position, counted from 1 as Lua does."""

    def __init__(self, *names: str) -> None:
        self._places = {name: place for place, name in enumerate(names, 1)}

    @property
    def names(self) -> list[str]:
        return list(self._places)

    def place(self, name: str) -> int:
        """Return the position of *name*, which is added if missing."""
        return self._places.setdefault(name, len(self._places) + 1)
