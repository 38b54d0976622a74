"""Limits of several scopes at once, against an oracle in Python that counts by itself.

Rates have their own exact test (`test_rates`); here are days, images in flight and
money, with orders that are settled, given back, abandoned or settled late.
"""

import random
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from importlib.resources import files

import pytest
from redis.asyncio import Redis

from service.adapters.redis.keys import of_team
from service.adapters.redis.orders import RedisOrders
from service.domain.errors import PermissionDenied, RateLimited, Unauthenticated
from service.domain.limits import LIMITS, Limit, LimitKind, Resource, Unit
from service.ports.admission import Ask, Lease
from tests.adapters.redis.orders import (
    TEAM,
    expire_holds,
    made,
    make_ask,
    make_image,
    read_hash,
    reason_of,
    settle,
    snapshot,
    under_id,
    witness,
)
from tests.fakes.values import scopes_of
from tests.oracles import numbers

USER, KEY, CLAN = ("user", "u1"), ("key", "k1"), ("team", TEAM)
DAY, FLIGHT, BUDGET = Resource.IMAGES_PER_DAY, Resource.IMAGES_IN_FLIGHT, Resource.BUDGET_PER_MONTH
ESTIMATE, COST = 5_000, 4_000


def limit(resource: Resource, scope: tuple[str, str], amount: int) -> Limit:
    return Limit(resource=resource, scope=scope[0], key=scope[1], amount=amount)


def an_ask(*limits: Limit, n: int = 1, **changes: object) -> Ask:
    return make_ask(pool=None, n=n, limits=limits, estimate_microusd=ESTIMATE, **changes)


@dataclass(slots=True)
class Oracle:
    """The use of every scope: settled, and held by fence."""

    settled: Counter[tuple[str, tuple[str, str]]] = field(default_factory=Counter)
    held: dict[str, tuple[int, int, tuple[tuple[str, str], ...]]] = field(default_factory=dict)

    def used(self, one: Limit) -> int:
        scope = (one.scope, one.key)
        holds = [(images, weight) for images, weight, scopes in self.held.values() if scope in scopes]
        held = {
            DAY: sum(images * weight for images, weight in holds),
            FLIGHT: sum(images for images, _ in holds),
            BUDGET: sum(images * ESTIMATE for images, _ in holds),
        }
        return held[one.resource] + self.settled[one.resource, scope]

    def refuses(self, ask: Ask) -> set[Limit]:
        wanted = {DAY: ask.n * ask.ticket.price.weight, FLIGHT: ask.n, BUDGET: ask.n * ESTIMATE}
        return {one for one in ask.ticket.limits if self.used(one) + wanted[one.resource] > one.amount}

    def begin(self, ask: Ask) -> None:
        self.held[ask.fence] = (ask.n, ask.ticket.price.weight, scopes_of(ask.ticket))

    def finish(self, ask: Ask, images: int, paid: int, unknown: int) -> None:
        left, weight, scopes = self.held.get(ask.fence, (0, ask.ticket.price.weight, scopes_of(ask.ticket)))
        self.held[ask.fence] = (left - images, weight, scopes)
        if self.held[ask.fence][0] <= 0:
            del self.held[ask.fence]
        for scope in scopes:
            self.settled[DAY, scope] += (paid + unknown) * weight
            self.settled[BUDGET, scope] += paid * COST + unknown * ESTIMATE


@pytest.mark.parametrize("kind", LIMITS, ids=lambda kind: kind.name)
async def test_every_kind_of_limit_is_counted_by_the_script(book: RedisOrders, kind: LimitKind) -> None:
    amount = ESTIMATE if kind.unit is Unit.MICROUSD else 1
    ask = an_ask(limit(kind.resource, USER, amount))

    grant = await book.begin(ask)

    with pytest.raises(RateLimited) as caught:
        await book.begin(an_ask(limit(kind.resource, USER, amount)))
    assert [(state.limit, state.remaining) for state in grant.limits] == [(amount, 0)]
    assert caught.value.refused.resource == kind.resource


async def test_a_limit_that_the_script_does_not_know_admits_no_order(book: RedisOrders, redis: Redis) -> None:
    unknown = replace(limit(DAY, USER, 5), resource="images_per_blue_moon")  # type: ignore[arg-type]  # no row has it

    assert await reason_of(book.begin(an_ask(unknown))) == "response"
    assert await snapshot(redis) == {}


@pytest.mark.parametrize("seed", numbers(5, all_=50))
async def test_every_limit_of_every_scope_is_exact(book: RedisOrders, redis: Redis, seed: int) -> None:
    """Twenty schedules a seed, each with scopes and amounts of its own."""
    dice = random.Random(seed)
    outcomes: Counter[bool] = Counter()
    for _ in range(20):
        await redis.flushdb()
        await play(book, redis, dice, outcomes)

    assert min(outcomes[True], outcomes[False]) > 10


