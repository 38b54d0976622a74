"""Callers that order and settle without a pause, as long as they are let."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from service.adapters.redis.orders import RedisOrders
from service.domain.errors import StateUnavailable
from service.ports.admission import Settlement
from tests.adapters.redis.orders import made, make_ask, settle

PATIENCE_S = 20.0
_CALLERS_OF_A_TEAM = 4


@dataclass(slots=True)
class Load:
    """What became of the calls, by team: "answered", or the reason they were not.

    Each settlement, of one image, is in *settled* or, to be sent again, in *journal*.
    """

    book: RedisOrders
    teams: Sequence[str]
    outcomes: dict[str, Counter[str]] = field(init=False)
    settled: Counter[str] = field(default_factory=Counter)
    journal: list[Settlement] = field(default_factory=list)
    is_over: bool = False

    def __post_init__(self) -> None:
        self.outcomes = {team: Counter() for team in self.teams}

    async def run(self, team: str) -> None:
        while not self.is_over:
            await self._order(team)

    async def until_answered(self, *teams: str, times: int = 20) -> None:
        """Wait until each team was answered so often from now on."""
        wanted = {team: self.outcomes[team]["answered"] + times for team in teams}
        await self._until(lambda: all(self.outcomes[team]["answered"] >= n for team, n in wanted.items()))

    async def until_failed(self, team: str, reason: str, *, times: int = 5) -> None:
        """Wait until a team has failed so often for *reason* from now on."""
        wanted = self.outcomes[team][reason] + times
        await self._until(lambda: self.outcomes[team][reason] >= wanted)

    def reasons(self, *teams: str) -> set[str]:
        """Return all that became of calls."""
        return {reason for team in teams or self.teams for reason in self.outcomes[team]}

    def forget(self) -> None:
        """Count from here."""
        for counts in self.outcomes.values():
            counts.clear()

    async def replay(self) -> None:
        """Send refused settlements again, as the journal does."""
        for settlement in self.journal:
            await self.book.finish(settlement)
            self.settled[settlement.ticket.caller.team] += 1
        self.journal.clear()

    async def _order(self, team: str) -> None:
        ask = make_ask(pool=None, team=team)
        settlement = settle(ask, made=made((None, "a")), released=(0,))
        try:
            await self.book.begin(ask)
        except StateUnavailable as error:
            self.outcomes[team][error.reason] += 1
            await asyncio.sleep(0.005)
            return
        try:
            await self.book.finish(settlement)
        except StateUnavailable as error:
            self.outcomes[team][error.reason] += 1
            self.journal.append(settlement)
        else:
            self.outcomes[team]["answered"] += 1
            self.settled[team] += 1

    async def _until(self, is_so: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not is_so():  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0.005)


@asynccontextmanager
async def loaded(book: RedisOrders, *teams: str) -> AsyncIterator[Load]:
    """Keep *book* busy; any error that is not `StateUnavailable` fails the test."""
    load = Load(book, teams)
    async with asyncio.TaskGroup() as group:
        for team in teams * _CALLERS_OF_A_TEAM:
            group.create_task(load.run(team))
        try:
            yield load
        finally:
            load.is_over = True
