"""Read the clock of Redis, which all processes share.

Failure behaviour: closed. Anything but a clear answer is `StateUnavailable`.
"""

from redis.asyncio import Redis

from service.adapters.redis.client.commands import BoundedCommands


class RedisTime:
    """Implements `ports.clock.SharedTime`."""

    def __init__(self, client: Redis, *, timeout_s: float) -> None:
        self._client = client
        self._ask = BoundedCommands(client, timeout_s=timeout_s)

    async def now_s(self) -> float:
        seconds, microseconds = await self._ask(self._client.time())
        return float(seconds + microseconds / 1e6)
