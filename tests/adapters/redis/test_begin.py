"""An order is granted ready images, indices of its own and indices to await."""

import orjson
import pytest
from redis.asyncio import Redis

from service.adapters.redis.client.script import Script
from service.adapters.redis.keys import pool_key
from service.adapters.redis.orders import RedisOrders
from service.domain.errors import RateLimited, StateUnavailable
from service.domain.limits import Resource
from tests.adapters.redis.orders import (
    IMAGES,
    POOL,
    REQUESTS,
    TEAM,
    MakeBook,
    age_variants,
    expire_claims,
    fill,
    made,
    make_ask,
    make_image,
    names_of,
    read_holds,
    read_ledger,
    reason_of,
    settle,
    snapshot,
)


async def test_an_empty_pool_gives_the_lowest_indices(book: RedisOrders) -> None:
    grant = await book.begin(make_ask(n=3))

    assert (grant.ready, grant.mine, grant.awaited) == ((), (0, 1, 2), ())


async def test_ready_images_come_oldest_first_and_complete(book: RedisOrders) -> None:
    await fill(book, *"abcdefghijkl")  # twelve, so that the order of text would differ from that of numbers

    grant = await book.begin(make_ask(n=11))

    assert [variant.index for variant in grant.ready] == list(range(11))
    assert [variant.image for variant in grant.ready] == [make_image(name) for name in "abcdefghijk"]
    assert all(0 <= variant.age_s < 60 for variant in grant.ready)
    assert (grant.mine, grant.awaited) == ((), ())


async def test_the_oldest_variant_comes_first_with_any_index(book: RedisOrders) -> None:
    slow, quick = make_ask(n=2), make_ask(n=1, fresh=True)
    await book.begin(slow)
    await book.begin(quick)
    await book.finish(settle(quick, made=made((2, "first"))))
    await book.finish(settle(slow, made=made((1, "second b"), (0, "second a"))))

    oldest = await book.begin(make_ask(n=1))
    everything = await book.begin(make_ask(n=3))

    assert [variant.image for variant in oldest.ready] == [make_image("first")]
    # As the orders that had them made were answered.
    assert [variant.index for variant in everything.ready] == [0, 1, 2]


async def test_ten_behind_one_claim_nine_and_await_one(book: RedisOrders) -> None:
    await book.begin(make_ask(n=1))

    grant = await book.begin(make_ask(n=10))

    assert (grant.mine, grant.awaited) == (tuple(range(1, 10)), (0,))


async def test_ready_then_awaited_then_own(book: RedisOrders) -> None:
    await fill(book, "a", "b")
    await book.begin(make_ask(n=3))

    grant = await book.begin(make_ask(n=5))

    assert [variant.index for variant in grant.ready] == [0, 1]
    assert (grant.awaited, grant.mine) == ((2,), (3, 4))


async def test_used_indices_are_never_given_again(book: RedisOrders) -> None:
    await fill(book, "a", "b")
    await book.begin(make_ask(n=3))  # awaits nothing, claims 2

    grant = await book.begin(make_ask(n=3, used=(0, 2, 3)))

    assert [variant.index for variant in grant.ready] == [1]
    assert (grant.awaited, grant.mine) == ((), (4, 5))


async def test_no_cache_claims_above_the_highest(book: RedisOrders) -> None:
    """Not into the gaps either: a gap is another's failure, and others may be about to fill it."""
    await fill(book, "a", "b", "c")
    await book.finish(settle(make_ask(), forgotten=((1, make_image("b").digest),)))

    grant = await book.begin(make_ask(n=2, fresh=True))

    assert (grant.ready, grant.mine, grant.awaited) == ((), (3, 4), ())


async def test_only_ready_claims_and_awaits_nothing(book: RedisOrders, redis: Redis) -> None:
    await fill(book, "a")
    await book.begin(make_ask(n=2))
    before = await read_holds(redis)

    grant = await book.begin(make_ask(n=4, only_ready=True))

    assert [variant.index for variant in grant.ready] == [0]
    assert (grant.mine, grant.awaited) == ((), ())
    assert await read_holds(redis) == before


