"""A storm of cancelled calls must never hand one caller's answer to another.

That happened to ChatGPT in March 2023 (redis-py 2624, CVE-2023-28858): a cancelled
await left an unread reply on the connection, and the next caller got it.
"""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.adapters.redis.client.client import open_client
from service.adapters.redis.client.script import Script
from service.adapters.redis.client.servers import ServerPool
from service.adapters.redis.keys import pool_key
from service.adapters.redis.orders import RedisOrders
from service.domain.errors import StateUnavailable
from service.sandbox.faults.modes import Delay
from service.sandbox.faults.proxy import FaultProxy
from tests.adapters.redis.client.held import until
from tests.adapters.redis.orders import fill, make_ask, make_image, open_book
from tests.processes import Valkey

WORKERS = 40
CALLS_EACH = 75
PLACES = 16
PATIENCE_S = 20.0
"""So that on a busy machine only the storm cancels, and nothing times out."""
POOLS = [pool_key("t1", "team", f"{number:032x}") for number in range(50)]
"""Each holds one image, which is named for it."""


@pytest.fixture
def redis_url(valkey: Valkey) -> str:
    """One server: the storm is about connections, and each server of a cluster has its own."""
    return valkey.url


@pytest.fixture
async def distant(valkey: Valkey, redis: Redis) -> AsyncIterator[Redis]:
    """A client whose every answer takes 4 ms, so that a cancellation meets calls under way."""
    for pool in POOLS:
        await fill(open_book(redis), pool, pool=pool)
    async with FaultProxy(Path(valkey.url.removeprefix("unix://"))) as proxy:
        proxy.set(Delay(down_s=0.004))
        client = open_client(
            f"redis://127.0.0.1:{proxy.port}", timeout_s=PATIENCE_S, connections=1, places=PLACES
        )
        yield client
        await client.aclose()


@dataclass(slots=True)
class Storm:
    """Callers that ask for a pool they know and often leave before the answer; counts what they saw."""

    book: RedisOrders
    seen: Counter[str] = field(default_factory=Counter)

    async def work(self, seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(CALLS_EACH):
            # One in four stays; of the others a third leaves before any answer can have come.
            patience_s = None if dice.random() < 0.25 else dice.uniform(0.0005, 0.012)
            self.seen[await self.call(dice.choice(POOLS), patience_s)] += 1

    async def call(self, pool: str, patience_s: float | None) -> str:
        try:
            async with asyncio.timeout(patience_s):
                grant = await self.book.begin(make_ask(pool=pool))
        except TimeoutError:
            return "cancelled"
        except StateUnavailable as error:
            return error.reason
        return "right" if [variant.image for variant in grant.ready] == [make_image(pool)] else "wrong"


@pytest.mark.parametrize("is_script", [False, True], ids=["command", "script"])
async def test_a_command_that_is_cancelled_at_any_step_ends_there(client: Redis, is_script: bool) -> None:
    """Otherwise a cancelled loop continues, and a deadline that passes at that moment has no effect."""
    script = Script(client, "return ARGV[1]", timeout_s=PATIENCE_S)
    call = partial(echo, script) if is_script else partial(ping, client)
    await call()
    swallowed = [steps for steps in range(60) if not await is_cancelled_after(call, steps)]

    assert swallowed == []


async def is_cancelled_after(call: Callable[[], Coroutine[None, None, None]], steps: int) -> bool:
    """Cancel a command after so many turns of the loop; whether it ended then, unless it was over before."""
    command = asyncio.get_running_loop().create_task(call())
    for _ in range(steps):
        await asyncio.sleep(0)
    is_over = not command.cancel()
    await asyncio.wait([command])
    return is_over or command.cancelled()


async def ping(client: Redis) -> None:
    assert await client.ping()


async def echo(script: Script) -> None:
    assert await script.run(["key"], "word") == b"word"


@pytest.mark.slow
async def test_a_storm_never_gives_an_answer_to_the_wrong_caller(distant: Redis) -> None:
    storm = Storm(open_book(distant, timeout_s=PATIENCE_S))

    async with asyncio.TaskGroup() as group:
        for seed in range(WORKERS):
            group.create_task(storm.work(seed))

    assert set(storm.seen) == {"right", "cancelled"}
    assert min(storm.seen.values()) > 500


async def test_after_a_storm_every_place_can_be_had(distant: Redis) -> None:
    storm = Storm(open_book(distant, timeout_s=PATIENCE_S))
    async with asyncio.TaskGroup() as group:
        for number in range(400):
            group.create_task(storm.call(POOLS[0], 0.0005 * (number % 40)))
    pool = distant.connection_pool
    assert isinstance(pool, ServerPool)
    # The server still answers those who have left.
    await until(lambda: pool.line._places._value == PLACES)

    async with asyncio.TaskGroup() as group:
        late = [group.create_task(storm.call(pool, None)) for pool in POOLS]

    assert {task.result() for task in late} == {"right"}
    assert pool.line._places._value == PLACES
