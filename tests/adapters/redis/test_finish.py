"""Settling: publishing under fences, giving back, charging, and doing it once."""

import pytest
from redis.asyncio import Redis

from service.adapters.redis.keys import pool_key
from service.adapters.redis.orders import RedisOrders
from service.ports.admission import Ask
from tests.adapters.redis.orders import (
    ESTIMATE_MICROUSD,
    IMAGES,
    POOL,
    REQUESTS,
    expire_claims,
    fill,
    made,
    make_ask,
    make_image,
    read_holds,
    read_ledger,
    reason_of,
    settle,
    snapshot,
)


async def names_in_pool(book: RedisOrders, *among: str) -> dict[int, str]:
    """Return which of the images *among* are ready, by index."""
    names = {make_image(name).digest: name for name in among}
    grant = await book.begin(make_ask(n=20, only_ready=True))
    return {variant.index: names[variant.image.digest] for variant in grant.ready}


async def test_an_image_is_published_under_its_index(book: RedisOrders) -> None:
    ask = make_ask(n=2)
    await book.begin(ask)

    await book.finish(settle(ask, made=made((1, "b"))))

    assert await names_in_pool(book, "b") == {1: "b"}


async def test_a_stale_fence_is_refused_where_another_claims(book: RedisOrders, redis: Redis) -> None:
    late, new = make_ask(), make_ask()
    await book.begin(late)
    await expire_claims(redis)
    assert (await book.begin(new)).mine == (0,)

    await book.finish(settle(late, made=made((0, "late"))))
    assert await names_in_pool(book) == {}

    await book.finish(settle(new, made=made((0, "new"))))
    assert await names_in_pool(book, "late", "new") == {0: "new"}


async def test_a_stale_fence_never_replaces_a_published_image(book: RedisOrders, redis: Redis) -> None:
    late, new = make_ask(), make_ask()
    await book.begin(late)
    await expire_claims(redis)
    await book.begin(new)
    await book.finish(settle(new, made=made((0, "new"))))

    await book.finish(settle(late, made=made((0, "late"))))

    assert await names_in_pool(book, "late", "new") == {0: "new"}
    # Both were paid for.
    assert (await read_ledger(redis))["made|images"] == 2


@pytest.mark.parametrize("is_emptied", [False, True])
async def test_a_stale_fence_may_publish_under_an_unclaimed_index(
    book: RedisOrders, redis: Redis, is_emptied: bool
) -> None:
    late = make_ask()
    await book.begin(late)
    if is_emptied:
        await redis.flushall()
    else:
        await expire_claims(redis)

    await book.finish(settle(late, made=made((0, "late"))))

    assert await names_in_pool(book, "late") == {0: "late"}


async def test_a_later_round_of_an_order_has_a_fence_of_its_own(book: RedisOrders, redis: Redis) -> None:
    first = make_ask()
    await book.begin(first)
    await expire_claims(redis)
    again = make_ask(id=first.ticket.id, round=1)
    await book.begin(again)

    await book.finish(settle(first, made=made((0, "first"))))

    assert await names_in_pool(book) == {}


async def test_sending_a_settlement_twice_changes_nothing(book: RedisOrders, redis: Redis) -> None:
    ask = make_ask(n=3, limits=(REQUESTS, IMAGES))
    await book.begin(ask)
    settlement = settle(ask, made=made((0, "a")), released=(1, 2), refunded=1, unknown=1)
    await book.finish(settlement)
    before = await snapshot(redis)

    await book.finish(settlement)

    assert await snapshot(redis) == before


async def test_a_settlement_under_a_negative_index_takes_a_free_one(book: RedisOrders) -> None:
    """An image made while Redis was away has an index of the local share."""
    await fill(book, "a", "b")
    await book.begin(make_ask(n=3))

    await book.finish(settle(make_ask(), made=made((-1, "c"), (-2, "d"))))

    assert await names_in_pool(book, *"abcd") == {0: "a", 1: "b", 3: "c", 4: "d"}


