"""Reading the ledger in pages, and taking a person out of it without losing a sum."""

from collections import Counter
from collections.abc import Awaitable
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from service.adapters.clock import SystemClock
from service.adapters.redis.keys import of_team, pool_key
from service.adapters.redis.ledger import RedisLedger
from service.adapters.redis.orders import RedisOrders
from service.domain.errors import StateUnavailable
from service.ports.admission import Lease
from service.ports.ledger import KEPT_DAYS, LedgerEntry
from tests.adapters.redis.dumps import read_everything
from tests.adapters.redis.orders import (
    IMAGES,
    MakeBook,
    expire_holds,
    made,
    make_ask,
    make_image,
    read_holds,
    settle,
)

ANNA, BOB = "a" * 32, "b" * 32


def day(ago: int = 0) -> date:
    """Return the UTC day so many days ago; asked anew each time, since a run may pass midnight."""
    return datetime.now(UTC).date() - timedelta(days=ago)


@pytest.fixture
def ledger(redis: Redis) -> RedisLedger:
    return RedisLedger(redis, clock=SystemClock(), timeout_s=20.0)


async def write(redis: Redis, on: date, fields: dict[str, int], team: str = "t1") -> None:
    key = of_team(team).ledger(on)
    mapping: dict[Any, Any] = dict(fields)
    await cast("Awaitable[Any]", redis.hset(key, mapping=mapping))
    await redis.expire(key, 1000)


async def read(
    ledger: RedisLedger, *days: date, user: str | None = None, team: str = "t1"
) -> list[LedgerEntry]:
    entries = [entry async for entry in ledger.read(team, days or (day(1), day()), user)]
    return sorted(entries, key=lambda entry: (entry.day, entry.user, entry.model, entry.outcome))


async def test_settled_images_are_in_the_ledger(book: RedisOrders, ledger: RedisLedger) -> None:
    ask = make_ask(n=3, user=ANNA, model="gpt-image-2")
    await book.begin(ask)
    priced, unpriced = make_image("a", cost_microusd=4000), make_image("b", cost_microusd=None)
    await book.finish(settle(ask, made=((0, priced), (1, unpriced)), released=(2,), unknown=1))

    made_entry, unknown = await read(ledger)

    assert made_entry == LedgerEntry(
        day=day().isoformat(),
        team="t1",
        user=ANNA,
        model="gpt-image-2",
        realm="live",
        outcome="made",
        images=2,
        microusd=4000,
        unpriced=1,
    )
    assert (unknown.outcome, unknown.images, unknown.microusd) == ("unknown", 1, 5000)
    assert await ledger.teams() == ["t1"]


async def test_the_model_and_the_backend_that_made_images_are_booked(
    make_book: MakeBook, redis: Redis, ledger: RedisLedger
) -> None:
    book = make_book()
    ask = make_ask(n=3, user=ANNA, model="gpt-image-1")
    await book.begin(ask)
    await book.finish(settle(ask, made=made((0, "a")), backend="azure", model="gpt-image-1"))
    crossed = {"backend": "openai", "model": "gpt-image-2.6-flare"}
    await book.finish(settle(ask, part="0.1", released=(1,), unknown=1, **crossed))

    assert [(each.model, each.backend, each.outcome, each.images) for each in await read(ledger)] == [
        ("gpt-image-1", "azure", "made", 1),
        ("gpt-image-2.6-flare", "openai", "unknown", 1),
    ]

    # Of a process that died, nobody knows the backend; a late settlement replaces that booking.
    await expire_holds(redis)
    await book.renew([])
    assert ("", "unknown", 1) in [(each.backend, each.outcome, each.images) for each in await read(ledger)]
    await book.finish(settle(ask, part="0.2", made=made((2, "c")), **crossed))
    assert [(each.model, each.backend, each.outcome) for each in await read(ledger) if each.images] == [
        ("gpt-image-1", "azure", "made"),
        ("gpt-image-2.6-flare", "openai", "made"),
        ("gpt-image-2.6-flare", "openai", "unknown"),
    ]


async def test_erasing_takes_the_sums_of_every_backend(
    book: RedisOrders, redis: Redis, ledger: RedisLedger
) -> None:
    ask = make_ask(user=ANNA)
    await book.begin(ask)
    await book.finish(settle(ask, made=made((0, "a")), backend="azure"))

    assert await ledger.erase("t1", ANNA) > 0

    assert [(each.user, each.backend, each.images) for each in await read(ledger)] == [("erased", "azure", 1)]


async def test_days_users_and_teams_are_separate(redis: Redis, ledger: RedisLedger) -> None:
    await write(redis, day(1), {f"{ANNA}|m|live|made|images": 1, f"{ANNA}|m|live|made|microusd": 5})
    await write(redis, day(), {f"{ANNA}|m|live|made|images": 2, f"{BOB}|m|sandbox|made|images": 4})
    await write(redis, day(), {f"{ANNA}|m|live|made|images": 8}, team="t2")

    assert [entry.images for entry in await read(ledger)] == [1, 2, 4]
    assert [entry.images for entry in await read(ledger, day(1))] == [1]
    assert [entry.images for entry in await read(ledger, user=ANNA)] == [1, 2]
    assert [entry.images for entry in await read(ledger, team="t2")] == [8]
    assert await read(ledger, day(2)) == []


