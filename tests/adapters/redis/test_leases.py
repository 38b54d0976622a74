"""One process at a time may sweep, and the lease of a dead one ends."""

import pytest
from redis.asyncio import Redis

from service.adapters.redis.client.client import open_client
from service.adapters.redis.keys import SWEEPER
from service.adapters.redis.leases import RedisSweepLease
from service.domain.errors import StateUnavailable
from service.ports.processes import Round


def turns(redis: Redis, process: str) -> RedisSweepLease:
    return RedisSweepLease(redis, process=process, timeout_s=20.0)


async def test_one_process_at_a_time_has_the_lease(redis: Redis) -> None:
    one, other = turns(redis, "one"), turns(redis, "other")

    assert await one.take(hold_s=60)
    assert not await other.take(hold_s=60)
    assert await one.take(hold_s=60)


async def test_a_turn_ends_with_its_time(redis: Redis) -> None:
    assert await turns(redis, "one").take(hold_s=60)
    assert 50_000 < await redis.pttl(SWEEPER) <= 60_000

    await redis.pexpire(SWEEPER, 0)

    assert await turns(redis, "other").take(hold_s=60)


async def test_taking_the_lease_again_extends_it(redis: Redis) -> None:
    one = turns(redis, "one")
    await one.take(hold_s=1)

    await one.take(hold_s=600)

    assert await redis.pttl(SWEEPER) > 590_000


async def test_a_round_continues_where_another_process_stopped(redis: Redis) -> None:
    assert await turns(redis, "one").read_round() is None

    await turns(redis, "one").keep_round(Round(1_700_000_000.5, 17))

    assert await turns(redis, "other").read_round() == Round(1_700_000_000.5, 17)


async def test_without_redis_no_process_has_the_lease() -> None:
    client = open_client("unix:///nowhere/s", timeout_s=0.2, connections=1)

    with pytest.raises(StateUnavailable):
        await turns(client, "one").take(hold_s=60)
    await client.aclose()
