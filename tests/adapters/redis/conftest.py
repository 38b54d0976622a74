"""Order books over a server and over a cluster, both empty when a test starts."""

from collections.abc import AsyncIterator, Iterator
from typing import Any, cast

import pytest
from redis.asyncio import Redis, RedisCluster

from service.adapters.redis.client.client import open_client
from service.adapters.redis.orders import RedisOrders
from tests.adapters.redis.orders import MakeBook, open_book
from tests.redis_servers import Cluster, run_cluster


class WholeCluster(RedisCluster):
    """redis-py's own client, which (8.1) asks one server only what concerns all of them."""

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        if args[0] in {"FLUSHALL", "KEYS", "PUBSUB NUMSUB", "SCRIPT FLUSH"}:
            options["target_nodes"] = self.PRIMARIES
        return await super().execute_command(*args, **options)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three primaries, which no test may ruin."""
    with run_cluster(tmp_path_factory.mktemp("cluster")) as servers:
        yield servers


@pytest.fixture(params=["valkey", "cluster"])
def redis_url(request: pytest.FixtureRequest) -> str:
    """The URL of the gateway's Redis, a server and a cluster; a module may choose one of them."""
    return str(request.getfixturevalue(request.param).url)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """An independent client of the empty Redis; redis-py's own for a cluster."""
    if redis_url.startswith("redis+cluster"):
        # redis-py's two clients have the same methods and no common class.
        client = cast("Redis", WholeCluster.from_url(redis_url.partition(",")[0].replace("+cluster", "")))
    else:
        client = open_client(redis_url, timeout_s=1.0, connections=32)
    await client.flushall()
    yield client
    await client.aclose()


@pytest.fixture
async def client(redis_url: str) -> AsyncIterator[Redis]:
    """A client as the gateway uses it."""
    client = open_client(redis_url, timeout_s=20.0, connections=32)
    yield client
    await client.aclose()


@pytest.fixture
def make_book(client: Redis, redis: Redis) -> MakeBook:
    def make(*, process: str = "here", lease_s: float = 30.0, ttl_s: float = 86400.0) -> RedisOrders:
        return open_book(client, process=process, lease_s=lease_s, ttl_s=ttl_s)

    return make


@pytest.fixture
def book(make_book: MakeBook) -> RedisOrders:
    return make_book()
