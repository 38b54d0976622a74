"""Delete the bytes of images without a reference, once they are an hour old.

Images that lost a reference are leftovers, checked in every sweep; a walk through the whole store, once a
day, finds bytes without any record. An image that is made again meanwhile is written anew, and so is young.
Failure behaviour: closed. A service that does not answer ends the sweep, and the next one goes on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from service.domain.errors import ImageMissing
from service.gateway.clock_check import ClockCheck
from service.ports.clock import Clock
from service.ports.processes import Round, SweepLease
from service.ports.references import DeletionQueue, ReferenceInventory
from service.ports.store import UNUSED_S, StoreCleaner, StoreListing
from service.ports.telemetry import FilesDeleted, Telemetry

ROUND_S = 86_400
"""Period of a walk through the whole store."""
PARTS = 256

_MOST_LEFTOVERS = 1000
_MOST_LISTED = 20_000
_BATCH = 100
_LEAST_TURN_S = 15.0
"""Longer than a batch takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepTurn:
    """The right to sweep, which one process has at a time; *sweep_s* is the time between two sweeps.

    A process whose clock is wrong has none: it would take young images for old ones.
    """

    turns: SweepLease
    check: ClockCheck
    sweep_s: float

    async def keep(self) -> bool:
        """Take the turn, or keep it; returns False while another process has it, or the clock is wrong."""
        if not await self.check.agrees():
            return False
        # Held until the next sweep, so that each period has one, or none if the holder dies.
        return await self.turns.take(hold_s=max(self.sweep_s, _LEAST_TURN_S))


@dataclass(frozen=True, slots=True, kw_only=True)
class Disposal:
    """Deletes unreferenced bytes, a bounded number in a sweep. Every step may be repeated."""

    inventory: ReferenceInventory
    leftovers: DeletionQueue
    listing: StoreListing
    cleaner: StoreCleaner
    turns: SweepLease
    turn: SweepTurn
    clock: Clock
    telemetry: Telemetry

    async def clear_leftovers(self, teams: Sequence[str]) -> None:
        """Check images that lost a reference: unused bytes go, young ones are checked again later."""
        names = await self.leftovers.due(now_s=self.clock.wall_s(), most=_MOST_LEFTOVERS)
        for first in range(0, len(names), _BATCH):
            batch = names[first : first + _BATCH]
            used = await self._used(teams, batch)
            done = [name for name in batch if name in used or await self._clear(name)]
            await self.leftovers.done(done)
            if not await self.turn.keep():
                return

    async def _clear(self, name: str) -> bool:
        """Delete unreferenced bytes; returns True if done. Young ones are checked again later.

        One by one, so that little time passes between the check of their age and their deletion: an
        order that stores them again in that moment finds them missing later, and makes them again.
        """
        try:
            old_at_s = await self.listing.modified_s(name) + UNUSED_S
        except ImageMissing:
            return True
        if old_at_s > self.clock.wall_s():
            await self.leftovers.postpone(name, until_s=old_at_s)
            return False
        await self.cleaner.delete([name])
        self.telemetry.record(FilesDeleted(files=1))
        return True

    async def walk(self, teams: Sequence[str]) -> None:
        """Continue the walk through the store, and delete old unused bytes."""
        now_s = self.clock.wall_s()
        round_ = await self.turns.read_round()
        if round_ is None:
            # The first walk starts after a day: a gateway with the wrong Redis finds no references.
            await self.turns.keep_round(Round(now_s, PARTS))
            return
        if round_.part >= PARTS:
            if now_s < round_.began_s + ROUND_S:
                return
            await self.cleaner.remove_remains(before_s=now_s - UNUSED_S)
            round_ = Round(now_s, 0)
        listed = 0
        while round_.part < PARTS and listed < _MOST_LISTED:
            listed += await self._clear_part(round_.part, teams)
            round_ = Round(round_.began_s, round_.part + 1)
            await self.turns.keep_round(round_)
            if not await self.turn.keep():
                return

    async def _clear_part(self, part: int, teams: Sequence[str]) -> int:
        """Delete old unused bytes in one part of the store; returns its number of images."""
        listed, old = 0, []
        before_s = self.clock.wall_s() - UNUSED_S
        async for image in self.listing.list(part):
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
            used |= await self.inventory.existing(team, left)
        return used
