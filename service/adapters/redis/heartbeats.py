"""Count the live gateway processes by their heartbeats in one sorted set, and tell if their secrets and holds are alike.

A member is the name of a process and the check value of its last secret, which reveals nothing else.
Failure behaviour: closed. Without an answer the caller keeps the last number it knows.
"""

from dataclasses import dataclass

from redis.asyncio import Redis

from service.adapters.redis.client.commands import BoundedCommands
from service.adapters.redis.client.script import Script
from service.adapters.redis.keys import FORMS, HOLDS, PROCESSES

_BEAT = """
local time = redis.call('TIME')
redis.call('ZADD', KEYS[1], time[1], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', time[1] - ARGV[2])
for _, key in ipairs(KEYS) do redis.call('EXPIRE', key, ARGV[2]) end
"""
_COUNT = "return redis.call('ZCARD', KEYS[1])"
_JOIN = """
local lost = redis.call('TIME')[1] - ARGV[2]
local secrets, forms = 0, 0
for _, member in ipairs(redis.call('HKEYS', KEYS[2])) do
    if not redis.call('ZSCORE', KEYS[1], member) then redis.call('HDEL', KEYS[2], member) end
end
for _, member in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. lost, '+inf')) do
    local check = string.match(member, ' (.+)$')
    -- Versions that name no form had the second one since they name a check.
    local form = redis.call('HGET', KEYS[2], member) or check and '2' or '1'
    if check and check ~= ARGV[4] then secrets = secrets + 1 end
    if form ~= ARGV[3] then forms = forms + 1 end
end
if secrets + forms > 0 then return {secrets, forms} end
"""
"""In one script with `_BEAT`, so that of two gateways that start at the same time one sees the other."""
_ALIKE = "return {0, 0}"
_KEYS = (PROCESSES, FORMS)


@dataclass(frozen=True, slots=True)
class Unlike:
    """Live gateways beside which this one must not run: by their last *secrets*, by the *forms* of their holds."""

    secrets: int = 0
    forms: int = 0


class RedisHeartbeats:
    """Implements `ports.processes.Heartbeats` for *process*; a process silent for *lost_s* is dead.

    *secret_check* identifies its last secret, *form* is that of its holds.
    """

    def __init__(
        self,
        client: Redis,
        *,
        process: str,
        secret_check: str,
        timeout_s: float,
        lost_s: int = 15,
        form: int = HOLDS,
    ) -> None:
        self._client = client
        self._ask = BoundedCommands(client, timeout_s=timeout_s)
        self._beat = Script(client, _BEAT + _COUNT, timeout_s=timeout_s, name="beat")
        self._join = Script(client, _JOIN + _BEAT + _ALIKE, timeout_s=timeout_s, name="join")
        self._member = f"{process} {secret_check}"
        self._secret_check = secret_check
        self._lost_s = lost_s
        self._form = form

    async def join(self) -> Unlike:
        """Report this process alive, unless live ones are unlike it; returns their numbers."""
        arguments = (self._member, self._lost_s, self._form, self._secret_check)
        return Unlike(*[int(number) for number in await self._join.run(_KEYS, *arguments)])

    async def beat(self) -> int:
        return int(await self._beat.run(_KEYS, self._member, self._lost_s, self._form))

    async def leave(self) -> None:
        """Report this process gone."""
        await self._ask(self._client.zrem(PROCESSES, self._member))
        await self._ask(self._client.hdel(FORMS, self._member))
