"""Take turns at sweeping the store, and record its progress: a lease and a hash in Redis.

The lease only saves work: two sweeps at once do the same harmless work twice.
Failure behaviour: closed. Anything but a clear answer is `StateUnavailable`.
"""

from redis.asyncio import Redis

from service.adapters.redis.client.commands import BoundedCommands
from service.adapters.redis.client.script import Script
from service.adapters.redis.keys import SWEEPER
from service.ports.processes import Round

_ROUND = f"{SWEEPER}:round"

_TAKE = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""


class RedisSweepLease:
    """Implements `ports.processes.SweepLease` for *process*."""

    def __init__(self, client: Redis, *, process: str, timeout_s: float) -> None:
        self._client = client
        self._take = Script(client, _TAKE, timeout_s=timeout_s, name="take")
        self._process = process
        self._ask = BoundedCommands(client, timeout_s=timeout_s)

    async def take(self, *, hold_s: float) -> bool:
        return bool(await self._take.run([SWEEPER], self._process, max(1, int(hold_s * 1000))))

    async def read_round(self) -> Round | None:
        began_s, part = await self._ask(self._client.hmget(_ROUND, ["began_s", "part"]))
        return None if began_s is None or part is None else Round(float(began_s), int(part))

    async def keep_round(self, round_: Round) -> None:
        await self._ask(self._client.hset(_ROUND, mapping={"began_s": round_.began_s, "part": round_.part}))
