"""The work of a full pool and of many leases, counted; times are printed."""

import asyncio
import time

import pytest
from redis.asyncio import Redis

from service.adapters.redis.keys import pool_key
from service.adapters.redis.orders import RedisOrders
from service.ports.admission import Lease
from tests.adapters.redis.orders import TEAM, fill, make_ask
from tests.processes import Valkey


@pytest.fixture
def redis_url(valkey: Valkey) -> str:
    return valkey.url


async def test_an_ask_for_a_full_pool_is_one_script(book: RedisOrders, redis: Redis) -> None:
    """Prints the server's time of an ask that reads 200 variants."""
    await fill(book, *(str(number) for number in range(200)))
    await redis.config_resetstat()
    for _ in range(100):
        await book.begin(make_ask())

    stats = await redis.info("commandstats")
    script = stats["cmdstat_evalsha"]
    assert script["calls"] == 100
    assert stats["cmdstat_hgetall"]["calls"] == 100
    print(f"begin with 200 variants: {script['usec_per_call']} us of the server")  # noqa: T201 - a measurement


async def test_thousands_of_leases_are_renewed_page_by_page(book: RedisOrders, redis: Redis) -> None:
    """Prints the time of this process: finding the place of each key among all others was quadratic."""
    asks = [make_ask(pool=pool_key(TEAM, "team", f"{number:032x}")) for number in range(2000)]
    for page in range(0, len(asks), 100):
        async with asyncio.TaskGroup() as group:
            for ask in asks[page : page + 100]:
                group.create_task(book.begin(ask))
    await book.renew([])
    before = await redis.info("commandstats")
    started_s = time.process_time()

    await book.renew([Lease(ticket=ask.ticket, fence=ask.fence, indices=(0,), granted=1) for ask in asks])

    took_s = time.process_time() - started_s
    after = await redis.info("commandstats")
    assert after["cmdstat_evalsha"]["calls"] - before["cmdstat_evalsha"]["calls"] == 4
    print(f"2,000 leases of one team: {took_s * 1000:.0f} ms of CPU")  # noqa: T201 - a measurement