async def test_names_with_bars_and_fields_without_realm_are_understood(
    redis: Redis, ledger: RedisLedger
) -> None:
    await write(
        redis,
        day(),
        {
            f"{ANNA}|a|b|live|made|images": 1,
            f"{ANNA}|a|b|@openai|live|made|images": 1,
            f"{ANNA}|old|made|images": 1,
            f"{ANNA}|gone|live|unknown|images": 0,
            "nonsense": 1,
        },
    )

    entries = [(entry.model, entry.backend, entry.realm) for entry in await read(ledger)]
    assert sorted(entries) == [("a|b", "", "live"), ("a|b", "openai", "live")]


async def test_a_large_day_is_read_whole_and_once(redis: Redis, ledger: RedisLedger) -> None:
    fields = {
        f"{number:032x}|m|live|made|{unit}": 1 for number in range(3000) for unit in ("images", "microusd")
    }
    await write(redis, day(), fields)

    entries = await read(ledger)

    assert len({entry.user for entry in entries}) == len(entries) == 3000
    assert {(entry.images, entry.microusd, entry.unpriced) for entry in entries} == {(1, 1, 0)}


async def test_erasing_moves_every_sum_to_the_erased_user(redis: Redis, ledger: RedisLedger) -> None:
    for one in (day(), day(1), day(KEPT_DAYS)):
        await write(
            redis,
            one,
            {
                f"{ANNA}|m|live|made|images": 3,
                f"{ANNA}|m|live|made|microusd": 30,
                f"{BOB}|m|live|made|images": 4,
                "erased|m|live|made|images": 5,
            },
        )

    changed = await ledger.erase("t1", ANNA)

    entries = await read(ledger, day(), day(1), day(KEPT_DAYS))
    assert changed == 6
    assert [(entry.user, entry.images, entry.microusd) for entry in entries] == [
        (BOB, 4, 0),
        ("erased", 8, 30),
    ] * 3
    assert ANNA not in str(await read_everything(redis))
    assert 0 < await redis.ttl(of_team("t1").ledger(day())) <= 1000
    assert await ledger.erase("t1", ANNA) == 0


async def test_erasing_takes_limits_and_own_pools_and_leaves_those_of_others(
    book: RedisOrders, redis: Redis, ledger: RedisLedger
) -> None:
    team_pool = pool_key("t1", "team", "f" * 32)
    pools = {user: pool_key("t1", f"user-{user}", "f" * 32) for user in (ANNA, BOB)}
    for user, pool in [*pools.items(), (ANNA, team_pool)]:
        ask = make_ask(user=user, pool=pool, limits=(replace(IMAGES, key=user),))
        await book.begin(ask)
        await book.finish(settle(ask, made=made((0, "a"))))
    # More keys than one page, so that the search has to go on.
    for number in range(2500):
        await redis.set(f"ig:1:{{t1}}:pool:user-{BOB}:{number}", "")

    await ledger.erase("t1", ANNA)

    names = set(await read_everything(redis))
    assert not [name for name in names if ANNA in name]
    assert {team_pool, pools[BOB], of_team("t1").limits_of_user(BOB)} <= names
    assert len(names) >= 2503


async def test_holds_of_an_erased_person_are_booked_to_the_erased_user(
    book: RedisOrders, redis: Redis, ledger: RedisLedger
) -> None:
    for user in (ANNA, BOB):
        await book.begin(make_ask(user=user, n=2, pool=None))

    changed = await ledger.erase("t1", ANNA)
    await expire_holds(redis)
    await book.renew([])

    assert changed >= 1
    assert sorted((entry.user, entry.outcome, entry.images) for entry in await read(ledger)) == [
        (BOB, "unknown", 2),
        ("erased", "unknown", 2),
    ]
    assert ANNA not in str(await read_holds(redis))


async def test_an_interrupted_erasure_is_finished_by_the_next(redis: Redis, ledger: RedisLedger) -> None:
    """As if the process had died between two batches: no sum is lost, none counts twice."""
    fields = {f"{ANNA}|m{number}|live|made|images": 1 for number in range(1200)}
    await write(redis, day(), fields)
    await ledger._rename("t1", day(), ANNA, fields=sorted(fields)[:700])

    await ledger.erase("t1", ANNA)
    await ledger._rename("t1", day(), ANNA, fields=sorted(fields))

    sums: Counter[str] = Counter()
    for entry in await read(ledger):
        sums[entry.user] += entry.images
    assert sums == {"erased": 1200}


async def test_a_restarted_process_books_the_holds_of_others(
    make_book: MakeBook, redis: Redis, ledger: RedisLedger
) -> None:
    """The holds of a team without orders since the restart must not wait for its next order."""
    await make_book(process="died").begin(make_ask(pool=None, user=ANNA, team="quiet"))
    await expire_holds(redis, "quiet")

    await make_book(process="new").renew([])

    assert [entry.outcome for entry in await read(ledger, team="quiet")] == ["unknown"]
    assert await redis.exists(of_team("quiet").hold_details)


async def test_living_orders_of_an_unnoted_team_are_renewed(make_book: MakeBook, redis: Redis) -> None:
    """The list of teams is for sweeping; a claim that is lost for it would be made, and paid for, twice."""
    await redis.set("ig:1:{directory}:seen", "no set")
    book, ask = make_book(lease_s=30), make_ask()
    await book.begin(ask)
    await expire_holds(redis)

    with pytest.raises(StateUnavailable):
        await book.renew([Lease(ticket=ask.ticket, fence=ask.fence, indices=(0,))])

    assert await redis.zcount(of_team(ask.ticket.caller.team).holds, 2, "+inf") == 1


async def test_without_redis_nothing_is_guessed(redis: Redis, ledger: RedisLedger) -> None:
    await cast("Awaitable[Any]", redis.set(of_team("t1").ledger(day()), "no hash"))

    with pytest.raises(StateUnavailable):
        await read(ledger)
