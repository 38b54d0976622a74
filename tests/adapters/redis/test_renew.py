"""Living orders are renewed; holds of dead ones are booked once, and can still be settled."""

import asyncio
import time
from dataclasses import replace

import orjson
import pytest
from redis.asyncio import Redis

from service.adapters.redis import keys
from service.adapters.redis.abandoned import RedisAbandonedOrders
from service.adapters.redis.client.client import open_client
from service.adapters.redis.orders import RedisOrders
from service.domain.errors import RateLimited
from service.domain.limits import Limit, Resource
from service.domain.order import Idempotency
from service.ports.admission import Ask, Lease
from tests.adapters.redis.orders import (
    ESTIMATE_MICROUSD,
    POOL,
    SCOPE,
    TEAM,
    MakeBook,
    expire_claims,
    expire_holds,
    fill,
    limits_key,
    made,
    make_ask,
    names_of,
    read_hash,
    read_holds,
    read_ledger,
    reason_of,
    settle,
    snapshot,
)

UNKNOWN_TWO = {"unknown|images": 2, "unknown|microusd": 2 * ESTIMATE_MICROUSD}


def lease(ask: Ask, *indices: int) -> Lease:
    return Lease(ticket=ask.ticket, fence=ask.fence, indices=indices, granted=len(indices))


async def test_a_renewed_claim_outlives_its_first_lease(make_book: MakeBook, redis: Redis) -> None:
    short, long = make_book(lease_s=60), make_book(lease_s=3600)
    ask, untouched = make_ask(n=2), make_ask(pool=None)
    await short.begin(ask)
    await short.begin(untouched)
    await long.begin(make_ask(only_ready=True))  # so that it knows the team

    await long.renew([lease(ask, 0, 1)])

    seconds, _ = await redis.time()
    far_us = (seconds + 1800) * 1_000_000
    assert await redis.zrangebyscore(keys.of_team(TEAM).holds, far_us, "+inf") == [ask.fence.encode()]
    claims = [str(entry, "utf-8") for entry in await redis.hvals(POOL)]  # type: ignore[arg-type]  # bytes
    assert all(int(claim.split("|")[1]) > far_us for claim in claims)
    assert await redis.pttl(POOL) > 1800 * 1000


async def test_renewing_takes_no_claim_back_from_another(book: RedisOrders, redis: Redis) -> None:
    late, new = make_ask(), make_ask()
    await book.begin(late)
    await expire_claims(redis)
    await book.begin(new)

    await book.renew([lease(late, 0)])
    await book.finish(settle(new, made=made((0, "new"))))
    await book.renew([lease(late, 0)])

    grant = await book.begin(make_ask(only_ready=True))
    assert len(grant.ready) == 1


async def test_an_expired_hold_is_booked_as_unknown_once(book: RedisOrders, redis: Redis) -> None:
    await book.begin(make_ask(n=2))
    await expire_holds(redis)

    await book.renew([])
    await book.renew([])

    assert await read_ledger(redis) == UNKNOWN_TWO


async def test_a_living_hold_is_not_booked(book: RedisOrders, redis: Redis) -> None:
    await book.begin(make_ask(n=2))

    await book.renew([])

    assert await read_ledger(redis) == {}


async def test_another_process_books_the_holds_of_a_dead_one(make_book: MakeBook, redis: Redis) -> None:
    await make_book(process="dead").begin(make_ask(n=2))
    await expire_holds(redis)
    survivor = make_book(process="alive")
    await survivor.begin(make_ask(only_ready=True))

    await survivor.renew([])

    assert await read_ledger(redis) == UNKNOWN_TWO


async def test_a_living_maker_keeps_its_place_though_a_sweep_came_first(
    make_book: MakeBook, redis: Redis
) -> None:
    """After an outage the first process to return books lapsed holds, perhaps just before their own process returns."""
    maker, other = make_book(process="maker"), make_book(process="other")
    ask = make_ask()
    await maker.begin(ask)
    await expire_claims(redis)
    await expire_holds(redis)
    await other.begin(make_ask(only_ready=True))  # so that it knows the team
    await other.renew([])

    await maker.renew([lease(ask, 0)])

    assert (await other.begin(make_ask())).awaited == (0,)
    await maker.finish(settle(ask, made=made((0, "a"))))
    assert await read_ledger(redis) == {"made|images": 1, "made|microusd": 4000}
    assert await read_holds(redis) == {}


async def test_a_late_settlement_takes_its_images_out_of_the_unknown(book: RedisOrders, redis: Redis) -> None:
    ask = make_ask(n=2)
    await book.begin(ask)
    await expire_holds(redis)
    await book.renew([])

    await book.finish(settle(ask, part="0.0", made=made((0, "a"))))
    assert await read_ledger(redis) == {
        "made|images": 1,
        "made|microusd": 4000,
        "unknown|images": 1,
        "unknown|microusd": ESTIMATE_MICROUSD,
    }

    await book.finish(settle(ask, part="0.1", released=(1,)))
    assert await read_ledger(redis) == {"made|images": 1, "made|microusd": 4000}
    assert await read_holds(redis) == {}


