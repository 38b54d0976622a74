"""Two hundred clients at once: every claim is given once, every limit is exact."""

import asyncio
import random
import time
from collections import Counter

import pytest
from redis.asyncio import Redis

from service.adapters.redis.client.client import open_client
from service.adapters.redis.orders import RedisOrders
from service.domain.errors import RateLimited
from service.domain.limits import Limit, Resource
from tests.adapters.redis.orders import (
    POOL,
    fill,
    made,
    make_ask,
    open_book,
    read_holds,
    read_ledger,
    settle,
)

CLIENTS = 200


async def test_all_share_the_images_of_the_greediest(book: RedisOrders, redis: Redis) -> None:
    dice = random.Random(1)
    sizes = [dice.randint(1, 9) for _ in range(CLIENTS - 1)] + [10]
    dice.shuffle(sizes)
    given: Counter[int] = Counter()
    served: list[tuple[int, set[int]]] = []

    async def order(n: int) -> None:
        used: list[int] = []
        ask = make_ask(n=n)
        while len(used) < n:
            grant = await book.begin(
                make_ask(id=ask.ticket.id, round=ask.round, n=n - len(used), used=tuple(used))
            )
            used += [variant.index for variant in grant.ready]
            used += grant.mine
            given.update(grant.mine)
            await asyncio.sleep(dice.uniform(0, 0.02))  # makes the images
            await book.finish(
                settle(
                    make_ask(id=ask.ticket.id, round=ask.round),
                    part=f"{ask.round}",
                    made=made(*((index, f"{index}") for index in grant.mine)),
                )
            )
            ask = make_ask(id=ask.ticket.id, round=ask.round + 1)
        served.append((n, set(used)))

    async with asyncio.TaskGroup() as group:
        for n in sizes:
            group.create_task(order(n))

    assert given == dict.fromkeys(range(10), 1)
    assert sorted(n for n, _ in served) == sorted(sizes)
    assert all(len(used) == n for n, used in served)
    assert await read_holds(redis) == {}
    assert (await read_ledger(redis))["made|images"] == 10


async def test_failing_makers_release_and_no_index_is_granted_twice(book: RedisOrders, redis: Redis) -> None:
    dice = random.Random(2)
    holders: dict[int, str] = {}
    published: list[int] = []

    async def order() -> None:
        ask = make_ask()
        while True:
            grant = await book.begin(ask)
            if grant.ready:
                return
            for index in grant.mine:
                assert index not in holders
                holders[index] = ask.ticket.id
                await asyncio.sleep(dice.uniform(0, 0.005))
                del holders[index]
                if dice.random() < 0.9:
                    await book.finish(settle(ask, part=f"{ask.round}", released=(index,)))
                else:
                    published.append(index)
                    await book.finish(settle(ask, part=f"{ask.round}", made=made((index, "a"))))
                    return
            await asyncio.sleep(dice.uniform(0, 0.02))
            ask = make_ask(id=ask.ticket.id, round=ask.round + 1)

    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(order())

    assert published == [0]
    assert await redis.hkeys(POOL) == [b"0"]
    assert await read_holds(redis) == {}


@pytest.mark.parametrize("resource", ["requests", "images"])
async def test_limits_admit_exactly(redis_url: str, redis: Redis, resource: str) -> None:
    limit = Limit(resource=Resource(resource), scope="user", key="u1", amount=20)  # one comes free in 3 s
    client = open_client(redis_url, timeout_s=20.0, connections=64)
    book = open_book(client)
    await fill(book, "ready")
    outcomes: Counter[str] = Counter()

    async def order() -> None:
        try:
            # A request for what is ready counts as a request only, so that each resource is alone.
            await book.begin(make_ask(limits=(limit,), pool=POOL if resource == "requests" else None))
        except RateLimited:
            outcomes["refused"] += 1
        else:
            outcomes["admitted"] += 1

    started_s = time.monotonic()
    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(order())
    elapsed_s = time.monotonic() - started_s
    await client.aclose()

    assert outcomes.total() == CLIENTS
    assert 20 <= outcomes["admitted"] <= 20 + elapsed_s / 3
