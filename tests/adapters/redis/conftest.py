"""Order books over the session's Valkey, which is empty when a test starts."""

import pytest
from redis.asyncio import Redis

from service.adapters.redis.orders import RedisOrderBook
from tests.adapters.redis.orders import MakeBook, open_book


@pytest.fixture
def make_book(redis: Redis) -> MakeBook:
    def make(*, process: str = "here", lease_s: float = 30.0, ttl_s: float = 86400.0) -> RedisOrderBook:
        return open_book(redis, process=process, lease_s=lease_s, ttl_s=ttl_s)

    return make


@pytest.fixture
def book(make_book: MakeBook) -> RedisOrderBook:
    return make_book()