async def test_max_age_passes_over_older_images(book: RedisOrders, redis: Redis) -> None:
    await fill(book, "old")
    await age_variants(redis, by_s=100)

    young = await book.begin(make_ask(max_age_s=99))
    old = await book.begin(make_ask(max_age_s=160))

    assert (young.ready, young.mine) == ((), (1,))
    assert [variant.index for variant in old.ready] == [0]
    assert 100 <= old.ready[0].age_s < 160


async def test_max_age_zero_takes_nothing_ready(book: RedisOrders) -> None:
    await fill(book, "a")

    assert (await book.begin(make_ask(max_age_s=0))).mine == (1,)


async def test_an_image_older_than_the_ttl_is_gone_and_its_index_free(
    make_book: MakeBook, redis: Redis
) -> None:
    book = make_book(ttl_s=1000)
    await fill(book, "a", "b")
    await age_variants(redis, by_s=1000)

    grant = await book.begin(make_ask(n=1))

    assert (grant.ready, grant.mine) == ((), (0,))
    assert await redis.hkeys(POOL) == [b"0"]


async def test_an_expired_claim_is_granted_to_the_next_order(book: RedisOrders, redis: Redis) -> None:
    await book.begin(make_ask(n=2))
    await expire_claims(redis)

    grant = await book.begin(make_ask(n=1))

    assert (grant.mine, grant.awaited) == ((0,), ())


async def test_a_waiter_that_asks_again_becomes_the_maker(book: RedisOrders, redis: Redis) -> None:
    await book.begin(make_ask())
    waiter = make_ask()
    assert (await book.begin(waiter)).awaited == (0,)
    await expire_claims(redis)

    again = make_ask(id=waiter.ticket.id, round=1)

    assert (await book.begin(again)).mine == (0,)


async def test_the_same_ask_sent_twice_is_charged_once_and_gets_the_same(
    book: RedisOrders, redis: Redis
) -> None:
    ask = make_ask(n=2, limits=(REQUESTS, IMAGES))

    first = await book.begin(ask)
    second = await book.begin(ask)

    assert first.mine == second.mine == (0, 1)
    assert [limit.remaining for limit in second.limits] == [59, 58]
    assert [hold["images"] for hold in (await read_holds(redis)).values()] == [2]


async def test_a_later_round_pays_for_images_but_not_for_a_request(book: RedisOrders) -> None:
    ask = make_ask(limits=(REQUESTS, IMAGES))
    await book.begin(ask)

    grant = await book.begin(make_ask(id=ask.ticket.id, round=1, n=2, used=(0,), limits=ask.ticket.limits))

    assert [limit.remaining for limit in grant.limits] == [59, 57]


async def test_hits_and_waiters_count_as_requests_only(book: RedisOrders) -> None:
    await fill(book, "a")
    await book.begin(make_ask(n=2))

    grant = await book.begin(make_ask(n=2, limits=(REQUESTS, IMAGES)))

    assert (len(grant.ready), grant.awaited) == (1, (1,))
    assert [limit.remaining for limit in grant.limits] == [59, 60]


@pytest.mark.parametrize("pool", [POOL, None])
async def test_a_refusal_changes_nothing_at_all(book: RedisOrders, redis: Redis, pool: str | None) -> None:
    await fill(book, "a")
    await age_variants(redis, by_s=10 * 86400)  # a stale one, which an admitted order would have dropped
    tight = IMAGES.__class__(resource=Resource.IMAGES, scope="user", key="u1", amount=2)
    await book.begin(make_ask(limits=(tight,), fresh=True))
    before = await snapshot(redis)

    with pytest.raises(RateLimited) as refusal:
        await book.begin(make_ask(n=2, fresh=True, limits=(REQUESTS, tight), pool=pool))

    assert await snapshot(redis) == before
    assert refusal.value.refused.resource == "images"
    assert [limit.remaining for limit in refusal.value.limits] == [60, 1]
    # One of two a minute is missing: half a minute, less what has passed.
    assert 20 < refusal.value.retry_after_s <= 30


