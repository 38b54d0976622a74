"""Offer the shared state to use cases: Redis when it answers, a local share when not.

Owns the breaker, the fall-back and the entries of the outbox. An order waits here for its turn
to ask; the order book's own time-out bounds every question, and an unanswered one is asked
once more.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from service.domain.errors import (
    IdempotencyMismatch,
    PermissionDenied,
    RateLimited,
    StateUnavailable,
    Unauthenticated,
)
from service.domain.limits import Resource
from service.domain.order import Ticket
from service.gateway.admission.breaker import Breaker
from service.gateway.admission.local import LocalShare
from service.gateway.admission.unheard import give_up, opens_key, wait_on
from service.ports.admission import Ask, Grant, Lease, Outbox, Settlement, SharedOrders
from service.ports.clock import Clock
from service.ports.processes import Heartbeats
from service.ports.telemetry import LimitDecided, StateFailed, Telemetry

REFUSALS = (RateLimited, Unauthenticated, PermissionDenied, IdempotencyMismatch)
"""Answers of the shared state that refuse an order."""

LEASE_S = 30.0
"""Lifetime of claims and holds without renewal."""

_GRACE_S = 3.0
"""Time after an outage in which lapsed claims still count: living processes are about to renew them."""
MOST_ASKING = 48
"""Orders that ask Redis at once."""
_UNHEARD = ("timeout", "connection", "pool")
_REPLAY_S = 1.0
_REPLAYED_AT_ONCE = 100
_BEAT_S = 5.0

Argument = TypeVar("Argument")


class SharedState:
    """Admission, settlement and renewal for every order of a process."""

    def __init__(
        self, *, book: SharedOrders, outbox: Outbox, clock: Clock, telemetry: Telemetry, local: LocalShare
    ) -> None:
        self._book = book
        self._outbox = outbox
        self._clock = clock
        self._telemetry = telemetry
        self._local = local
        self._breaker = Breaker(clock)
        self._is_back = asyncio.Event()
        self._back_at_s = -_GRACE_S
        self._turns = asyncio.Semaphore(MOST_ASKING)
        self._leases: dict[str, Lease] = {}
        self._foretold: set[tuple[str, str]] = set()

    @property
    def is_degraded(self) -> bool:
        """Tell if Redis counts as gone."""
        return self._breaker.is_open

    async def begin(self, ask: Ask) -> Grant:
        """Admit an order, or a part of it that must be asked for again.

        Raises:
            RateLimited: a limit refused; nothing was charged.
            Unauthenticated: the caller's key is not valid any more.
            PermissionDenied: the caller's team is closed.
            StateUnavailable: Redis is away, and the caller has a limit of money that only Redis counts.
        """
        try:
            grant = await self._begin(ask)
        except RateLimited as refusal:
            self._telemetry.record(LimitDecided(decision=refusal.refused.resource, degraded=refusal.degraded))
            raise
        except StateUnavailable:
            # Without Redis the rest of a budget and earlier uses of a key are unknown.
            decision = "idempotency" if ask.ticket.idempotency else Resource.BUDGET_PER_MONTH
            self._telemetry.record(LimitDecided(decision=decision, degraded=True))
            raise
        if grant.is_under_way or grant.conclusion is not None:
            return grant
        if ask.round == 0:
            self._telemetry.record(LimitDecided(decision="allowed", degraded=grant.degraded))
        if ask.ticket.idempotency is not None:
            # Also while it only waits for others: it holds its key as long as it lives.
            self._leases[_key_lease(ask.ticket)] = Lease(ticket=ask.ticket, fence="")
        if grant.mine and not grant.degraded:
            self._leases[ask.fence] = Lease(ticket=ask.ticket, fence=ask.fence, indices=grant.mine)
        return grant

    def foretell(self, settlement: Settlement, *, until_s: float) -> None:
        """Book *settlement* a lease after the instant *until_s*, unless the order finishes before.

        For grants of the local share: if this process is killed, no other one knows of them.
        """
        left_s = max(0.0, until_s - self._clock.monotonic_s())
        self._outbox.add(settlement, after_s=left_s + LEASE_S)
        self._foretold.add(_part(settlement))

    async def finish(self, settlement: Settlement) -> None:
        """Settle a part of an order: now, or later if Redis is away."""
        is_foretold = _part(settlement) in self._foretold
        self._end_locally(settlement)
        try:
            is_settled = await self._try("finish", self._book.finish, settlement) is None
        except asyncio.CancelledError:
            # It may have arrived; sent twice it counts once.
            self._outbox.add(settlement)
            raise
        if not is_settled:
            self._outbox.add(settlement)
        elif is_foretold:
            self._outbox.remove([settlement])

    def finish_later(self, settlement: Settlement) -> None:
        """Settle without waiting, for an order that is cut short."""
        self._end_locally(settlement)
        self._outbox.add(settlement)

    async def renew_forever(self) -> None:
        """Renew the claims of living orders; at once when Redis is back, since they may have lapsed meanwhile."""
        while True:
            self._is_back.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LEASE_S / 3):
                    await self._is_back.wait()
            await self._try("renew", self._book.renew, list(self._leases.values()))

    async def replay_forever(self) -> None:
        """Send settlements that Redis could not take, oldest first, once it answers again."""
        while True:
            await asyncio.sleep(_REPLAY_S)
            while await self._replay():
                pass

    async def _replay(self) -> bool:
        """Send some pending settlements; returns True to go on at once."""
        sent = 0
        pending = self._outbox.pending(_REPLAYED_AT_ONCE)
        for settlement in pending:
            obstacle = await self._try("replay", self._book.finish, settlement)
            if obstacle is None:
                self._outbox.remove([settlement])
                sent += 1
            elif obstacle.is_about_keys:
                # A settlement that cannot be taken goes behind the others.
                self._outbox.add(settlement)
            elif self._breaker.is_open:
                return False
        return 0 < sent == _REPLAYED_AT_ONCE

    async def beat_forever(self, heartbeats: Heartbeats) -> None:
        """Report that this process lives, and learn how many will share the limits if Redis goes away."""
        while True:
            await self._try("beat", self._beat, heartbeats)
            await asyncio.sleep(_BEAT_S)

    async def _begin(self, ask: Ask) -> Grant:
        # A burst waits here rather than for a connection, where it would look like a slow Redis.
        async with self._turns:
            return await self._begin_in_turn(ask)

    async def _begin_in_turn(self, ask: Ask) -> Grant:
        if self._breaker.is_open and not self._breaker.allows():
            if opens_key(ask):
                raise StateUnavailable("degraded")
            return wait_on(ask) or self._begin_locally(ask)
        try:
            grant = await self._ask_for_others(ask)
        except StateUnavailable as error:
            if opens_key(ask):
                # Give up any grant of Redis whose answer was lost; the key goes with it.
                self._outbox.add(give_up(ask))
                raise StateUnavailable("degraded") from error
            return wait_on(ask) or self._begin_unheard(ask)
        except asyncio.CancelledError:
            # No settlement of the order will name a grant whose answer was lost; without one, nothing changes.
            self._outbox.add(give_up(ask))
            raise
        except REFUSALS:
            self._succeed()
            raise
        self._succeed()
        if grant.foreign:
            self._telemetry.record(StateFailed(operation="begin", reason="foreign"))
        return grant

    async def _ask_for_others(self, ask: Ask) -> Grant:
        """Ask, and drop images the order has already: those of the local share have another index in Redis."""
        grant = await self._ask_twice(ask)
        if all(index >= 0 for index in ask.used):
            return grant
        had = self._local.digests_of(ask.used)
        again = tuple(variant.index for variant in grant.ready if variant.image.digest in had)
        if not again:
            return grant
        if grant.mine:
            # Claimed under this fence already; the order returns for the rest.
            others = tuple(variant for variant in grant.ready if variant.index not in again)
            return replace(grant, ready=others)
        return await self._ask_twice(replace(ask, used=(*ask.used, *again)))

    async def _ask_twice(self, ask: Ask) -> Grant:
        """Ask, and once more if no answer came: deciding alone may pay for images that exist or are being made."""
        try:
            return await self._ask_book(ask)
        except StateUnavailable as error:
            if error.reason not in _UNHEARD or self._breaker.is_open:
                raise
        return await self._ask_book(ask)

    async def _ask_book(self, ask: Ask) -> Grant:
        started_s = self._clock.monotonic_s()
        try:
            is_fresh = self._breaker.is_open or started_s - self._back_at_s < _GRACE_S
            return await self._book.begin(replace(ask, respects_lapsed=True) if is_fresh else ask)
        except StateUnavailable as error:
            self._fail("begin", error, started_s)
            raise

    def _begin_unheard(self, ask: Ask) -> Grant:
        """Admit locally after a question whose answer was lost: Redis may still act on it.

        An order that makes images gives up any grant of Redis in its own settlement; one that
        makes none has no settlement, so this sends it.
        """
        try:
            grant = self._begin_locally(ask)
        except (RateLimited, StateUnavailable):
            self._outbox.add(give_up(ask))
            raise
        if ask.n and not grant.mine:
            self._outbox.add(give_up(ask))
        return grant

    def _begin_locally(self, ask: Ask) -> Grant:
        """Admit from the local share; what Redis granted to living orders is still being made."""
        pool = ask.ticket.pool
        leases = (lease for lease in self._leases.values() if lease.ticket.pool == pool)
        return self._local.begin(ask, [index for lease in leases for index in lease.indices])

    async def _try(
        self, operation: str, call: Callable[[Argument], Awaitable[None]], argument: Argument
    ) -> StateUnavailable | None:
        """Return the failure, or None on success."""
        if self._breaker.is_open and not self._breaker.allows():
            return StateUnavailable("degraded")
        started_s = self._clock.monotonic_s()
        try:
            await call(argument)
        except StateUnavailable as error:
            self._fail(operation, error, started_s)
            return error
        self._succeed()
        return None

    async def _beat(self, heartbeats: Heartbeats) -> None:
        self._local.share_among(await heartbeats.beat())

    def _succeed(self) -> None:
        if self._breaker.is_open:
            self._back_at_s = self._clock.monotonic_s()
            self._is_back.set()
        if self._breaker.failures:
            self._breaker.succeed()

    def _fail(self, operation: str, error: StateUnavailable, since_s: float) -> None:
        # A key of the wrong type concerns one team: the server answers.
        if not error.is_about_keys:
            self._breaker.fail(since_s)
        self._telemetry.record(StateFailed(operation=operation, reason=error.reason))

    def _end_locally(self, settlement: Settlement) -> None:
        self._foretold.discard(_part(settlement))
        if settlement.is_last:
            self._leases.pop(_key_lease(settlement.ticket), None)
        lease = self._leases.get(settlement.fence)
        if lease is None:
            self._local.finish(settlement)
            return
        ended = {index for index, _ in settlement.made} | set(settlement.released)
        left = tuple(index for index in lease.indices if index not in ended)
        if left:
            self._leases[settlement.fence] = replace(lease, indices=left)
        else:
            del self._leases[settlement.fence]


def _part(settlement: Settlement) -> tuple[str, str]:
    return settlement.ticket.id, settlement.part


def _key_lease(ticket: Ticket) -> str:
    return f"{ticket.id} key"
