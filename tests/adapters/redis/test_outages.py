"""Outages of any length free nothing that runs: limits stay exact, and no image is made twice.

Time passes by moving every instant in Redis back. In an outage no process reaches Redis; afterwards each comes back
within `BACK_S` of the first, as `SharedState.renew_forever` sees to, and orders as it likes.
"""

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from service.adapters.redis import keys
from service.adapters.redis.orders import RedisOrders
from service.domain.errors import RateLimited
from service.domain.limits import Limit, Resource
from service.ports.admission import Ask, Lease
from tests.adapters.redis.orders import (
    ESTIMATE_MICROUSD,
    POOL,
    SCOPE,
    TEAM,
    MakeBook,
    limits_key,
    made,
    make_ask,
    pass_time,
    read_hash,
    read_holds,
    read_ledger,
    settle,
)
from tests.processes import Valkey

PROCESSES = ("a", "b", "c")
FLIGHT, DAY = 4, 12
BUDGET = 11 * ESTIMATE_MICROUSD
LIMITS = tuple(
    Limit(resource=resource, scope=SCOPE[0], key=SCOPE[1], amount=amount)
    for resource, amount in (
        (Resource.IMAGES_IN_FLIGHT, FLIGHT),
        (Resource.IMAGES_PER_DAY, DAY),
        (Resource.BUDGET_PER_MONTH, BUDGET),
    )
)
RENEWED_S, BACK_S, LEASE_S = 10, 10, 30
_HEALTHY = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)

process = st.sampled_from(PROCESSES)
order = st.tuples(st.just("order"), process, st.integers(1, 3), st.booleans())
finish = st.tuples(st.just("finish"), st.integers(0, 9), st.sampled_from(["made", "unknown", "refused"]))
calm = st.tuples(st.just("calm"), st.integers(0, 60))
death = st.tuples(st.just("death"), process)
visit = st.tuples(process, st.integers(1, 3), st.booleans())
visits = st.tuples(st.floats(0, BACK_S / 3), st.lists(visit, max_size=2), st.lists(visit, max_size=2))
outage = st.tuples(
    st.just("outage"),
    st.one_of(st.floats(0, 3000), st.floats(10, 50)),
    st.permutations(PROCESSES),
    st.tuples(visits, visits, visits),
)
step = st.one_of(order, order, outage, finish, calm, death)
schedules = st.tuples(st.lists(order, min_size=1, max_size=3), st.lists(step, min_size=1, max_size=15)).map(
    lambda parts: parts[0] + parts[1]
)


Visit = tuple[str, int, bool]
Visits = tuple[float, list[Visit], list[Visit]]


