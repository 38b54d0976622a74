"""News between processes: what is made or given back anywhere wakes who waits elsewhere."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from redis.asyncio import Redis

from service.adapters.redis.client import open_client
from service.adapters.redis.keys import CHANNEL
from service.adapters.redis.wakeups import RedisWakeups
from tests.adapters.redis.orders import POOL, MakeBook, made, make_ask, make_image, settle

NEWS_S = 5.0

News = Callable[[], Awaitable[tuple[str, int]]]


@asynccontextmanager
async def listening(redis_url: str, redis: Redis, process: str) -> AsyncGenerator[News]:
    """Listen as *process*; yields what waits for the next piece of news."""
    client = open_client(redis_url, timeout_s=1.0, connections=2)
    queue: asyncio.Queue[tuple[str, int]] = asyncio.Queue()

    async def listen() -> None:
        async for news in RedisWakeups(client, process=process).listen():
            queue.put_nowait(news)

    async def next_news() -> tuple[str, int]:
        async with asyncio.timeout(NEWS_S):
            return await queue.get()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(listen())
        await until_heard(redis)
        yield next_news
        task.cancel()
    await client.aclose()


async def until_heard(redis: Redis) -> None:
    """Wait until somebody listens."""
    async with asyncio.timeout(NEWS_S):
        while not (await redis.pubsub_numsub(CHANNEL))[0][1]:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.01)


async def test_publishing_and_releasing_wake_other_processes(
    redis_url: str, redis: Redis, make_book: MakeBook
) -> None:
    book = make_book(process="maker")
    ask = make_ask(n=3)
    await book.begin(ask)
    async with listening(redis_url, redis, "waiter") as next_news:
        await book.finish(settle(ask, made=made((1, "a")), released=(2,)))

        assert [await next_news(), await next_news()] == [(POOL, 1), (POOL, 2)]


async def test_a_process_does_not_hear_itself(redis_url: str, redis: Redis, make_book: MakeBook) -> None:
    ours, theirs = make_book(process="ours"), make_book(process="theirs")
    ask = make_ask(n=2)
    await ours.begin(ask)
    async with listening(redis_url, redis, "ours") as next_news:
        await ours.finish(settle(ask, part="0", made=made((0, "a"))))
        await theirs.finish(settle(ask, part="1", made=made((1, "b"))))

        assert await next_news() == (POOL, 1)


async def test_what_changes_nothing_wakes_nobody(redis_url: str, redis: Redis, make_book: MakeBook) -> None:
    book = make_book(process="maker")
    ask, outside = make_ask(), make_ask(pool=None)
    await book.begin(ask)
    await book.begin(outside)
    settlement = settle(ask, part="0", made=made((0, "a")))
    await book.finish(settlement)
    async with listening(redis_url, redis, "waiter") as next_news:
        await book.finish(settlement)
        await book.finish(settle(outside, made=((None, make_image()),), released=(0,)))
        await book.finish(settle(ask, part="1", released=(7,)))

        assert await next_news() == (POOL, 7)


@pytest.mark.parametrize("redis_url", ["valkey"], indirect=True)
async def test_it_listens_again_after_its_connection_broke(
    redis_url: str, redis: Redis, make_book: MakeBook
) -> None:
    book = make_book(process="maker")
    ask = make_ask()
    await book.begin(ask)
    async with listening(redis_url, redis, "waiter") as next_news:
        await redis.client_kill_filter(_type="pubsub")
        await until_heard(redis)
        await book.finish(settle(ask, made=made((0, "a"))))

        assert await next_news() == (POOL, 0)


@pytest.mark.parametrize("redis_url", ["valkey"], indirect=True)
async def test_a_quiet_channel_is_not_a_broken_one(redis_url: str, redis: Redis, make_book: MakeBook) -> None:
    """The client's own time-out (1 s here) must not end a subscription on which nothing happens."""
    async with listening(redis_url, redis, "waiter"):
        (before,) = await redis.client_list(_type="pubsub")
        await asyncio.sleep(1.3)
        (after,) = await redis.client_list(_type="pubsub")

    assert before["id"] == after["id"]