async def test_a_late_settlement_of_the_unknown_stays_unknown(book: RedisOrders, redis: Redis) -> None:
    ask = make_ask(n=2)
    await book.begin(ask)
    await expire_holds(redis)
    await book.renew([])

    await book.finish(settle(ask, released=(0, 1), unknown=2))

    assert await read_ledger(redis) == UNKNOWN_TWO


async def test_an_unsettled_hold_is_removed_in_the_end(book: RedisOrders, redis: Redis) -> None:
    await book.begin(make_ask(n=2))
    for _ in range(2):
        await expire_holds(redis)
        await book.renew([])

    assert await read_holds(redis) == {}
    assert await read_ledger(redis) == UNKNOWN_TWO


async def test_a_settled_order_leaves_nothing_to_book(book: RedisOrders, redis: Redis) -> None:
    await fill(book, "a", "b")
    await expire_holds(redis)

    await book.renew([])

    assert await read_ledger(redis) == {"made|images": 2, "made|microusd": 8000}


async def test_every_team_is_renewed_by_itself(book: RedisOrders, redis: Redis) -> None:
    for team in ("t1", "t2"):
        await book.begin(make_ask(team=team, pool=None, n=2))
        await expire_holds(redis, team)

    await book.renew([])

    assert await read_ledger(redis, "t1") == await read_ledger(redis, "t2") == UNKNOWN_TWO


async def test_living_orders_are_renewed_before_dead_holds_are_booked(
    make_book: MakeBook, redis: Redis
) -> None:
    """A renewal may be cut short, and only a living order has something to lose."""
    here, elsewhere = make_book(), make_book(process="elsewhere")
    living = [make_ask(team=f"living-{i}", pool=None) for i in range(2)]
    known, strange = [f"known-{i}" for i in range(8)], [f"strange-{i}" for i in range(8)]
    for team in known:
        await here.begin(make_ask(team=team, pool=None))
    for ask in (*living, *(make_ask(team=team, pool=None) for team in strange)):
        await elsewhere.begin(ask)
    for team in (*known, *strange):
        await expire_holds(redis, team)

    await here.renew([lease(ask) for ask in living])

    order = [
        team
        for _, team in sorted([(await _renewed_at_us(redis, team), team) for team in await _teams(redis)])
    ]
    assert order[:2] == ["living-0", "living-1"]
    assert (set(order[2:10]), set(order[10:])) == (set(known), set(strange))


async def _teams(redis: Redis) -> list[str]:
    return [name.partition("{")[2].partition("}")[0] for name in await names_of(redis) if ":holds:" in name]


async def _renewed_at_us(redis: Redis, team: str) -> float:
    """Return when a hold was renewed for half a minute, or swept and kept for a day."""
    [fence] = await read_holds(redis, team)
    expires_us = await redis.zscore(keys.of_team(team).holds, fence) or 0
    return expires_us - (30 if team.startswith("living") else 31 * 86400) * 1_000_000


async def test_a_claim_expires_by_the_servers_own_clock(make_book: MakeBook) -> None:
    """The other tests shorten the waiting; this one has it in real time."""
    book = make_book(lease_s=0.3)
    await book.begin(make_ask())
    waiter = make_ask()
    started_s = time.monotonic()

    # Well below the lease that claims have unless a test says otherwise.
    async with asyncio.timeout(20):
        while not (await book.begin(waiter)).mine:
            await book.renew([])
            waiter = make_ask(id=waiter.ticket.id, round=waiter.round + 1)
            await asyncio.sleep(0.02)

    assert time.monotonic() - started_s > 0.2


async def test_one_teams_broken_key_stops_no_others_renewal(make_book: MakeBook, redis: Redis) -> None:
    book = make_book(lease_s=30)
    asks = [make_ask(team=team, pool=None) for team in ("a", "b", "c")]
    for ask in asks:
        await book.begin(ask)
        await expire_holds(redis, ask.ticket.caller.team)
    await redis.delete(keys.of_team("b").holds)
    await redis.set(keys.of_team("b").holds, "no set")

    leases = [Lease(ticket=replace(ask.ticket, pool=None), fence=ask.fence, indices=(0,)) for ask in asks]
    assert await reason_of(book.renew(leases)) == "wrongtype"

    assert [await redis.zcount(keys.of_team(team).holds, 2, "+inf") for team in ("a", "c")] == [1, 1]


async def test_a_settlement_after_midnight_corrects_the_day_of_the_sweep(
    book: RedisOrders, redis: Redis
) -> None:
    ask = make_ask(n=2)
    await book.begin(ask)
    await expire_holds(redis)
    await book.renew([])
    [ledger] = [name for name in await names_of(redis) if ":ledger:" in name]
    yesterday = keys.of_team(TEAM).ledgers + "20260101"
    await redis.rename(ledger, yesterday)
    text = orjson.dumps((await read_holds(redis))[ask.fence])
    text = text.replace(ledger.rpartition(":")[2].encode(), b"20260101")
    await redis.hset(keys.of_team(TEAM).hold_details, ask.fence, text)

    await book.finish(settle(ask, made=made((0, "a")), released=(1,)))

    assert set((await read_hash(redis, yesterday)).values()) == {"0"}
    assert await read_ledger(redis) == {"made|images": 1, "made|microusd": 4000}