@dataclass(slots=True)
class Site:
    """Processes at one Redis, and the use of every limit as an oracle has it."""

    redis: Redis
    books: dict[str, RedisOrders]
    running: dict[str, tuple[str, Ask, tuple[int, ...]]] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    settled: Counter[str] = field(default_factory=Counter)

    def leases(self, name: str) -> list[Lease]:
        return [
            Lease(ticket=ask.ticket, fence=ask.fence, indices=mine, granted=len(mine))
            for process, ask, mine in self.running.values()
            if process == name
        ]

    def has_room(self, n: int) -> bool:
        held = sum(len(mine) for _, _, mine in self.running.values())
        counted = self.settled["made"] + self.settled["unknown"]
        spent = self.settled["made"] * 4000 + self.settled["unknown"] * ESTIMATE_MICROUSD
        return (
            held + n <= FLIGHT
            and counted + held + n <= DAY
            and spent + (held + n) * ESTIMATE_MICROUSD <= BUDGET
        )

    async def order(self, name: str, n: int, is_fresh: bool) -> None:
        """Order and, unless *is_fresh*, take and await images of others."""
        if name in self.dead:
            return
        ask = make_ask(n=n, limits=LIMITS, fresh=is_fresh)
        try:
            grant = await self.books[name].begin(ask)
        except RateLimited:
            assert not self.has_room(n)
            return
        if not grant.mine:
            return
        assert self.has_room(len(grant.mine))
        taken = {index for _, _, mine in self.running.values() for index in mine}
        assert taken.isdisjoint(grant.mine)
        self.running[ask.fence] = (name, ask, grant.mine)

    async def finish(self, number: int, outcome: str) -> None:
        living = [fence for fence, (name, _, _) in self.running.items() if name not in self.dead]
        if not living:
            return
        name, ask, mine = self.running.pop(living[number % len(living)])
        images = made(*((index, f"{ask.fence} {index}") for index in mine)) if outcome == "made" else ()
        await self.books[name].finish(
            settle(
                ask,
                made=images,
                released=() if images else mine,
                unknown=len(mine) if outcome == "unknown" else 0,
                refunded=len(mine) if outcome == "refused" else 0,
            )
        )
        self.settled[outcome] += len(mine)

    async def calm(self, seconds: float) -> None:
        """Let time pass while the living renew."""
        while seconds > 0:
            step = min(RENEWED_S, seconds)
            await pass_time(self.redis, step)
            for name in PROCESSES:
                await self.renew(name)
            seconds -= step

    async def renew(self, name: str) -> None:
        if name not in self.dead:
            await self.books[name].renew(self.leases(name))
        await self.bury()

    async def bury(self) -> None:
        """Take over from Redis which holds of the dead it has booked: their lease is over, or not yet."""
        holds = await read_holds(self.redis)
        for fence, (name, _, mine) in list(self.running.items()):
            if name in self.dead and "swept" in holds[fence]:
                self.settled["unknown"] += len(mine)
                del self.running[fence]

    async def outage(self, seconds: float, back: list[str], visits: tuple[Visits, ...]) -> None:
        await pass_time(self.redis, seconds)
        returned = list[str]()
        for name, (pause_s, before, after) in zip(back, visits, strict=True):
            await pass_time(self.redis, pause_s)
            returned.append(name)
            await self.receive(before, returned)
            await self.renew(name)
            await self.receive(after, returned)

    async def receive(self, visits: list[Visit], returned: list[str]) -> None:
        for visitor, n, is_fresh in visits:
            if visitor in returned:
                await self.order(visitor, n, is_fresh)


@pytest.fixture
def redis_url(valkey: Valkey) -> str:
    return valkey.url


@given(schedule=schedules)
@settings(max_examples=50, suppress_health_check=_HEALTHY)
async def test_what_runs_is_held_through_any_outage(
    make_book: MakeBook, redis: Redis, schedule: list[tuple[object, ...]]
) -> None:
    await play(make_book, redis, schedule)


@pytest.mark.slow
@pytest.mark.timeout(600)
@given(schedule=schedules)
@settings(max_examples=1000, suppress_health_check=_HEALTHY)
async def test_what_runs_is_held_through_any_of_many_outages(
    make_book: MakeBook, redis: Redis, schedule: list[tuple[object, ...]]
) -> None:
    await play(make_book, redis, schedule)


async def play(make_book: MakeBook, redis: Redis, schedule: list[tuple[object, ...]]) -> None:
    await redis.flushdb()
    site = Site(redis, {name: make_book(process=name) for name in PROCESSES})
    for what, *details in schedule:
        if what == "death":
            # One of them always lives, so that there is a Redis to speak of.
            site.dead |= {str(details[0])} - {"a"}
        else:
            await getattr(site, str(what))(*details)
    # Whoever is dead is booked in the end, and all others are settled.
    await site.calm(3 * LEASE_S)
    for _ in range(len(site.running)):
        await site.finish(0, "made")
    assert site.running == {}
    ledger = await read_ledger(redis)
    assert +Counter({name: ledger[f"{name}|images"] for name in ("made", "unknown")}) == +Counter(
        {name: site.settled[name] for name in ("made", "unknown")}
    )
    use = await read_hash(redis, limits_key(SCOPE))
    counted = site.settled["made"] + site.settled["unknown"]
    assert int(use.get("day", "|0").partition("|")[2]) == counted
    assert "running" not in use
    pool = await read_hash(redis, POOL)
    assert not [entry for entry in pool.values() if entry.startswith("c")]
    assert await redis.exists(keys.of_team(TEAM).holds) == bool(
        [hold for hold in (await read_holds(redis)).values() if "swept" in hold]
    )
