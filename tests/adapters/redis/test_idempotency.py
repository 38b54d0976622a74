"""The record of an `Idempotency-Key` in the scripts: absent, under way, left off, final."""

from dataclasses import replace

import pytest
from redis.asyncio import Redis

from service.adapters.redis.keys import of_team
from service.adapters.redis.orders import RedisOrders
from service.domain.errors import IdempotencyMismatch, RateLimited
from service.domain.failures import Billing, CallFailure, FailureKind
from service.domain.limits import Limit, Resource
from service.domain.order import Idempotency
from service.ports.admission import Ask, Conclusion, Lease
from tests.adapters.redis.orders import (
    TEAM,
    MakeBook,
    fill,
    made,
    make_ask,
    make_image,
    read_hash,
    read_holds,
    settle,
    snapshot,
    under_id,
    witness,
)
from tests.fakes.values import a_ticket

ONCE = Idempotency("k" * 32, "o" * 32)
RECORD = of_team(TEAM).idempotency(ONCE.key)


def an_ask(**changes: object) -> Ask:
    return make_ask(**{"idempotency": ONCE, "n": 2, **changes})


async def conclude(book: RedisOrders, ask: Ask, conclusion: Conclusion | None) -> None:
    await book.finish(settle(ask, part="last", is_last=True, conclusion=conclusion))


async def test_a_second_order_finds_the_first_under_way_and_changes_nothing(
    book: RedisOrders, redis: Redis
) -> None:
    await book.begin(an_ask())
    before = await snapshot(redis)

    grant = await book.begin(an_ask())

    assert grant.is_under_way
    assert (grant.mine, grant.ready, grant.awaited) == ((), (), ())
    assert await snapshot(redis) == before


async def test_the_same_order_may_ask_on(book: RedisOrders) -> None:
    ask = an_ask()
    await book.begin(ask)

    assert not (await book.begin(replace(ask, round=1, n=1, used=(0, 1)))).is_under_way


async def test_another_order_is_a_mistake(book: RedisOrders, redis: Redis) -> None:
    await book.begin(an_ask())
    before = await snapshot(redis)

    with pytest.raises(IdempotencyMismatch):
        await book.begin(an_ask(idempotency=Idempotency(ONCE.key, "other")))

    assert await snapshot(redis) == before


async def test_a_final_answer_is_given_again_and_counts_for_nothing(book: RedisOrders, redis: Redis) -> None:
    requests = Limit(resource=Resource.REQUESTS, scope="user", key="u1", amount=1)
    ask = an_ask(limits=(requests,))
    await book.begin(ask)
    conclusion = Conclusion(images=(make_image("a"), make_image("b")))
    await conclude(book, ask, conclusion)
    before = await snapshot(redis)

    grant = await book.begin(an_ask(limits=(requests,)))

    assert grant.conclusion == conclusion
    assert await snapshot(redis) == before


async def test_a_refusal_is_a_final_answer_too(book: RedisOrders) -> None:
    ask = an_ask()
    await book.begin(ask)
    failure = CallFailure(
        kind=FailureKind.REFUSED, billing=Billing.NOT_BILLED, message="No.", details={"a": 1}
    )
    await conclude(book, ask, Conclusion(failures=(failure,)))

    assert (await book.begin(an_ask())).conclusion == Conclusion(failures=(failure,))


@pytest.mark.parametrize("pool", [True, False])
async def test_an_interrupted_order_is_resumed_with_its_images(
    book: RedisOrders, redis: Redis, pool: bool
) -> None:
    ask = an_ask(n=3, fresh=True, **({} if pool else {"pool": None}))
    first, *rest = (await book.begin(ask)).mine
    index = first if pool else None
    released = rest if pool else [first, *rest]
    await book.finish(settle(ask, made=made((index, "a")), released=tuple(released)))
    await conclude(book, ask, None)

    grant = await book.begin(under_id(ask, "again"))

    assert [variant.image for variant in grant.ready] == [make_image("a")]
    assert len(grant.mine) == 2
    assert [hold["images"] for hold in (await read_holds(redis)).values()] == [2]


async def test_an_ask_that_is_put_again_is_never_given_images_of_others(book: RedisOrders) -> None:
    """Between the two, images of an earlier owner arrived, so it has more than it needs."""
    gone = an_ask(id="gone")
    first, second = (await book.begin(gone)).mine
    await book.finish(settle(gone, released=(first, second)))
    await conclude(book, gone, None)
    ask = an_ask()
    await book.begin(ask)
    late = settle(gone, part="late", made=made((-1, "a"), (-2, "b")))
    await book.finish(late)
    await fill(book, "c")

    grant = await book.begin(ask)

    assert {variant.image.digest for variant in grant.ready} == {make_image(name).digest for name in "ab"}
    assert len(grant.mine) == 2


