"""Processes share the rests of backend keys: what lasts longest counts, and the clock of Redis ends it."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis.asyncio import Redis

from service.adapters.redis import keys
from service.adapters.redis.client.client import open_client
from service.adapters.redis.rests import RedisRests
from service.domain.backends import KeyName
from service.domain.errors import StateUnavailable
from service.domain.rests import Rest, RestName, RestReason
from tests.redis_servers import kill, run_server, run_watched

NEWS_S = 20.0
MAIN, SPARE = KeyName("openai", "main"), KeyName("openai", "spare")
NAME = RestName(MAIN, "gpt-image-2")

NextRest = Callable[[], Coroutine[Any, Any, Rest]]


def rest(left_s: float, *, name: RestName = NAME, reason: RestReason = RestReason.THROTTLED) -> Rest:
    return Rest(name=name, reason=reason, left_s=left_s)


def rests_of(client: Redis, process: str, *, timeout_s: float = 20.0) -> RedisRests:
    return RedisRests(client, process=process, timeout_s=timeout_s, silence_s=0.2)


@asynccontextmanager
async def listening(redis: Redis, process: str) -> AsyncGenerator[NextRest]:
    """Listen as *process*; yields a function that waits for the next rest."""
    queue: asyncio.Queue[Rest] = asyncio.Queue()

    async def listen() -> None:
        async for news in rests_of(redis, process).listen():
            queue.put_nowait(news)

    async def next_rest() -> Rest:
        async with asyncio.timeout(NEWS_S):
            return await queue.get()

    async with asyncio.TaskGroup() as group:
        task = group.create_task(listen())
        yield next_rest
        task.cancel()


async def until_heard(redis: Redis) -> None:
    async with asyncio.timeout(NEWS_S):
        while not (await redis.pubsub_numsub(keys.RESTS))[0][1]:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.01)


async def test_a_rest_is_read_by_other_processes_with_the_time_left(redis: Redis, client: Redis) -> None:
    await rests_of(client, "one").put(rest(60, reason=RestReason.FAILING))

    (found,) = await rests_of(client, "other").read([RestName(SPARE), NAME, RestName(MAIN)])

    assert (found.name, found.reason) == (NAME, RestReason.FAILING)
    assert 30 < found.left_s <= 60


async def test_rests_are_named_by_key_and_model(redis: Redis, client: Redis) -> None:
    here = rests_of(client, "one")
    names = [NAME, RestName(MAIN), RestName(SPARE), RestName(KeyName("azure", "main"), "gpt-image-2")]
    for name in names:
        await here.put(rest(60, name=name))

    assert [each.name for each in await here.read(names)] == names
    assert sorted(await redis.keys("*")) == [
        b"ig:1:{backends}:rest:azure/main:gpt-image-2",
        b"ig:1:{backends}:rest:openai/main:",
        b"ig:1:{backends}:rest:openai/main:gpt-image-2",
        b"ig:1:{backends}:rest:openai/spare:",
    ]
    assert await here.read([]) == []


async def test_a_longer_rest_stays_and_a_longer_one_replaces(redis: Redis, client: Redis) -> None:
    here = rests_of(client, "one")
    await here.put(rest(600, reason=RestReason.BLOCKED))
    await here.put(rest(60, reason=RestReason.FAILING))

    (longer,) = await here.read([NAME])
    await here.put(rest(6000, reason=RestReason.UNANSWERED))
    (longest,) = await here.read([NAME])

    assert (longer.reason, longer.left_s > 500) == (RestReason.BLOCKED, True)
    assert (longest.reason, longest.left_s > 5000) == (RestReason.UNANSWERED, True)


async def test_a_pause_that_was_asked_for_outranks_all_other_rests(redis: Redis, client: Redis) -> None:
    here = rests_of(client, "one")
    await here.put(rest(600, reason=RestReason.FAILING))
    await here.put(rest(60))
    # Neither a longer rest nor the end of one for another reason changes it.
    await here.put(rest(6000, reason=RestReason.UNANSWERED))
    await here.put(rest(0, reason=RestReason.FAILING))
    await here.put(rest(30))

    (found,) = await here.read([NAME])
    assert (found.reason, 50 < found.left_s <= 60) == (RestReason.THROTTLED, True)


async def test_a_rest_ends_with_its_time(redis: Redis, client: Redis) -> None:
    here = rests_of(client, "one")
    await here.put(rest(60))
    await redis.pexpire(keys.rest_key(NAME), 0)

    assert await here.read([NAME]) == []


async def test_the_shortest_rest_lasts_and_no_time_ends_one(redis: Redis, client: Redis) -> None:
    here = rests_of(client, "one")
    async with listening(client, "other") as next_rest:
        await until_heard(redis)
        await here.put(rest(0.0001))
        assert await next_rest() == rest(0.001)

        await here.put(rest(60))
        await here.put(rest(0))
        assert [await next_rest(), await next_rest()] == [rest(60), rest(0)]
        assert await here.read([NAME]) == []


async def test_other_processes_hear_what_changed_and_the_sender_does_not(redis: Redis, client: Redis) -> None:
    one, other = rests_of(client, "one"), rests_of(client, "other")
    async with listening(client, "one") as next_rest:
        await until_heard(redis)
        await one.put(rest(60))
        await other.put(rest(6))
        await other.put(rest(600, name=RestName(MAIN), reason=RestReason.REFUSED))

        # The shorter one changed nothing.
        assert await next_rest() == rest(600, name=RestName(MAIN), reason=RestReason.REFUSED)


async def test_nonsense_in_redis_is_passed_over(redis: Redis, client: Redis) -> None:
    here = rests_of(client, "one")
    await redis.set(keys.rest_key(NAME), "throttled")  # without an end
    await redis.set(keys.rest_key(RestName(MAIN)), "of a later version", px=60_000)
    await redis.set(keys.rest_key(RestName(SPARE)), b"\xff", px=60_000)
    assert await here.read([NAME, RestName(MAIN), RestName(SPARE)]) == []

    good = {"by": "x", "backend": "b", "key": "k", "model": "", "reason": "failing", "left_ms": 5}
    wrong = [
        {"by": "x"},
        {**good, "reason": "of a later version"},
        {**good, "reason": ["failing"]},
        {**good, "left_ms": "soon"},
        {**good, "left_ms": None},
    ]
    async with listening(client, "waiter") as next_rest:
        await until_heard(redis)
        for nonsense in (b"", b"{", b"[]", b"1", *map(orjson.dumps, wrong)):
            await redis.publish(keys.RESTS, nonsense)
        await redis.publish(keys.RESTS, orjson.dumps(good))

        assert await next_rest() == rest(0.005, name=RestName(KeyName("b", "k")), reason=RestReason.FAILING)


@pytest.mark.parametrize("redis_url", ["valkey"], indirect=True)
async def test_all_names_are_read_in_one_round_trip(redis: Redis, redis_url: str) -> None:
    notes = list[str]()
    noting = open_client(
        redis_url, timeout_s=20, connections=1, note=lambda operation, *_: notes.append(operation)
    )
    here = rests_of(noting, "one")
    await here.read([NAME])
    notes.clear()

    await here.read([RestName(KeyName("openai", f"key-{i}")) for i in range(50)])
    await noting.aclose()

    assert notes == ["rests"]


async def test_a_redis_that_stops_and_comes_back_is_used_again(tmp_path: Path) -> None:
    with run_server(tmp_path, {}) as valkey:
        async with open_client(valkey.url, timeout_s=0.25, connections=4) as client:
            here = rests_of(client, "one", timeout_s=0.25)
            await here.put(rest(60))
            async with listening(client, "other") as next_rest:
                valkey.signal(signal.SIGSTOP)
                for attempt in (here.put(rest(600)), here.read([NAME])):
                    with pytest.raises(StateUnavailable):
                        await attempt

                valkey.signal(signal.SIGCONT)
                assert await put_until_heard(here, next_rest) == NAME
                assert [each.name for each in await here.read([NAME])] == [NAME]


@pytest.mark.slow
async def test_rests_survive_the_death_of_a_primary(tmp_path: Path) -> None:
    with run_watched(tmp_path) as watched:
        async with open_client(watched.url, timeout_s=0.25, connections=4) as client:
            here = rests_of(client, "one", timeout_s=0.25)
            async with listening(client, "other") as next_rest:
                await put_until_heard(here, next_rest)
                kill(watched.primary)

                assert await put_until_heard(here, next_rest) == NAME


async def put_until_heard(rests: RedisRests, next_rest: NextRest) -> RestName:
    """Put longer and longer rests until one is heard; returns its name."""
    async with asyncio.timeout(NEWS_S), asyncio.TaskGroup() as group:
        heard = group.create_task(next_rest())
        left_s = 1000
        while not heard.done():
            left_s += 1000
            with contextlib.suppress(StateUnavailable):
                await rests.put(rest(left_s))
            await asyncio.sleep(0.05)
        return (await heard).name
