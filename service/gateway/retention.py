"""What is kept, and for how long: references go by age and bytes, bytes go when nobody refers to them.

Retention is the only one who deletes. References go first, with the pool entries that would
hand the image out, so that a hit may trust the pool; the bytes follow once no team has
a reference and they are an hour old. An image that is made again meanwhile is written
anew by the store, which makes it young. One process works at a time, as long as its turn
lasts, and never more than so much in one sweep; all of it may be done twice. What is younger
than an order may last is spared: its order may still wait for other images, and would answer
with a dead link. Two get that all the same: an order that waits with a hit which comes of
age meanwhile, as any hit may right after its answer; and who deletes an image, as they wished.
Failure behaviour: closed. Whatever does not answer ends the sweep, and the next one goes on.
"""

import asyncio
import heapq
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

from service.domain.errors import ImageMissing, StateUnavailable, StoreUnavailable
from service.ports.clock import Clock
from service.ports.processes import Round, Turns
from service.ports.references import Leftovers, Reference, References
from service.ports.store import StoreShelves
from service.ports.telemetry import FilesDeleted, ImageForgotten, StateFailed, StoreCounted, Telemetry

BRIEF_S = 3600
"""How long an image ordered with `no-store` is kept."""
UNUSED_S = 3600
"""How old bytes must be: whoever made them has had all the time there is to refer to them."""
ROUND_S = 86_400
"""How often the whole store is walked through, for bytes that nobody noted."""
PARTS = 256

