"""The script's GCRA against the rule in `domain.gcra`, exactly, on random histories.

Redis has a clock of its own, which the answers tell: the stored arrival less the
reset is the microsecond at which the script ran. Time passes by moving what is
stored into the past, which is the same to the rule.
"""

import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from redis.asyncio import Redis

from service.adapters.redis.keys import of_team
from service.adapters.redis.orders import RedisOrders
from service.domain import gcra
from service.domain.errors import LimitState, RateLimited
from service.domain.limits import Limit, Resource
from service.ports.admission import Ask
from tests.adapters.redis.orders import TEAM, limits_key, make_ask, settle
from tests.oracles import numbers, refund

STEPS = 150
LIMITS = (
    Limit(resource=Resource.REQUESTS, scope="user", key="u1", amount=7),
    Limit(resource=Resource.IMAGES, scope="user", key="u1", amount=13),
    Limit(resource=Resource.IMAGES, scope="key", key="k1", amount=11),
)


@dataclass(slots=True)
class Oracle:
    """Compute the stored arrivals by the rule alone."""

    arrivals_us: dict[Limit, int] = field(default_factory=dict)

    def begin(self, now_us: int, requests: int, images: int) -> tuple[bool, list[gcra.Decision]]:
        weights = {"requests": requests, "images": images}
        decisions = [
            gcra.decide(self.arrivals_us.get(limit, 0), now_us, weights[limit.resource], limit.amount)
            for limit in LIMITS
        ]
        admitted = all(decision.allowed for decision in decisions)
        if admitted:
            for limit, decision in zip(LIMITS, decisions, strict=True):
                if weights[limit.resource]:
                    self.arrivals_us[limit] = decision.arrival_us
        return admitted, decisions

    def sleep(self, pause_us: int) -> None:
        for limit in self.arrivals_us:
            self.arrivals_us[limit] -= pause_us


@pytest.mark.parametrize("seed", numbers(4, all_=20))
async def test_the_script_decides_as_the_rule_does(book: RedisOrders, redis: Redis, seed: int) -> None:
    dice = random.Random(seed)
    oracle = Oracle()
    outcomes: Counter[bool] = Counter()
    for _ in range(STEPS):
        await sleep(
            redis, oracle, dice.choice((0, 0, 1, dice.randrange(3_000_000), dice.randrange(30_000_000)))
        )
        ask = make_ask(pool=None, n=dice.randint(1, 5), limits=LIMITS, round=dice.choice((0, 0, 1)))

        is_admitted = await begin_both(book, redis, oracle, ask)

        if is_admitted and dice.random() < 0.2:
            await refund_both(book, redis, oracle, dice.randint(1, ask.n))
        assert await read_arrivals(redis) == oracle.arrivals_us
        outcomes[is_admitted] += 1

    assert min(outcomes[True], outcomes[False]) > 20


async def begin_both(book: RedisOrders, redis: Redis, oracle: Oracle, ask: Ask) -> bool:
    """Ask the script and the rule, which must say the same; returns whether that is yes."""
    refusal, states = await begin(book, ask)
    now_us = await find_now_us(redis, states)
    is_admitted, decisions = oracle.begin(now_us, 1 - ask.round, ask.n)
    assert is_admitted == (refusal is None)
    if refusal is None:
        shown = [(state.remaining, round(state.reset_s * 1e6)) for state in states]
        assert shown == [(decision.remaining, decision.reset_us) for decision in decisions]
    else:
        worst = max(decisions, key=lambda decision: decision.retry_after_us)
        assert round(refusal.retry_after_s * 1e6) == worst.retry_after_us
        assert refusal.refused == states[decisions.index(worst)]
    return is_admitted


async def begin(book: RedisOrders, ask: Ask) -> tuple[RateLimited | None, tuple[LimitState, ...]]:
    try:
        return None, (await book.begin(ask)).limits
    except RateLimited as refusal:
        return refusal, refusal.limits


async def find_now_us(redis: Redis, states: tuple[LimitState, ...]) -> int:
    """Return the time of the script, from any limit in use."""
    stored = await read_arrivals(redis)
    for limit, state in zip(LIMITS, states, strict=True):
        # A full bucket shows a reset of 0 and what it stores is older than now.
        if state.reset_s > 0:
            return stored[limit] - round(state.reset_s * 1e6)
    raise AssertionError("no limit was touched")


async def refund_both(book: RedisOrders, redis: Redis, oracle: Oracle, images: int) -> None:
    """Refund by the script and by the rule; the script's clock shows where it stopped at the present."""
    before = await read_arrivals(redis)
    seconds, microseconds = await redis.time()
    await book.finish(settle(make_ask(pool=None, limits=LIMITS), refunded=images))
    after = await read_arrivals(redis)
    earliest_us = seconds * 1_000_000 + microseconds
    for limit in LIMITS:
        if limit.resource == "requests" or before[limit] <= earliest_us:
            assert after.get(limit) == before.get(limit)
            continue
        whole_us = before[limit] - images * gcra.emission_us(limit.amount)
        now_us = earliest_us if after[limit] == whole_us else after[limit]
        assert earliest_us <= now_us < earliest_us + 1_000_000
        assert after[limit] == refund(before[limit], now_us, images, limit.amount)
        oracle.arrivals_us[limit] = after[limit]


async def sleep(redis: Redis, oracle: Oracle, pause_us: int) -> None:
    for limit in oracle.arrivals_us:
        await redis.hincrby(limits_key((limit.scope, limit.key)), limit.resource, -pause_us)
    oracle.sleep(pause_us)


async def read_arrivals(redis: Redis) -> dict[Limit, int]:
    arrivals_us = {}
    for limit in LIMITS:
        value = await redis.hget(limits_key((limit.scope, limit.key)), limit.resource)
        if value is not None:
            arrivals_us[limit] = int(value)
    return arrivals_us


async def test_waiting_for_the_retry_after_time_is_enough(book: RedisOrders, redis: Redis) -> None:
    limits = LIMITS[1:2]
    await book.begin(make_ask(pool=None, n=13, limits=limits))
    with pytest.raises(RateLimited) as refusal:
        await book.begin(make_ask(pool=None, n=4, limits=limits))

    name = limits_key((limits[0].scope, limits[0].key))
    await redis.hincrby(name, "images", -round(refusal.value.retry_after_s * 1e6))
    grant = await book.begin(make_ask(pool=None, n=4, limits=limits))

    assert grant.limits[0].remaining == 0


async def test_a_clock_that_jumped_back_locks_out_for_a_minute_at_most(
    book: RedisOrders, redis: Redis
) -> None:
    """After a failover the stored arrival may lie far ahead of the new server's clock."""
    limits = LIMITS[1:2]
    await book.begin(make_ask(pool=None, limits=limits))
    await redis.hincrby(of_team(TEAM).limits_of_user("u1"), "images", 86_400_000_000)

    with pytest.raises(RateLimited) as refusal:
        await book.begin(make_ask(pool=None, limits=limits))

    assert refusal.value.retry_after_s < 60 / 13 + 0.001
    assert refusal.value.limits[0].remaining == 0
