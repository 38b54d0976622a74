"""Offer the shared state to use cases: Redis when it answers, a local share when not.

Owns the breaker and the fall-back; `pending.py` keeps what Redis does not take. An order waits here for its turn to
ask; the port's own time-out bounds every ask, and an unanswered one is repeated once.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from service.domain.errors import (
    IdempotencyMismatch,
    PermissionDenied,
    RateLimited,
    StateUnavailable,
    Unauthenticated,
)
from service.domain.limits import kind_of
from service.gateway.admission.breaker import Breaker
from service.gateway.admission.leases import Leases
from service.gateway.admission.local import LocalShare
from service.gateway.admission.pending import Pending
from service.gateway.admission.unanswered import give_up, opens_key, wait_on
from service.ports.admission import Ask, Grant, Journal, Settlement, SharedOrders
from service.ports.clock import Clock
from service.ports.processes import Heartbeats
from service.ports.telemetry import LimitDecided, StateBack, StateFailed, Telemetry

REFUSALS = (RateLimited, Unauthenticated, PermissionDenied, IdempotencyMismatch)
"""Answers of the shared state that refuse an order."""

LEASE_S = 30.0
"""Lifetime of claims and holds without renewal."""

MOST_ASKING = 48
"""Most orders that ask Redis at once."""

_WAITS = StateUnavailable("degraded")
_RENEW_AGAIN_S = 1.0
"""Redis frees what runs if a process returns from an outage more than half a lease after another."""
_BEAT_S = 5.0

Argument = TypeVar("Argument")


class SharedState:
    """Admission, settlement and renewal for every order of a process."""

    def __init__(
        self, *, book: SharedOrders, journal: Journal, clock: Clock, telemetry: Telemetry, local: LocalShare
    ) -> None:
        self._book = book
        self._clock = clock
        self._telemetry = telemetry
        self._local = local
        self._breaker = Breaker(clock)
        self._trouble = StateUnavailable("degraded")
        self._is_back = asyncio.Event()
        self._turns = asyncio.Semaphore(MOST_ASKING)
        self._leases = Leases()
        send = partial(self._try, "replay", book.finish)
        self.pending = Pending(
            journal=journal, clock=clock, telemetry=telemetry, breaker=self._breaker, send=send
        )

    @property
    def is_degraded(self) -> bool:
        """Tell if Redis counts as gone."""
        return self._breaker.is_open

    @property
    def trouble(self) -> str | None:
        """Return the reason of the latest failure while Redis counts as gone."""
        return self._trouble.reason if self._breaker.is_open else None

    def start_without(self, error: StateUnavailable) -> None:
        """Count Redis as gone from the start, until it answers a probe: *error* is that of its first use."""
        if not error.is_about_keys:
            self._breaker.open()
            self._trouble = error

    async def begin(self, ask: Ask) -> Grant:
        """Admit an order, or a part of it that must be asked for again. Raises as `SharedOrders.begin` does.

        `StateUnavailable` concerns only keys and limits of money: the local share admits all else.
        """
        team = ask.ticket.caller.team
        try:
            # A burst waits here rather than for a connection, where it would look like a slow Redis.
            async with self._turns:
                grant = await self._begin(ask)
        except RateLimited as refusal:
            refused = refusal.refused
            self._telemetry.record(
                LimitDecided(
                    decision="refused",
                    team=team,
                    degraded=refusal.degraded,
                    limit=refused.resource,
                    scope=refused.scope,
                    limits=refusal.limits,
                )
            )
            raise
        except StateUnavailable:
            # Without Redis, the rest of a budget and earlier uses of a key are unknown.
            if opens_key(ask):
                fact = LimitDecided(decision="refused", team=team, degraded=True, limit="idempotency")
            else:
                limits = ask.ticket.limits
                scope = next(each.scope for each in limits if not kind_of(each.resource).has_local_share)
                fact = LimitDecided(
                    decision="refused", team=team, degraded=True, limit="budget_unknown", scope=scope
                )
            self._telemetry.record(fact)
            raise
        if grant.is_under_way or grant.conclusion is not None:
            return grant
        if ask.round == 0:
            self._telemetry.record(
                LimitDecided(decision="allowed", team=team, degraded=grant.degraded, limits=grant.limits)
            )
        self._leases.add(ask, grant)
        return grant

    async def finish(self, settlement: Settlement) -> None:
        """Settle a part of an order: now, or later if Redis is away."""
        was_leased = self._leases.end(settlement)
        try:
            if settlement.is_last and self.pending.has_parts(settlement.ticket.id):
                # Before the others, it would conclude its key with images that Redis does not know.
                await self.pending.put_off(settlement, _WAITS)
            elif obstacle := await self._try("finish", self._book.finish, settlement):
                await self.pending.put_off(settlement, obstacle)
            elif not was_leased:
                self.pending.forget_ahead(settlement)
        except asyncio.CancelledError:
            self.pending.add(settlement, may_have_arrived=True)
            raise
        finally:
            if not was_leased:
                # Only now: an equal order that begins before would make the image again.
                self._local.finish(settlement)

    def finish_later(self, settlement: Settlement) -> None:
        """Settle through the journal, without waiting."""
        if not self._leases.end(settlement):
            self._local.finish(settlement)
        self.pending.add(settlement)

    async def renew_forever(self) -> None:
        """Renew the leases of running orders; soon after an outage, before any lapses."""
        pause_s = _RENEW_AGAIN_S if self.is_degraded else LEASE_S / 3
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._is_back.wait()
            # Before the renewal: an outage may end while it fails.
            self._is_back.clear()
            obstacle = await self._try("renew", self._book.renew, list(self._leases.values()))
            pause_s = _RENEW_AGAIN_S if obstacle and not obstacle.is_about_keys else LEASE_S / 3

    async def beat_forever(self, heartbeats: Heartbeats) -> None:
        """Report that this process lives, and learn how many share the limits during an outage."""
        while True:
            await self._try("beat", self._beat, heartbeats)
            await asyncio.sleep(_BEAT_S)

    async def _begin(self, ask: Ask) -> Grant:
        if self._breaker.is_open and not self._breaker.allows():
            if opens_key(ask):
                raise StateUnavailable("degraded")
            return wait_on(ask) or self._begin_locally(ask)
        try:
            grant = await self._ask_for_new(ask)
        except StateUnavailable as error:
            if opens_key(ask):
                self.pending.add(give_up(ask))
                raise StateUnavailable("degraded") from error
            return wait_on(ask) or self._begin_unanswered(ask)
        except asyncio.CancelledError:
            self.pending.add(give_up(ask))
            raise
        except REFUSALS:
            self._succeed(wrote=False)
            raise
        self._succeed(wrote=bool(grant.mine))
        if grant.foreign:
            self._telemetry.record(StateFailed(operation="begin", reason="foreign"))
        return grant

    async def _ask_for_new(self, ask: Ask) -> Grant:
        """Ask, and drop images the order has already: those of the local share have another index in Redis."""
        grant = await self._ask_twice(ask)
        if all(index >= 0 for index in ask.used):
            return grant
        digests = self._local.digests_of(ask.used)
        known = tuple(variant.index for variant in grant.ready if variant.image.digest in digests)
        if known and not grant.mine:
            return await self._ask_twice(replace(ask, used=(*ask.used, *known)))
        # Indices are claimed under this fence already: the order asks again for the rest.
        return replace(grant, ready=tuple(each for each in grant.ready if each.index not in known))

    async def _ask_twice(self, ask: Ask) -> Grant:
        """Ask, and once more without an answer: deciding alone may pay for images that exist or are being made."""
        try:
            return await self._ask_book(ask)
        except StateUnavailable as error:
            if not error.is_unanswered or self._breaker.is_open:
                raise
        return await self._ask_book(ask)

    async def _ask_book(self, ask: Ask) -> Grant:
        started_s = self._clock.monotonic_s()
        try:
            return await self._book.begin(ask)
        except StateUnavailable as error:
            self._fail("begin", error, started_s)
            raise

    def _begin_unanswered(self, ask: Ask) -> Grant:
        """Admit locally after an ask without an answer, and give up the grant that Redis may have made.

        The settlement of an order that makes images does that; one that makes none has no settlement.
        """
        try:
            grant = self._begin_locally(ask)
        except (RateLimited, StateUnavailable):
            self.pending.add(give_up(ask))
            raise
        if ask.n and not grant.mine:
            self.pending.add(give_up(ask))
        return grant

    def _begin_locally(self, ask: Ask) -> Grant:
        """Admit from the local share; running orders still make the images that Redis granted them."""
        leases = self._leases
        return self._local.begin(ask, leases.claimed(ask.ticket.pool), leases.running(ask.ticket))

    async def _try(
        self, operation: str, call: Callable[[Argument], Awaitable[None]], argument: Argument
    ) -> StateUnavailable | None:
        """Make *call* unless the breaker is open; returns the failure, or None on success."""
        if self._breaker.is_open and not self._breaker.allows():
            return StateUnavailable("degraded")
        started_s = self._clock.monotonic_s()
        try:
            await call(argument)
        except StateUnavailable as error:
            self._fail(operation, error, started_s)
            return error
        # Without a lease or a lapsed hold, a renewal changes nothing.
        self._succeed(wrote=operation != "renew")
        return None

    async def _beat(self, heartbeats: Heartbeats) -> None:
        self._local.share_among(await heartbeats.beat())

    def _succeed(self, *, wrote: bool) -> None:
        if self._trouble.is_about_writes and not wrote:
            # Else a reader each second would keep all settlements waiting.
            self._breaker.allow_another()
            return
        if self._breaker.is_open:
            self._is_back.set()
            self._telemetry.record(StateBack())
        if self._breaker.failures:
            self._breaker.succeed()

    def _fail(self, operation: str, error: StateUnavailable, since_s: float) -> None:
        # A key of the wrong type concerns one team; the server answers.
        if not error.is_about_keys:
            self._breaker.fail(since_s)
            self._trouble = error
        self._telemetry.record(StateFailed(operation=operation, reason=error.reason))