async def play(book: RedisOrders, redis: Redis, dice: random.Random, outcomes: Counter[bool]) -> None:
    oracle, running = Oracle(), list[tuple[Ask, int]]()
    amounts = {DAY: (6, 30), FLIGHT: (2, 12), BUDGET: (20_000, 150_000)}
    limits = [
        limit(resource, scope, dice.randint(*amounts[resource]))
        for scope in (USER, KEY, CLAN)
        for resource in (DAY, FLIGHT, BUDGET)
        if dice.random() < 0.6
    ]
    for _ in range(15):
        what = dice.random()
        if what < 0.6 or not running:
            ask = an_ask(*limits, n=dice.randint(1, 4), weight=dice.choice((1, 1, 3)))
            refusals = oracle.refuses(ask)
            outcomes[not refusals] += 1
            await begin_both(book, oracle, ask, refusals)
            if not refusals:
                running.append((ask, ask.n))
        elif what < 0.9:
            ask, left = running.pop(dice.randrange(len(running)))
            part = dice.randint(1, left)
            await finish_both(book, oracle, ask, part, dice)
            if left > part:
                running.append((ask, left - part))
        else:
            ask, left = running.pop(dice.randrange(len(running)))
            booked = Counter(oracle.settled), dict(oracle.held)
            await abandon(book, redis, oracle, ask)
            if dice.random() < 0.5:
                # It lives after all: its settlement replaces what was booked.
                oracle.settled, oracle.held = booked
                await finish_both(book, oracle, ask, left, dice)


async def begin_both(book: RedisOrders, oracle: Oracle, ask: Ask, refusals: set[Limit]) -> None:
    before = [max(0, one.amount - oracle.used(one)) for one in ask.ticket.limits]
    if refusals:
        with pytest.raises(RateLimited) as caught:
            await book.begin(ask)
        refused = ask.ticket.limits[caught.value.limits.index(caught.value.refused)]
        assert refused in refusals
        assert [state.remaining for state in caught.value.limits] == before
        return
    grant = await book.begin(ask)
    oracle.begin(ask)
    assert len(grant.mine) == ask.n
    assert [state.remaining for state in grant.limits] == [
        one.amount - oracle.used(one) for one in ask.ticket.limits
    ]


async def finish_both(book: RedisOrders, oracle: Oracle, ask: Ask, images: int, dice: random.Random) -> None:
    """Settle *images* of an order, some of them made, some given back and the others unknown."""
    part = f"{oracle.held[ask.fence][0]}"
    paid = dice.randint(0, images)
    unknown = dice.randint(0, images - paid)
    settlement = settle(
        ask,
        part=part,
        made=tuple((None, make_image(f"{part}{i}", cost_microusd=COST)) for i in range(paid)),
        released=tuple(range(images)),
        refunded=images - paid - unknown,
        unknown=unknown,
    )
    for _ in range(2):  # the second time changes nothing
        await book.finish(settlement)
    oracle.finish(ask, images, paid, unknown)


async def abandon(book: RedisOrders, redis: Redis, oracle: Oracle, ask: Ask) -> None:
    """Let the lease of an order run out, as if its process had been killed."""
    await witness(redis)
    await redis.zadd(of_team(TEAM).holds, {ask.fence: 1}, xx=True)
    await book.renew([])
    left, weight, scopes = oracle.held.pop(ask.fence)
    for scope in scopes:
        oracle.settled[DAY, scope] += left * weight
        oracle.settled[BUDGET, scope] += left * ESTIMATE


async def test_of_several_refusals_the_longest_is_returned(book: RedisOrders) -> None:
    """Of two, because on the last day of a month the day and the month end together."""
    ask = an_ask(limit(FLIGHT, USER, 1), limit(BUDGET, CLAN, 5_000))
    await book.begin(ask)

    with pytest.raises(RateLimited) as caught:
        await book.begin(under_id(ask, "another"))

    assert (caught.value.refused.resource, caught.value.refused.scope) == (BUDGET, "team")
    assert caught.value.is_quota
    assert caught.value.refused.reset_s > 0


async def test_a_budget_is_never_exceeded_to_the_micro_dollar(book: RedisOrders) -> None:
    budget = limit(BUDGET, USER, 3 * ESTIMATE - 1)

    grants = [await book.begin(an_ask(budget)) for _ in range(2)]

    assert grants[-1].limits[0].remaining == ESTIMATE - 1
    with pytest.raises(RateLimited):
        await book.begin(an_ask(budget))


async def test_the_real_cost_replaces_the_estimate(book: RedisOrders) -> None:
    budget = limit(BUDGET, USER, 100_000)
    ask = an_ask(budget)
    await book.begin(ask)

    await book.finish(settle(ask, made=((None, make_image(cost_microusd=1_234)),), released=(0,)))

    grant = await book.begin(an_ask(budget, n=0, only_ready=True, round=1))
    assert grant.limits[0].remaining == 100_000 - 1_234


