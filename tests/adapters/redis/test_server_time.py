"""The clock that all processes share is that of Redis."""

import pytest
from redis.asyncio import Redis

from service.adapters.clock import SystemClock
from service.adapters.redis.client.client import open_client
from service.adapters.redis.server_time import RedisTime
from service.domain.errors import StateUnavailable
from service.gateway.clock_check import ClockCheck
from tests.fakes.telemetry import FakeTelemetry


class AheadClock(SystemClock):
    """A clock that is two minutes ahead."""

    def wall_s(self) -> float:
        return SystemClock.wall_s() + 120


@pytest.mark.parametrize("clock", [SystemClock(), AheadClock()], ids=["right", "ahead"])
async def test_a_clock_is_compared_with_that_of_redis(redis: Redis, clock: SystemClock) -> None:
    check = ClockCheck(clock=clock, shared=RedisTime(redis, timeout_s=20), telemetry=FakeTelemetry())

    assert await check.agrees() is not isinstance(clock, AheadClock)
    assert round(check.skew_s / 120) == isinstance(clock, AheadClock)


async def test_without_redis_nothing_is_known_of_the_clock() -> None:
    client = open_client("redis://127.0.0.1:1", timeout_s=1, connections=1)

    with pytest.raises(StateUnavailable):
        await RedisTime(client, timeout_s=1).now_s()
    await client.aclose()
