"""Count the live gateway processes by their heartbeats in one sorted set.

Failure behaviour: closed. Without an answer the caller keeps the last number it knows.
"""

from redis.asyncio import Redis

from service.adapters.redis.client.script import Script
from service.adapters.redis.keys import PROCESSES

_BEAT = """
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', time[1] - ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
"""


class RedisHeartbeats:
    """Implements `ports.processes.Heartbeats` for *process*; a process silent for *lost_s* is dead."""

    def __init__(self, client: Redis, *, process: str, timeout_s: float, lost_s: int = 15) -> None:
        self._beat = Script(client, _BEAT, timeout_s=timeout_s)
        self._process = process
        self._lost_s = lost_s

    async def beat(self) -> int:
        return int(await self._beat.run([PROCESSES], self._process, self._lost_s))