async def test_an_unpriced_image_passes_until_the_money_is_spent(book: RedisOrders) -> None:
    budget = limit(BUDGET, USER, ESTIMATE)
    unpriced = make_ask(pool=None, limits=(budget,), estimate_microusd=None)

    assert (await book.begin(unpriced)).mine
    await book.begin(an_ask(budget))

    with pytest.raises(RateLimited):
        await book.begin(under_id(unpriced, "another"))


async def test_spending_counts_before_there_is_a_limit(book: RedisOrders) -> None:
    """A budget that is set in the middle of a month covers all of the month."""
    ask = make_ask(pool=None)
    await book.begin(ask)
    await book.finish(settle(ask, made=((None, make_image(cost_microusd=900)),), released=(0,)))

    grant = await book.begin(an_ask(limit(BUDGET, USER, 1_000), limit(DAY, USER, 9), n=0, only_ready=True))

    assert [state.remaining for state in grant.limits] == [100, 8]


@pytest.mark.parametrize(("name", "resource"), [("day", DAY), ("month", BUDGET)])
async def test_use_before_the_window_does_not_count(
    book: RedisOrders, redis: Redis, name: str, resource: Resource
) -> None:
    ask = make_ask(pool=None)
    await book.begin(ask)
    await book.finish(settle(ask, made=made((None, "a")), released=(0,)))
    key = of_team(TEAM).limits_of_user(USER[1])
    today, _, count = (await read_hash(redis, key))[name].partition("|")
    await redis.hset(key, name, f"{int(today) - 1}|{count}")

    grant = await book.begin(an_ask(limit(resource, USER, 10_000), n=0, only_ready=True))

    assert grant.limits[0].remaining == 10_000


async def test_a_renewed_hold_stays_and_one_that_is_not_frees_its_slot(
    book: RedisOrders, redis: Redis
) -> None:
    flight = limit(FLIGHT, USER, 2)
    kept, lost = an_ask(flight), an_ask(flight)
    for ask in (kept, lost):
        await book.begin(ask)
    await expire_holds(redis)
    await book.renew([Lease(ticket=kept.ticket, fence=kept.fence, indices=(0,), granted=1)])

    await book.begin(an_ask(flight))
    with pytest.raises(RateLimited) as caught:
        await book.begin(an_ask(flight))

    assert caught.value.refused.resource == FLIGHT
    assert (await read_hash(redis, of_team(TEAM).limits_of_user(USER[1])))["running"] == f"2|2|{2 * ESTIMATE}"


async def test_days_and_months_are_those_of_the_calendar(redis: Redis) -> None:
    """The scripts' own calendar against Python's, over four centuries."""
    prelude = (files("service.adapters.redis") / "scripts" / "scopes.lua").read_text("utf-8")
    script = redis.register_script(
        prelude
        + """
        local answers = {}
        for i, now in ipairs(ARGV) do
          local date = calendar(tonumber(now))
          answers[i] = table.concat({date.day, date.month, whole(date.day_ends_us), whole(date.month_ends_us)}, ' ')
        end
        return answers"""
    )
    first = datetime(2026, 1, 1, 13, 5, tzinfo=UTC)
    instants = [first + timedelta(days=days) for days in range(0, 146_097, 23)]

    answers = await script(args=[int(instant.timestamp()) * 1_000_000 for instant in instants])

    for instant, answer in zip(instants, answers, strict=True):
        midnight = instant.replace(hour=0, minute=0)
        tomorrow = midnight + timedelta(days=1)
        month = (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
        ends = [f"{int(end.timestamp())}000000" for end in (tomorrow, month)]
        assert answer.decode().split() == [f"{instant:%Y%m%d}", f"{instant:%Y%m}", *ends]


async def test_a_revoked_or_expired_key_and_a_closed_team_spend_nothing(
    book: RedisOrders, redis: Redis
) -> None:
    keys = of_team(TEAM).api_keys
    await redis.hset(keys, mapping={"good": "0|{}", "old": "1000000|{}", "young": "99999999999000000|{}"})
    for key_id in ("good", "young"):
        assert (await book.begin(make_ask(pool=None, key_id=key_id))).mine
    before = await snapshot(redis)

    for key_id in ("old", "never"):
        with pytest.raises(Unauthenticated):
            await book.begin(make_ask(key_id=key_id))
    assert await snapshot(redis) == before
    await redis.hset(keys, "closed", "1")
    with pytest.raises(PermissionDenied):
        await book.begin(make_ask(key_id="good"))
    with pytest.raises(PermissionDenied):
        await book.begin(make_ask())