async def test_a_negative_index_gives_no_claim_up(book: RedisOrders) -> None:
    maker = make_ask()
    await book.begin(maker)

    await book.finish(settle(make_ask(), made=made((-1, "local"))))
    await book.finish(settle(maker, made=made((0, "a"))))

    assert await names_in_pool(book, "a", "local") == {0: "a", 1: "local"}


async def test_a_released_index_is_granted_to_the_next_order(book: RedisOrders) -> None:
    ask = make_ask(n=2)
    await book.begin(ask)

    await book.finish(settle(ask, released=(0,)))

    grant = await book.begin(make_ask(n=2))
    assert (grant.mine, grant.awaited) == ((0,), (1,))


async def test_releasing_with_a_stale_fence_keeps_the_newer_claim(book: RedisOrders, redis: Redis) -> None:
    late, new = make_ask(), make_ask()
    await book.begin(late)
    await expire_claims(redis)
    await book.begin(new)

    await book.finish(settle(late, released=(0,)))

    assert (await book.begin(make_ask())).awaited == (0,)


async def test_releasing_takes_no_image_away(book: RedisOrders) -> None:
    ask = make_ask()
    await book.begin(ask)
    await book.finish(settle(ask, made=made((0, "a"))))

    await book.finish(settle(ask, part="0.1", released=(0,)))

    assert await names_in_pool(book, "a") == {0: "a"}


async def test_a_forgotten_image_leaves_its_index_free(book: RedisOrders) -> None:
    await fill(book, "gone", "kept")

    await book.finish(settle(make_ask(), forgotten=((0, make_image("gone").digest),)))

    grant = await book.begin(make_ask(n=2))
    assert [variant.image for variant in grant.ready] == [make_image("kept")]
    assert grant.mine == (0,)


async def test_forgetting_spares_a_newer_image(book: RedisOrders) -> None:
    """Two orders may find the same bytes gone; the second must not drop the first's replacement."""
    await fill(book, "new")

    await book.finish(settle(make_ask(), forgotten=((0, make_image("gone").digest),)))

    assert await names_in_pool(book, "new") == {0: "new"}


async def test_a_refund_restores_the_rate_of_images(book: RedisOrders) -> None:
    ask = make_ask(n=5, limits=(REQUESTS, IMAGES))
    await book.begin(ask)

    await book.finish(settle(ask, released=(0, 1, 2), refunded=3))

    grant = await book.begin(make_ask(only_ready=True, limits=ask.ticket.limits))
    assert [limit.remaining for limit in grant.limits] == [58, 58]


async def test_a_refund_never_gives_more_than_the_burst(book: RedisOrders) -> None:
    ask = make_ask(n=1, limits=(IMAGES,))
    await book.begin(ask)

    await book.finish(settle(ask, refunded=50))

    grant = await book.begin(make_ask(n=60, limits=ask.ticket.limits, fresh=True))
    assert [limit.remaining for limit in grant.limits] == [0]


async def test_the_hold_shrinks_part_by_part_to_nothing(book: RedisOrders, redis: Redis) -> None:
    ask = make_ask(n=4)
    await book.begin(ask)
    left = []

    for settlement in (
        settle(ask, part="0.0", made=made((0, "a"))),
        settle(ask, part="0.1", released=(1,)),
        settle(ask, part="0.2", made=made((2, "c")), released=(3,)),
    ):
        await book.finish(settlement)
        left.append(sum(hold["images"] for hold in (await read_holds(redis)).values()))

    assert left == [3, 2, 0]
    assert await read_holds(redis) == {}


async def test_the_ledger_adds_up_by_user_and_model(book: RedisOrders, redis: Redis) -> None:
    asks: list[Ask] = [make_ask(n=2, fresh=True, user=user) for user in ("u1", "u2", "u1")]
    for ask in asks:
        first, second = (await book.begin(ask)).mine
        await book.finish(settle(ask, made=made((first, ask.ticket.id)), released=(second,), unknown=1))

    (ledger,) = await redis.keys("*:ledger:*")
    entries = await redis.hgetall(ledger)

    assert entries[b"u1|gpt-image-2|live|made|images"] == b"2"
    assert entries[b"u1|gpt-image-2|live|made|microusd"] == b"8000"
    assert entries[b"u2|gpt-image-2|live|unknown|images"] == b"1"
    assert await read_ledger(redis) == {
        "made|images": 3,
        "made|microusd": 12_000,
        "unknown|images": 3,
        "unknown|microusd": 3 * ESTIMATE_MICROUSD,
    }


