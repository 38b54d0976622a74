"""Remove expired images: references by age and by total size, then the files that no team refers to.

References go first, with the pool entries that would deliver the image, so that a hit may trust the pool;
the bytes follow (`disposal.py`). One process works at a time, while its turn lasts, and a sweep is bounded;
every step may be repeated. Images younger than the longest order are spared: their order may still wait for
other images, and would answer with a dead link. An order can still do so if one of its hits expires, or one
of its images is deleted on request, while it waits.
Failure behaviour: closed. A service that does not answer ends the sweep, and the next one goes on.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from service.domain.errors import StateUnavailable, StoreUnavailable
from service.gateway.images.disposal import Disposal, SweepTurn
from service.ports.accounts import KnownTeams
from service.ports.clock import Clock
from service.ports.references import Reference, ReferenceInventory, References
from service.ports.telemetry import ImageForgotten, StateFailed, StoreCounted, Telemetry

BRIEF_S = 3600
"""Lifetime of an image ordered with `no-store`."""
_MOST_FORGOTTEN = 1000
_BATCH = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The bounds in age and bytes; 0 means unlimited. Images younger than *least_s* stay."""

    longest_s: int
    most_bytes: int
    least_s: float


@dataclass(slots=True, kw_only=True)
class Retention:
    """Removes expired references, and bytes by *disposal*, a bounded number in a sweep."""

    known: KnownTeams
    references: References
    inventory: ReferenceInventory
    disposal: Disposal
    turn: SweepTurn
    clock: Clock
    telemetry: Telemetry
    rules: Rules
    _left: int = field(default=0, init=False)

    async def sweep_forever(self) -> None:
        """Sweep periodically."""
        while True:
            try:
                await self.sweep()
            except StateUnavailable as error:
                self.telemetry.record(StateFailed(operation="sweep", reason=error.reason))
            except StoreUnavailable:
                self.telemetry.record(StateFailed(operation="sweep", reason="store"))
            await asyncio.sleep(self.turn.sweep_s)

    async def sweep(self) -> None:
        """Count the stored images, and remove expired ones if it is this process's turn.

        Raises:
            StateUnavailable, StoreUnavailable: the next sweep does the rest.
        """
        teams = await self.known.teams()
        kept_bytes = await self._count(teams)
        if not await self.turn.keep():
            return
        self._left = _MOST_FORGOTTEN
        now_s = self.clock.wall_s()
        for team in teams:
            await self._forget_old(team, now_s - max(BRIEF_S, self.rules.least_s), "brief", is_brief=True)
            if self.rules.longest_s:
                age_s = max(self.rules.longest_s, self.rules.least_s)
                await self._forget_old(team, now_s - age_s, "age")
        if self.rules.most_bytes and kept_bytes > self.rules.most_bytes:
            # Counted again, as removing the brief and the old ones may have been enough.
            await self._forget_surplus(teams, await self._count(teams) - self.rules.most_bytes)
        await self.disposal.clear_leftovers(teams)
        await self.disposal.walk(teams)

    async def _count(self, teams: Sequence[str]) -> int:
        images = size_bytes = 0
        for team in teams:
            more_images, more_bytes = await self.inventory.totals(team)
            images, size_bytes = images + more_images, size_bytes + more_bytes
        self.telemetry.record(StoreCounted(images=images, size_bytes=size_bytes))
        return size_bytes

    async def _forget_old(self, team: str, before_s: float, reason: str, *, is_brief: bool = False) -> None:
        while self._left > 0:
            names = await self.inventory.oldest(
                team, before_s=before_s, most=min(_BATCH, self._left), is_brief=is_brief
            )
            for name in names:
                await self._forget(team, name, reason)
            if len(names) < _BATCH or not await self.turn.keep():
                return

    async def _forget_surplus(self, teams: Sequence[str], surplus_bytes: int) -> None:
        """Forget the oldest references of all teams until *surplus_bytes* are freed."""
        queues = [_Queue(self._by_age(team)) for team in teams]
        heads = [queue for queue in queues if await queue.advance()]
        heapq.heapify(heads)
        while heads and surplus_bytes > 0 and self._left > 0:
            reference = heads[0].head
            surplus_bytes -= reference.size_bytes
            await self._forget(reference.team, reference.name, "bytes")
            if await heads[0].advance():
                heapq.heapreplace(heads, heads[0])
            else:
                heapq.heappop(heads)
            if self._left % _BATCH == 0 and not await self.turn.keep():
                return

    async def _by_age(self, team: str) -> AsyncIterator[Reference]:
        """Yield references of a team, oldest first: the most that one sweep could take."""
        before_s = self.clock.wall_s() - self.rules.least_s
        names = await self.inventory.oldest(team, before_s=before_s, most=self._left)
        for name in names:
            reference = await self.references.find(team, name)
            if reference is None:
                # Another process was first, or half of the reference was lost: the other half goes too.
                await self.references.forget(team, name)
            else:
                yield reference

    async def _forget(self, team: str, name: str, reason: str) -> None:
        self._left -= 1
        if await self.references.forget(team, name):
            self.telemetry.record(ImageForgotten(reason=reason))


class _Queue:
    """References of one team by age; queues are ordered by their oldest reference."""

    def __init__(self, references: AsyncIterator[Reference]) -> None:
        self._references = references
        self.head: Reference

    async def advance(self) -> bool:
        """Go on to the next reference; returns False at the end."""
        head = await anext(self._references, None)
        if head is not None:
            self.head = head
        return head is not None

    def __lt__(self, other: "_Queue") -> bool:
        return self.head.created_s < other.head.created_s
