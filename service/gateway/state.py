"""The shared state as use cases see it: Redis when it answers, a local share when not.

Owns the breaker, the fall-back and the outbox; nothing here ever waits longer than
the order book's own time-out.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from service.domain.callers import RATES, Resource
from service.domain.errors import PermissionDenied, RateLimited, StateUnavailable, Unauthenticated
from service.gateway.breaker import Breaker
from service.gateway.degraded import LocalShare
from service.gateway.flights import Flights
from service.ports import (
    Ask,
    Clock,
    Grant,
    Heartbeats,
    Lease,
    LimitDecided,
    OrderBook,
    Outbox,
    Settlement,
    StateFailed,
    Telemetry,
    Wakeups,
)

LEASE_S = 30.0
"""How long claims and holds live without renewal (design, section 5)."""

_ABOUT_KEYS = frozenset({"wrongtype", "response", "mixed_up"})
_REPLAY_S = 1.0
_REPLAYED_AT_ONCE = 100
_BEAT_S = 5.0

Argument = TypeVar("Argument")


class SharedState:
    """Admission, settlement and renewal for every order of a process."""

    def __init__(
        self, *, book: OrderBook, outbox: Outbox, clock: Clock, telemetry: Telemetry, local: LocalShare
    ) -> None:
        self._book = book
        self._outbox = outbox
        self._telemetry = telemetry
        self._local = local
        self._breaker = Breaker(clock)
        self._leases: dict[str, Lease] = {}

    @property
    def is_degraded(self) -> bool:
        """Whether Redis counts as gone."""
        return self._breaker.is_open

    async def begin(self, ask: Ask) -> Grant:
        """Admit an order, or a part of it that must be asked for again.

        Raises:
            RateLimited: a limit refused; nothing was charged.
            Unauthenticated: the caller's key is not valid any more.
            PermissionDenied: the caller's team is closed.
            StateUnavailable: Redis is away and this caller's money cannot be counted without it.
        """
        try:
            grant = await self._begin(ask)
        except RateLimited as refusal:
            self._telemetry.record(LimitDecided(decision=refusal.refused.resource, degraded=refusal.degraded))
            raise
        except StateUnavailable:
            # Without Redis only a budget refuses: nobody knows what is left of it.
            self._telemetry.record(LimitDecided(decision=Resource.BUDGET_PER_MONTH, degraded=True))
            raise
        if ask.round == 0:
            self._telemetry.record(LimitDecided(decision="allowed", degraded=grant.degraded))
        if grant.mine and not grant.degraded:
            self._leases[ask.fence] = Lease(
                id=ask.id,
                fence=ask.fence,
                team=ask.team,
                pool=ask.pool,
                indices=grant.mine,
                scopes=_holding_scopes(ask),
            )
        return grant

    async def finish(self, settlement: Settlement) -> None:
        """Settle a part of an order, now or, when Redis is away, later."""
        self._end_locally(settlement)
        try:
            is_settled = await self._try("finish", self._book.finish, settlement)
        except asyncio.CancelledError:
            # Whether it arrived is not known; sent twice it counts once.
            self._outbox.add(settlement)
            raise
        if not is_settled:
            self._outbox.add(settlement)

    def finish_later(self, settlement: Settlement) -> None:
        """Settle without waiting: for an order that is cut short."""
        self._end_locally(settlement)
        self._outbox.add(settlement)

    async def renew_forever(self) -> None:
        """Hold the claims of living orders."""
        while True:
            await asyncio.sleep(LEASE_S / 3)
            await self._try("renew", self._book.renew, list(self._leases.values()))

    async def replay_forever(self) -> None:
        """Send what Redis could not take, oldest first, once it answers again."""
        while True:
            await asyncio.sleep(_REPLAY_S)
            while await self._replay():
                pass

    async def _replay(self) -> bool:
        """Send some of what is kept; whether it is worth going on at once."""
        sent = 0
        pending = self._outbox.pending(_REPLAYED_AT_ONCE)
        for settlement in pending:
            if await self._try("replay", self._book.finish, settlement):
                self._outbox.remove([settlement])
                sent += 1
            elif self._breaker.is_open:
                return False
        return 0 < sent == _REPLAYED_AT_ONCE

    async def beat_forever(self, heartbeats: Heartbeats) -> None:
        """Tell that this process lives, and learn how many share the limits should Redis go away."""
        while True:
            await self._try("beat", self._beat, heartbeats)
            await asyncio.sleep(_BEAT_S)

    async def listen_forever(self, wakeups: Wakeups, flights: Flights) -> None:
        """Pass news from other processes to who waits here."""
        async for pool, index in wakeups.listen():
            flights.wake(pool, index)

    async def _begin(self, ask: Ask) -> Grant:
        if not self._breaker.allows():
            return _wait_on(ask) or self._local.begin(ask)
        try:
            grant = await self._book.begin(ask)
        except StateUnavailable as error:
            self._fail("begin", error)
            return _wait_on(ask) or self._begin_unheard(ask)
        except (RateLimited, Unauthenticated, PermissionDenied):
            self._breaker.succeed()
            raise
        self._breaker.succeed()
        if grant.foreign:
            self._telemetry.record(StateFailed(operation="begin", reason="foreign"))
        return grant

    def _begin_unheard(self, ask: Ask) -> Grant:
        """Admit locally after a question whose answer was lost: Redis may yet act on it.

        An order that makes something gives up in its own settlement what Redis gave
        it; one that makes nothing has none, so that is said here.
        """
        try:
            grant = self._local.begin(ask)
        except (RateLimited, StateUnavailable):
            self._outbox.add(_give_up(ask))
            raise
        if ask.n and not grant.mine:
            self._outbox.add(_give_up(ask))
        return grant

    async def _try(
        self, operation: str, call: Callable[[Argument], Awaitable[None]], argument: Argument
    ) -> bool:
        if not self._breaker.allows():
            return False
        try:
            await call(argument)
        except StateUnavailable as error:
            self._fail(operation, error)
            return False
        self._breaker.succeed()
        return True

    async def _beat(self, heartbeats: Heartbeats) -> None:
        self._local.share_among(await heartbeats.beat())

    def _fail(self, operation: str, error: StateUnavailable) -> None:
        # A key of the wrong kind is one team's trouble: the server answers.
        if error.reason not in _ABOUT_KEYS:
            self._breaker.fail()
        self._telemetry.record(StateFailed(operation=operation, reason=error.reason))

    def _end_locally(self, settlement: Settlement) -> None:
        self._local.finish(settlement)
        lease = self._leases.get(settlement.fence)
        if lease is None:
            return
        ended = {index for index, _ in settlement.made} | set(settlement.released)
        left = tuple(index for index in lease.indices if index not in ended)
        if left:
            self._leases[settlement.fence] = replace(lease, indices=left)
        else:
            del self._leases[settlement.fence]


def _wait_on(ask: Ask) -> Grant | None:
    """Let an order wait on for what others are making: Redis' silence is no reason to buy it again."""
    awaited = tuple(index for index in ask.awaiting if index >= 0)
    return Grant(ready=(), mine=(), awaited=awaited, limits=(), degraded=True) if awaited else None


def _give_up(ask: Ask) -> Settlement:
    return Settlement(
        id=ask.id,
        part=f"{ask.round}.unheard",
        fence=ask.fence,
        team=ask.team,
        user=ask.user,
        model=ask.model,
        realm=ask.realm,
        pool=ask.pool,
        limits=ask.limits,
        scopes=ask.scopes,
        weight=ask.weight,
        estimate_microusd=ask.estimate_microusd,
        released=(-1,),
    )


def _holding_scopes(ask: Ask) -> tuple[tuple[str, str], ...]:
    """Return the scopes that keep a hold for *ask*: those with a limit of more than a rate."""
    holding = ((limit.scope, limit.key) for limit in ask.limits if limit.resource not in RATES)
    return tuple(dict.fromkeys(holding))