async def test_an_image_of_unknown_price_is_counted(book: RedisOrders, redis: Redis) -> None:
    ask = make_ask()
    await book.begin(ask)

    await book.finish(settle(ask, made=((0, make_image(cost_microusd=None)),)))

    assert await read_ledger(redis) == {"made|images": 1, "made|unpriced": 1}


async def test_sums_stay_exact_beyond_fourteen_digits(book: RedisOrders, redis: Redis) -> None:
    """Lua's own tostring would round at the fifteenth digit."""
    cost_microusd = 1_234_567_890_123_456
    ask = make_ask()
    await book.begin(ask)

    await book.finish(settle(ask, made=((0, make_image(cost_microusd=cost_microusd)),)))

    assert (await read_ledger(redis))["made|microusd"] == cost_microusd


async def test_a_settlement_of_one_team_touches_no_other(book: RedisOrders, redis: Redis) -> None:
    await fill(book, "theirs", pool=pool_key("t2", "team", "f" * 32), team="t2")
    before = {key: value for key, value in (await snapshot(redis)).items() if "{t2}" in key}

    await fill(book, "ours")

    assert await redis.exists(POOL)
    assert {key: value for key, value in (await snapshot(redis)).items() if "{t2}" in key} == before


async def test_a_settlement_made_without_redis_gives_the_unheard_claim_up(
    book: RedisOrders, redis: Redis
) -> None:
    """The answer to `begin` was lost, so the order used an index of the local share.

    Left alone, the claim would make everybody who asks next wait until it expires.
    """
    ask = make_ask()
    await book.begin(ask)

    await book.finish(settle(ask, made=made((-1, "local"))))

    grant = await book.begin(make_ask(n=2))
    assert [variant.image for variant in grant.ready] == [make_image("local")]
    assert grant.awaited == ()
    assert (await read_ledger(redis))["made|images"] == 1


async def test_a_pool_keeps_its_newest_images_only(book: RedisOrders, redis: Redis) -> None:
    """`begin` reads the whole pool: one prompt ordered afresh for ever must not slow every order for it."""
    for number in range(203):
        ask = make_ask(fresh=True, limits=())
        (index,) = (await book.begin(ask)).mine
        await book.finish(settle(ask, made=made((index, str(number)))))

    left = sorted(int(index) for index in await redis.hkeys(POOL))
    assert (len(left), left[-1]) == (200, 202)


async def test_a_full_pool_drops_its_oldest_images_by_age_not_index(book: RedisOrders) -> None:
    """A low index may be the newest: the one before was forgotten, or its maker took long."""
    slow = make_ask()
    assert (await book.begin(slow)).mine == (0,)
    await fill(book, "oldest")
    await fill(book, *(str(number) for number in range(199)))

    await book.finish(settle(slow, made=made((0, "new"))))

    grant = await book.begin(make_ask(n=200, only_ready=True))
    images = [variant.image for variant in grant.ready]
    assert len(images) == 200
    assert make_image("new") in images
    assert make_image("oldest") not in images


@pytest.mark.parametrize("name", ["ig:1:{t1}:limits:user:u1", "ig:1:{t1}:hold-details:2"])
async def test_a_settlement_is_written_whole_or_not_at_all(
    book: RedisOrders, redis: Redis, name: str
) -> None:
    """Otherwise each new try would count the same images once more."""
    ask = make_ask(limits=(IMAGES,))
    await book.begin(ask)
    await redis.delete(name)
    await redis.set(name, "no hash")
    before = await snapshot(redis)

    for _ in range(2):
        assert await reason_of(book.finish(settle(ask, made=made((0, "a"))))) == "wrongtype"

    assert await snapshot(redis) == before