_MOST_FORGOTTEN = 1000
_MOST_LEFTOVERS = 1000
_MOST_LISTED = 20_000
_BATCH = 100
_LEAST_TURN_S = 15.0
"""Longer than a batch takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """How long and how much is kept; 0 is for ever, and without bound. Before *least_s* nothing goes."""

    longest_s: int
    most_bytes: int
    least_s: float


@dataclass(slots=True, kw_only=True)
class Retention:
    """Sweeps references and bytes that are kept no longer, every *sweep_s*."""

    references: References
    leftovers: Leftovers
    store: StoreShelves
    turns: Turns
    clock: Clock
    telemetry: Telemetry
    rules: Rules
    sweep_s: float
    _left: int = field(default=0, init=False)

    async def sweep_forever(self) -> None:
        """Sweep now and then."""
        while True:
            try:
                await self.sweep()
            except StateUnavailable as error:
                self.telemetry.record(StateFailed(operation="sweep", reason=error.reason))
            except StoreUnavailable:
                self.telemetry.record(StateFailed(operation="sweep", reason="store"))
            await asyncio.sleep(self.sweep_s)

    async def sweep(self) -> None:
        """Count what is kept; and when it is this process' turn, take away what is not to be kept.

        Raises:
            StateUnavailable: the rest is for the next sweep.
            StoreUnavailable: likewise.
        """
        teams = await self.references.teams()
        kept_bytes = await self._count(teams)
        if not await self._may_go_on():
            return
        self._left = _MOST_FORGOTTEN
        now_s = self.clock.wall_s()
        for team in teams:
            await self._forget_old(team, now_s - max(BRIEF_S, self.rules.least_s), "brief", is_brief=True)
            if self.rules.longest_s:
                age_s = max(self.rules.longest_s, self.rules.least_s)
                await self._forget_old(team, now_s - age_s, "age")
        if self.rules.most_bytes and kept_bytes > self.rules.most_bytes:
            # Counted again: the brief and the old may have been enough.
            await self._forget_surplus(teams, await self._count(teams) - self.rules.most_bytes)
        await self._clear_leftovers(teams)
        await self._walk(teams)

    async def _may_go_on(self) -> bool:
        # Until the next sweep, so that one a period is all there is; and so long is nobody's after a death.
        return await self.turns.take(hold_s=max(self.sweep_s, _LEAST_TURN_S))

    async def _count(self, teams: Sequence[str]) -> int:
        images = size_bytes = 0
        for team in teams:
            more_images, more_bytes = await self.references.totals(team)
            images, size_bytes = images + more_images, size_bytes + more_bytes
        self.telemetry.record(StoreCounted(images=images, size_bytes=size_bytes))
        return size_bytes

    async def _forget_old(self, team: str, before_s: float, reason: str, *, is_brief: bool = False) -> None:
        while self._left > 0:
            names = await self.references.oldest(
                team, before_s=before_s, most=min(_BATCH, self._left), is_brief=is_brief
            )
            for name in names:
                await self._forget(team, name, reason)
            if len(names) < _BATCH or not await self._may_go_on():
                return

    async def _forget_surplus(self, teams: Sequence[str], surplus_bytes: int) -> None:
        """Forget the oldest of all teams until *surplus_bytes* less are referred to."""
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
            if self._left % _BATCH == 0 and not await self._may_go_on():
                return

    async def _by_age(self, team: str) -> AsyncIterator[Reference]:
        """Yield references of a team, oldest first: all that one sweep could take."""
        before_s = self.clock.wall_s() - self.rules.least_s
        names = await self.references.oldest(team, before_s=before_s, most=self._left)
        for name in names:
            reference = await self.references.find(team, name)
            if reference is None:
                # Somebody else was first, or half of it was lost: the other half goes too.
                await self.references.forget(team, name)
            else:
                yield reference

    async def _forget(self, team: str, name: str, reason: str) -> None:
        self._left -= 1
        if await self.references.forget(team, name):
            self.telemetry.record(ImageForgotten(reason=reason))

    async def _clear_leftovers(self, teams: Sequence[str]) -> None:
        """Look at what lost a reference: bytes nobody uses go, young ones are looked at again."""
        names = await self.leftovers.due(now_s=self.clock.wall_s(), most=_MOST_LEFTOVERS)
        for first in range(0, len(names), _BATCH):
            batch = names[first : first + _BATCH]
            used = await self._used(teams, batch)
            done = [name for name in batch if name in used or await self._clear(name)]
            await self.leftovers.done(done)
            if not await self._may_go_on():
                return

    async def _clear(self, name: str) -> bool:
        """Delete bytes that nobody refers to; whether that is done. Young ones are looked at again.

        One by one, so that hardly any time lies between the look at their age and their
        end: who puts them again in that moment finds them missing later, and makes them again.
        """
        try:
            old_at_s = await self.store.modified_s(name) + UNUSED_S
        except ImageMissing:
            return True
        if old_at_s > self.clock.wall_s():
            await self.leftovers.postpone(name, until_s=old_at_s)
            return False
        await self.store.delete([name])
        self.telemetry.record(FilesDeleted(files=1))
        return True

    async def _walk(self, teams: Sequence[str]) -> None:
        """Walk on through the store, once a day from end to end, and delete old bytes that nobody uses."""
        now_s = self.clock.wall_s()
        round_ = await self.turns.read_round()
        if round_ is None:
            # The first walk is a day off: a gateway that was pointed at the wrong Redis knows no references.
            await self.turns.keep_round(Round(now_s, PARTS))
            return
        if round_.part >= PARTS:
            if now_s < round_.began_s + ROUND_S:
                return
            await self.store.remove_remains(before_s=now_s - UNUSED_S)
            round_ = Round(now_s, 0)
        listed = 0
        while round_.part < PARTS and listed < _MOST_LISTED:
            listed += await self._clear_part(round_.part, teams)
            round_ = Round(round_.began_s, round_.part + 1)
            await self.turns.keep_round(round_)
            if not await self._may_go_on():
                return

    async def _clear_part(self, part: int, teams: Sequence[str]) -> int:
        """Delete what is old and unused in one part of the store; returns how many images it has."""
        listed, old = 0, []
        before_s = self.clock.wall_s() - UNUSED_S
        async for image in self.store.list(part):
            listed += 1
            if image.modified_s <= before_s:
                old.append(image.name)
            if len(old) == _BATCH:
                await self._delete_unused(teams, old)
                old = []
        await self._delete_unused(teams, old)
        return listed

    async def _delete_unused(self, teams: Sequence[str], names: list[str]) -> None:
        used = await self._used(teams, names)
        for name in names:
            if name not in used:
                await self._clear(name)

    async def _used(self, teams: Sequence[str], names: Sequence[str]) -> set[str]:
        used: set[str] = set()
        for team in teams:
            left = [name for name in names if name not in used]
            if not left:
                break
            used |= await self.references.which(team, left)
        return used


class _Queue:
    """References of one team by age; compared by the oldest, so that the team that has it comes first."""

    def __init__(self, references: AsyncIterator[Reference]) -> None:
        self._references = references
        self.head: Reference

    async def advance(self) -> bool:
        """Go on to the next reference; whether there is one."""
        head = await anext(self._references, None)
        if head is not None:
            self.head = head
        return head is not None

    def __lt__(self, other: "_Queue") -> bool:
        return self.head.created_s < other.head.created_s