async def test_an_image_that_the_store_did_not_take_is_not_resumed(book: RedisOrders) -> None:
    ask = an_ask()
    await book.begin(ask)
    images = made((0, "stored"), (None, "unstored"))
    await book.finish(settle(ask, made=images, released=(1,), unstored=(images[1][1].digest,)))
    await conclude(book, ask, None)

    grant = await book.begin(under_id(an_ask(), "later"))

    assert [variant.image for variant in grant.ready] == [images[0][1]]
    assert (grant.resumed, grant.mine) == (1, (1,))


async def test_a_resumed_image_is_not_given_twice(book: RedisOrders) -> None:
    """It is in the pool as well, where an order that may use the cache would find it again."""
    ask = an_ask(n=2)
    first, second = (await book.begin(ask)).mine
    await book.finish(settle(ask, made=made((first, "a")), released=(second,)))
    await conclude(book, ask, None)
    await fill(book, "b")

    grant = await book.begin(under_id(ask, "again"))

    assert sorted(variant.image.digest for variant in grant.ready) == sorted(
        make_image(name).digest for name in ("a", "b")
    )


async def test_a_dead_owner_is_replaced_once_its_lease_is_over(book: RedisOrders, redis: Redis) -> None:
    await book.begin(an_ask())
    await redis.hset(RECORD, "until", "1")
    await witness(redis)

    grant = await book.begin(an_ask(fresh=True))

    assert not grant.is_under_way
    assert len(grant.mine) == 2


async def test_an_order_that_only_waits_keeps_its_key(make_book: MakeBook, redis: Redis) -> None:
    book = make_book(lease_s=30)
    ask = an_ask()
    await book.begin(ask)
    await redis.hset(RECORD, "until", "1")

    await book.renew([Lease(ticket=replace(ask.ticket, idempotency=ONCE), fence="")])

    assert (await book.begin(an_ask())).is_under_way


async def test_a_renewal_under_way_keeps_no_key_of_an_order_that_ended_without_an_answer(
    make_book: MakeBook,
) -> None:
    book = make_book(lease_s=30)
    ask = an_ask()
    await book.begin(ask)
    await conclude(book, ask, None)

    await book.renew([Lease(ticket=replace(ask.ticket, idempotency=ONCE), fence="")])

    assert not (await book.begin(an_ask())).is_under_way


async def test_an_order_does_not_renew_the_key_of_another(make_book: MakeBook, redis: Redis) -> None:
    book = make_book(lease_s=30)
    await book.begin(an_ask())
    await redis.hset(RECORD, "until", "1")
    await witness(redis)

    await book.renew([Lease(ticket=a_ticket(id="another", team=TEAM, pool=None, idempotency=ONCE), fence="")])

    assert not (await book.begin(an_ask())).is_under_way


async def test_a_refused_order_leaves_no_record(book: RedisOrders, redis: Redis) -> None:
    limit = Limit(resource=Resource.IMAGES, scope="user", key="u1", amount=1)

    with pytest.raises(RateLimited):
        await book.begin(an_ask(limits=(limit,)))

    assert not await redis.exists(RECORD)


async def test_a_record_lives_a_day_and_no_longer(book: RedisOrders, redis: Redis) -> None:
    ask = an_ask()
    await book.begin(ask)
    await book.finish(settle(ask, made=made((0, "a"))))
    assert 0 < await redis.pttl(RECORD) <= 24 * 3600 * 1000
    await redis.delete(RECORD)

    await conclude(book, ask, Conclusion(images=(make_image("a"),)))

    assert not await redis.exists(RECORD)


async def test_a_record_holds_hashes_and_no_prompt(book: RedisOrders, redis: Redis) -> None:
    await book.begin(an_ask())

    assert set(await read_hash(redis, RECORD)) == {"order", "owner", "until"}


async def test_a_final_answer_never_changes(book: RedisOrders, redis: Redis) -> None:
    """Its first owner was taken for dead, and comes back with images of its own."""
    late, ask = an_ask(), an_ask()
    await book.begin(late)
    await redis.hset(RECORD, "until", "1")
    await witness(redis)
    await book.begin(ask)
    final = Conclusion(images=(make_image("a"), make_image("b")))
    await conclude(book, late, Conclusion(images=(make_image("c"), make_image("d"))))
    await conclude(book, ask, final)
    await conclude(book, under_id(ask, "later"), Conclusion(images=(make_image("e"),)))

    assert (await book.begin(an_ask())).conclusion == final


async def test_after_an_outage_a_lapsed_key_is_still_its_owners(book: RedisOrders, redis: Redis) -> None:
    ask = an_ask()
    await book.begin(ask)
    seconds, _ = await redis.time()
    await redis.hset(RECORD, "until", str(int(seconds) * 1_000_000 - 1))

    assert (await book.begin(an_ask())).is_under_way
    await witness(redis)
    assert not (await book.begin(an_ask())).is_under_way


async def test_an_order_does_not_resume_images_it_has(book: RedisOrders) -> None:
    ask = an_ask(n=2)
    first, second = (await book.begin(ask)).mine
    await book.finish(settle(ask, made=made((first, "a")), released=(second,)))

    grant = await book.begin(replace(ask, fence=f"{ask.ticket.id}.again", used=(first,)))

    assert [variant.index for variant in grant.ready] == []