async def test_what_a_server_lost_is_held_and_claimed_again(book: RedisOrders, redis: Redis) -> None:
    flight = Limit(resource=Resource.IMAGES_IN_FLIGHT, scope=SCOPE[0], key=SCOPE[1], amount=3)
    ask = make_ask(n=3, limits=(flight,))
    await book.begin(ask)
    await book.finish(settle(ask, made=made((1, "a"))))
    left = Lease(ticket=ask.ticket, fence=ask.fence, indices=(0, 2), granted=3)
    before = await snapshot(redis)
    for name in (*await names_of(redis),):
        if any(part in name for part in (":hold", ":pool:", ":limits:")):
            await redis.delete(name)

    await book.renew([left])

    after = await snapshot(redis)
    assert before.keys() - after.keys() == set()
    assert (await book.begin(make_ask(n=2, fresh=False))).awaited == (0, 2)
    with pytest.raises(RateLimited):
        await book.begin(make_ask(n=2, limits=(flight,), pool=None))
    await book.finish(settle(ask, part="0.1", released=(0, 2), refunded=2))
    assert await read_holds(redis) == {}
    assert "running" not in await read_hash(redis, limits_key(SCOPE))


async def test_a_renewal_that_comes_late_revives_no_settled_order(book: RedisOrders, redis: Redis) -> None:
    ask = make_ask(n=2)
    await book.begin(ask)
    await book.finish(settle(ask, made=made((0, "a"))))
    await book.renew([lease(ask, 0, 1)])
    assert (await book.begin(make_ask(n=2))).awaited == (1,)
    await book.finish(settle(ask, part="0.1", released=(1,)))

    await book.renew([lease(ask, 0, 1)])

    assert await read_holds(redis) == {}
    assert (await book.begin(make_ask(n=2))).mine == (1,)


async def test_the_claims_of_a_dead_order_end_with_its_hold(book: RedisOrders, redis: Redis) -> None:
    """Those that wait for its images hear of it, rather than ask in vain."""
    await book.begin(make_ask(n=2))
    await expire_holds(redis)
    async with redis.pubsub(ignore_subscribe_messages=True) as channel:
        await channel.subscribe(keys.CHANNEL)
        await channel.get_message(timeout=5)

        await book.renew([])

        message = await channel.get_message(timeout=5)
        # The nodes of a cluster may pass on news of an earlier test only now.
        while message is not None and orjson.loads(message["data"])["by"]:
            message = await channel.get_message(timeout=5)
    assert message is not None
    assert orjson.loads(message["data"]) == {"pool": POOL, "indices": [0, 1], "by": ""}
    assert (await book.begin(make_ask(n=2))).mine == (0, 1)


async def test_holds_of_an_earlier_version_are_forgotten(book: RedisOrders, redis: Redis) -> None:
    await book.begin(make_ask())
    for name in keys.of_team(TEAM).outdated:
        await redis.set(name, "")

    await book.renew([])

    assert [0 < await redis.ttl(name) <= 86400 for name in keys.of_team(TEAM).outdated] == [True, True]


async def test_what_a_dead_process_held_is_released_at_once(
    make_book: MakeBook, client: Redis, redis: Redis
) -> None:
    flight = Limit(resource=Resource.IMAGES_IN_FLIGHT, scope=SCOPE[0], key=SCOPE[1], amount=3)
    dead, living = make_book(process="dead"), make_book(process="living")
    once = Idempotency("k" * 32, "o" * 32)
    await dead.begin(make_ask(n=2, limits=(flight,), idempotency=once))
    await living.begin(make_ask(n=1, limits=(flight,), fresh=True))
    abandoned = RedisAbandonedOrders(client, timeout_s=20)

    for _ in range(2):
        await abandoned.release("dead")

    assert await read_ledger(redis) == UNKNOWN_TWO
    grant = await living.begin(make_ask(n=3, limits=(flight,), idempotency=once))
    assert (grant.mine, grant.awaited) == ((0, 1), (2,))
    with pytest.raises(RateLimited):
        await living.begin(make_ask(limits=(flight,), fresh=True))


async def test_a_broken_key_of_one_team_keeps_no_other_from_being_released(
    make_book: MakeBook, client: Redis, redis: Redis
) -> None:
    book = make_book(process="dead")
    for team in ("a", "b", "c"):
        await book.begin(make_ask(team=team, pool=None, n=2))
    await redis.delete(keys.of_team("b").hold_details)
    await redis.set(keys.of_team("b").hold_details, "no hash")

    assert await reason_of(RedisAbandonedOrders(client, timeout_s=20).release("dead")) == "wrongtype"

    assert await read_ledger(redis, "a") == await read_ledger(redis, "c") == UNKNOWN_TWO


async def test_without_redis_nothing_is_released() -> None:
    async with open_client("redis://127.0.0.1:1", timeout_s=1, connections=1) as client:
        assert await reason_of(RedisAbandonedOrders(client, timeout_s=1).release("dead")) == "connection"
