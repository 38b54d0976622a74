"""Images made and indices released in one process wake waiters in the others."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import orjson
import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as ConnectionDropped

from service.adapters.redis.client.client import open_client
from service.adapters.redis.keys import CHANNEL
from service.adapters.redis.wakeups import RedisWakeups
from tests.adapters.redis.orders import POOL, MakeBook, made, make_ask, make_image, settle
from tests.processes import Valkey
from tests.redis_servers import kill, run_cluster, run_watched

NEWS_S = 20.0
NEWS = orjson.dumps({"by": "maker", "pool": POOL, "indices": [7]})

News = Callable[[], Awaitable[tuple[str, int]]]


@asynccontextmanager
async def listening(redis_url: str, redis: Redis, process: str) -> AsyncGenerator[News]:
    """Listen as *process*; yields a function that waits for the next message."""
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
    """Wait for a subscriber."""
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


async def test_images_of_a_local_share_are_announced_under_their_new_index(
    redis_url: str, redis: Redis, make_book: MakeBook
) -> None:
    """Every process has its own indices below 0, so they mean nothing to waiters elsewhere."""
    book = make_book(process="maker")
    unheard = make_ask()
    await book.begin(unheard)
    async with listening(redis_url, redis, "waiter") as next_news:
        await book.finish(settle(make_ask(), released=(-1,)))
        await book.finish(settle(unheard, made=made((-2, "a"), (-3, "b"))))
        await book.finish(settle(make_ask(), released=(7,)))

        assert [await next_news() for _ in range(3)] == [(POOL, 0), (POOL, 1), (POOL, 7)]


async def test_a_process_skips_its_own_messages(redis_url: str, redis: Redis, make_book: MakeBook) -> None:
    ours, theirs = make_book(process="ours"), make_book(process="theirs")
    ask = make_ask(n=2)
    await ours.begin(ask)
    async with listening(redis_url, redis, "ours") as next_news:
        await ours.finish(settle(ask, part="0", made=made((0, "a"))))
        await theirs.finish(settle(ask, part="1", made=made((1, "b"))))

        assert await next_news() == (POOL, 1)


async def test_a_settlement_without_changes_wakes_no_waiter(
    redis_url: str, redis: Redis, make_book: MakeBook
) -> None:
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
async def test_it_subscribes_again_after_its_connection_broke(
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


@pytest.mark.slow
async def test_a_listener_leaves_a_server_of_the_cluster_that_hangs_or_dies(tmp_path: Path) -> None:
    """A subscription to any server gets the messages of all."""
    with run_cluster(tmp_path, settings={"cluster-require-full-coverage": "no"}) as cluster:
        async with listening_anywhere(cluster.url) as next_news:
            nodes = cluster.primaries
            first = await until_heard_at(nodes)
            for other in nodes:
                await publish(other)
                assert await next_news() == (POOL, 7)

            first.signal(SIGSTOP)
            second = await until_heard_at([node for node in nodes if node is not first])
            first.signal(SIGCONT)
            kill(second)
            third = await until_heard_at([node for node in nodes if node is not second])
            assert await publish_until_heard(third, next_news) == (POOL, 7)


@pytest.mark.slow
async def test_a_listener_follows_the_primary(tmp_path: Path) -> None:
    with run_watched(tmp_path) as watched:
        async with listening_anywhere(watched.url) as next_news:
            await until_heard_at([watched.primary])
            kill(watched.primary)
            await until_heard_at([watched.replica])

            assert await publish_until_heard(watched.replica, next_news) == (POOL, 7)


@pytest.mark.parametrize("redis_url", ["valkey"], indirect=True)
async def test_nonsense_on_the_channel_is_passed_over(redis_url: str, redis: Redis) -> None:
    async with listening(redis_url, redis, "waiter") as next_news:
        for nonsense in (b"", b"{", b"[]", b'{"by": "me"}', b'{"by": 1, "pool": 2, "indices": ["x"]}'):
            await redis.publish(CHANNEL, nonsense)
        await redis.publish(CHANNEL, NEWS)

        assert await next_news() == (POOL, 7)


@asynccontextmanager
async def listening_anywhere(url: str) -> AsyncGenerator[News]:
    """Listen with a short silence limit; yields a function that waits for the next message."""
    queue: asyncio.Queue[tuple[str, int]] = asyncio.Queue()

    async def listen(client: Redis) -> None:
        async for news in RedisWakeups(client, process="waiter", silence_s=0.2).listen():
            queue.put_nowait(news)

    async def next_news() -> tuple[str, int]:
        async with asyncio.timeout(NEWS_S):
            return await queue.get()

    async with open_client(url, timeout_s=0.25, connections=2) as client, asyncio.TaskGroup() as group:
        task = group.create_task(listen(client))
        yield next_news
        task.cancel()


async def publish_until_heard(node: Valkey, next_news: News) -> tuple[str, int]:
    """Publish again and again: a server that hung still counts a listener that has left it, and keeps no news."""
    async with asyncio.timeout(NEWS_S):
        while True:
            await publish(node)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    return await next_news()


async def until_heard_at(nodes: Sequence[Valkey]) -> Valkey:
    """Wait for a subscriber at one of *nodes*, and return the node."""
    async with asyncio.timeout(NEWS_S), AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(open_client(node.url, timeout_s=5, connections=1))
            for node in nodes
        ]
        while True:
            for node, client in zip(nodes, clients, strict=True):
                with contextlib.suppress(ConnectionDropped):  # by a server that is being promoted
                    if (await client.pubsub_numsub(CHANNEL))[0][1]:
                        return node
            await asyncio.sleep(0.01)


async def publish(node: Valkey) -> None:
    async with open_client(node.url, timeout_s=5, connections=1) as client:
        await client.publish(CHANNEL, NEWS)
