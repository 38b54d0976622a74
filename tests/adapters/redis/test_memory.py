"""The memory of Redis is read before it ends."""

import pytest

from service.adapters.redis.client.client import open_client
from service.adapters.redis.memory import RedisMemory
from service.domain.errors import StateUnavailable
from tests.processes import Valkey


async def test_the_memory_in_use_and_its_limit_are_read(valkey: Valkey) -> None:
    client = open_client(valkey.url, timeout_s=20, connections=1)
    memory = RedisMemory(client, timeout_s=20)
    before, _ = await memory.read()
    await client.set("much", bytes(2**22))
    await client.config_set("maxmemory", "64mb")
    try:
        used, most = await memory.read()
    finally:
        await client.config_set("maxmemory", "0")
        await client.aclose()

    assert used >= before + 2**22
    assert most == 64 * 2**20


async def test_without_redis_nothing_is_known() -> None:
    client = open_client("redis://127.0.0.1:1", timeout_s=1, connections=1)

    with pytest.raises(StateUnavailable):
        await RedisMemory(client, timeout_s=1).read()
    await client.aclose()
