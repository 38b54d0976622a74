"""Read how much memory Redis uses, and how much it may use."""

from redis.asyncio import Redis

from service.adapters.redis.client.commands import BoundedCommands


class RedisMemory:
    """The memory of one server; a cluster has no answer for all of it."""

    def __init__(self, client: Redis, *, timeout_s: float) -> None:
        self._client = client
        self._ask = BoundedCommands(client, timeout_s=timeout_s)

    async def read(self) -> tuple[int, int]:
        """Return the bytes in use, and the most, 0 without a limit; raises `StateUnavailable`."""
        found = await self._ask(self._client.info("memory"))
        return int(found.get("used_memory", 0)), int(found.get("maxmemory", 0))
