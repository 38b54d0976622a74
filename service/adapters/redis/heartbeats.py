"""Count the live gateway processes by their heartbeats in one sorted set, and tell if their secrets are alike.

A member is the name of a process and the check value of its last secret, which reveals nothing else.
Failure behaviour: closed. Without an answer the caller keeps the last number it knows.
"""

from redis.asyncio import Redis

from service.adapters.redis.client.commands import BoundedCommands
from service.adapters.redis.client.script import Script
from service.adapters.redis.keys import PROCESSES

_BEAT = """
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1], ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', time[1] - ARGV[2])
redis.call('EXPIRE', KEYS[1], ARGV[2])
return redis.call('ZCARD', KEYS[1])
"""
_JOIN = (
    """
local lost = redis.call('TIME')[1] - ARGV[2]
local unlike = 0
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. lost, '+inf')) do
    local check = string.match(member, ' (.+)$')
    if check and check ~= ARGV[3] then unlike = unlike + 1 end
end
if unlike > 0 then return -unlike end
"""
    + _BEAT
)
"""In one script, so that of two gateways that start at the same time one sees the other."""


class RedisHeartbeats:
    """Implements `ports.processes.Heartbeats` for *process*; a process silent for *lost_s* is dead.

    *secret_check* identifies its last secret.
    """

    def __init__(
        self, client: Redis, *, process: str, secret_check: str, timeout_s: float, lost_s: int = 15
    ) -> None:
        self._client = client
        self._ask = BoundedCommands(client, timeout_s=timeout_s)
        self._beat = Script(client, _BEAT, timeout_s=timeout_s)
        self._join = Script(client, _JOIN, timeout_s=timeout_s)
        self._member = f"{process} {secret_check}"
        self._secret_check = secret_check
        self._lost_s = lost_s

    async def join(self) -> int:
        """Report this process alive, unless live ones have another last secret; returns their number."""
        answer = int(await self._join.run([PROCESSES], self._member, self._lost_s, self._secret_check))
        return max(0, -answer)

    async def beat(self) -> int:
        return int(await self._beat.run([PROCESSES], self._member, self._lost_s))

    async def leave(self) -> None:
        """Report this process gone."""
        await self._ask(self._client.zrem(PROCESSES, self._member))
