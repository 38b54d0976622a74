"""Keep the settlements that Redis has not taken, and send them once it does.

Owns the entries of the journal: those written ahead of a call, those put off, and their replay. Failure
behaviour: nothing is lost but what Redis may have taken and forgotten.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import replace

from service.domain.errors import StateUnavailable
from service.gateway.admission.breaker import Breaker
from service.ports.admission import SETTLED_KNOWN_S, Journal, Settlement
from service.ports.clock import Clock
from service.ports.telemetry import StateFailed, Telemetry

_MARGIN_S = 600.0
_WRITE_S = 5.0
"""Longest wait for the disk of the journal."""
_REPLAY_S = 1.0
_REPLAYED_AT_ONCE = 100
_FLUSH_S = 5.0
"""Longest wait for Redis at the end of a process."""
_FLUSH_PAUSE_S = 0.1

Send = Callable[[Settlement], Awaitable[StateUnavailable | None]]
"""Sends a settlement to Redis; returns the failure, or None on success."""


class Pending:
    """The settlements of a process that wait in *journal*; *send* takes them to Redis while *breaker* is closed."""

    def __init__(
        self, *, journal: Journal, clock: Clock, telemetry: Telemetry, breaker: Breaker, send: Send
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._telemetry = telemetry
        self._breaker = breaker
        self._send = send
        self._written_ahead: set[tuple[str, str]] = set()
        self._in_part: set[str] = set()

    def has_parts(self, order_id: str) -> bool:
        """Tell if a settlement of an order with an `Idempotency-Key` waits, so that its last one must wait, too."""
        return order_id in self._in_part

    async def write_ahead(self, settlement: Settlement) -> bool:
        """Store *settlement* for the case that this process is killed; returns False if that is impossible.

        For grants of the local share: no other process knows of them.
        """
        self._written_ahead.add(_key_of(settlement))
        return await _is_written(self._journal.add(settlement, is_ahead=True))

    def forget_ahead(self, settlement: Settlement) -> None:
        """Remove what was written ahead of *settlement*, which Redis has taken."""
        if _key_of(settlement) in self._written_ahead:
            self._written_ahead.discard(_key_of(settlement))
            self._journal.remove([settlement])

    async def put_off(self, settlement: Settlement, obstacle: StateUnavailable) -> None:
        """Store *settlement*, which did not arrive or may have, despite *obstacle*; waits for the disk, but not long."""
        await _is_written(self.add(settlement, may_have_arrived=obstacle.is_unanswered))

    def add(self, settlement: Settlement, *, may_have_arrived: bool = False) -> Awaitable[bool]:
        """Store *settlement* in place of one written ahead, waited for or not; sent twice, it counts once."""
        order_id = settlement.ticket.id
        self._written_ahead.discard(_key_of(settlement))
        if settlement.is_last:
            self._in_part.discard(order_id)
        elif settlement.ticket.idempotency is not None:
            self._in_part.add(order_id)
        return self._journal.add(self._note_sent(settlement) if may_have_arrived else settlement)

    async def replay_forever(self) -> None:
        """Send the settlements in the journal, oldest first, while Redis answers."""
        while True:
            await asyncio.sleep(_REPLAY_S)
            while await self._replay() == _REPLAYED_AT_ONCE:
                pass

    async def flush(self) -> None:
        """Send all pending settlements while Redis answers, for a few seconds: this process is about to end.

        The rest stays in the journal, for its successor.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_S):
                while await self._journal.pending(1) and not self._breaker.is_open:
                    if not await self._replay():
                        await asyncio.sleep(_FLUSH_PAUSE_S)

    async def _replay(self) -> int:
        """Send some pending settlements; returns how many Redis took."""
        sent = 0
        for settlement in await self._journal.pending(_REPLAYED_AT_ONCE):
            if self._is_too_old(settlement):
                self._telemetry.record(StateFailed(operation="replay", reason="expired"))
                self._journal.remove([settlement])
                continue
            obstacle = await self._send(settlement)
            if obstacle is None:
                self._journal.remove([settlement])
                sent += 1
            elif obstacle.is_about_keys:
                # One that Redis rejects goes behind the others.
                self._journal.add(settlement)
            else:
                if obstacle.is_unanswered and settlement.sent_s is None:
                    self._journal.add(self._note_sent(settlement))
                if self._breaker.is_open:
                    break
        return sent

    def _note_sent(self, settlement: Settlement) -> Settlement:
        """Return *settlement* with the time of its first sending."""
        sent_s = self._clock.wall_s() if settlement.sent_s is None else settlement.sent_s
        return replace(settlement, sent_s=sent_s)

    def _is_too_old(self, settlement: Settlement) -> bool:
        """Tell if Redis may have taken *settlement* and forgotten that; a sweep has booked it if not."""
        sent_s = settlement.sent_s
        return sent_s is not None and self._clock.wall_s() - sent_s > SETTLED_KNOWN_S - _MARGIN_S


async def _is_written(added: Awaitable[bool]) -> bool:
    """Return True once the settlement is *added*; False if its disk does not take it in time."""
    try:
        async with asyncio.timeout(_WRITE_S):
            return await added
    except TimeoutError:
        return False


def _key_of(settlement: Settlement) -> tuple[str, str]:
    return settlement.ticket.id, settlement.part