async def test_without_a_pool_nothing_is_found_or_left(book: RedisOrders, redis: Redis) -> None:
    ask = make_ask(pool=None, n=2)

    grant = await book.begin(ask)
    other = await book.begin(make_ask(pool=None, n=2))
    await book.finish(settle(ask, made=made((None, "a"), (None, "b")), released=grant.mine))

    assert grant.mine == other.mine == (0, 1)
    assert list(await read_holds(redis)) != [ask.fence]
    assert not [key for key in await names_of(redis) if ":pool:" in key]
    assert await read_ledger(redis) == {"made|images": 2, "made|microusd": 8000}


async def test_a_variant_of_another_pool_is_dropped(book: RedisOrders, redis: Redis) -> None:
    """More than a key separates tenants: the value names its pool too."""
    theirs = pool_key("t2", "team", "f" * 32)
    await fill(book, "theirs", pool=theirs, team="t2")
    await fill(book, "ours")
    planted = await redis.hget(theirs, "0")
    await redis.hset(POOL, "1", planted)

    grant = await book.begin(make_ask(n=2))

    assert [variant.image for variant in grant.ready] == [make_image("ours")]


async def test_an_answer_for_another_order_is_refused(book: RedisOrders, redis: Redis) -> None:
    """A connection mixed up after a cancellation would return such an answer."""
    answer = orjson.dumps({"id": "another", "ready": {}}).decode()
    book._begin = Script(redis, f"return '{answer}'", timeout_s=2)

    assert await reason_of(book.begin(make_ask())) == "mixed_up"


async def test_a_wrong_answer_never_reaches_the_caller_as_a_refusal(book: RedisOrders, redis: Redis) -> None:
    book._begin = Script(redis, 'return \'{"id":"another","refused":0,"limits":[]}\'', timeout_s=2)

    with pytest.raises(StateUnavailable):
        await book.begin(make_ask())


async def test_every_key_carries_the_tag_of_its_team(book: RedisOrders, redis: Redis) -> None:
    ask = make_ask(n=2, limits=(REQUESTS, IMAGES))
    await book.begin(ask)
    await book.finish(settle(ask, made=made((0, "a")), released=(1,), refunded=1))
    await book.begin(make_ask(pool=None))

    names = await names_of(redis)

    assert len(names) >= 7
    assert {name for name in names if not name.startswith(f"ig:1:{{{TEAM}}}:")} == {"ig:1:{directory}:seen"}


async def test_every_key_expires(book: RedisOrders, redis: Redis) -> None:
    ask = make_ask(n=2, limits=(REQUESTS, IMAGES))
    await book.begin(ask)
    await book.finish(settle(ask, made=made((0, "a"))))

    lasting = {name.split(":")[3] for name in await names_of(redis) if await redis.ttl(name) < 0}

    # Bounded by what is in flight, and emptied by a sweep; references last until somebody takes them away.
    assert lasting == {"holds", "hold-details", "images", "ages", "totals", "seen"}


@pytest.mark.parametrize("index", [-1, 0], ids=["given up", "made"])
async def test_an_ask_that_arrives_after_its_settlement_is_granted_nothing(
    book: RedisOrders, redis: Redis, index: int
) -> None:
    """A server that hung runs what it received meanwhile in any order, also an ask that was given up.

    Its hold would have no owner, and a sweep would book the images as unknown.
    """
    ask = make_ask()
    if index == 0:
        await book.begin(ask)
    await book.finish(settle(ask, released=(index,)))
    before = await snapshot(redis)

    reason = await reason_of(book.begin(ask))

    assert reason == "timeout"
    assert await snapshot(redis) == before
