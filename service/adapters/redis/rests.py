"""Share the rests of backend keys between processes, in Redis: a string for each, which expires with the rest.

The time left is by the clock of Redis, so processes need not agree on the time. All rests have one hash tag:
they are few, and one script reads those of a route.
Failure behaviour: open for news, which is lost while disconnected; all else is closed: anything but a clear
answer is `StateUnavailable`, and the rest may have been put.
"""

import math
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import orjson
from redis.asyncio import Redis

from service.adapters.redis import keys
from service.adapters.redis.client.script import Script
from service.adapters.redis.client.subscription import receive
from service.domain.backends import KeyName
from service.domain.rests import Rest, RestName, RestReason

_PUT = """
local left = tonumber(ARGV[2])
local asked, lasts = ARGV[1] == ARGV[5], redis.call('GET', KEYS[1]) == ARGV[5]
-- A pause that the backend asked for outranks all others, and ends by itself.
if lasts and not asked then return end
if left == 0 then
  redis.call('DEL', KEYS[1])
elseif (asked and not lasts) or left > redis.call('PTTL', KEYS[1]) then
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
else
  return
end
redis.call('PUBLISH', ARGV[3], ARGV[4])
"""
_READ = """
local found = {}
for i, key in ipairs(KEYS) do found[i] = {redis.call('GET', key), redis.call('PTTL', key)} end
return found
"""


class RedisRests:
    """Implements `ports.rests.SharedRests`; skips what *process* itself puts.

    After twice *silence_s* without news, it listens at another server.
    """

    def __init__(self, client: Redis, *, process: str, timeout_s: float, silence_s: float = 5.0) -> None:
        self._client = client
        self._process = process
        self._silence_s = silence_s
        self._put = Script(client, _PUT, timeout_s=timeout_s, name="rest")
        self._read = Script(client, _READ, timeout_s=timeout_s, name="rests")

    async def put(self, rest: Rest) -> None:
        left_ms = math.ceil(rest.left_s * 1000)
        news = {
            "by": self._process,
            "backend": rest.name.key.backend,
            "key": rest.name.key.key,
            "model": rest.name.model,
            "reason": rest.reason,
            "left_ms": left_ms,
        }
        own = (rest.reason, left_ms, keys.RESTS, orjson.dumps(news), RestReason.THROTTLED)
        await self._put.run([keys.rest_key(rest.name)], *own)

    async def read(self, names: Sequence[RestName]) -> list[Rest]:
        found = await self._read.run([keys.rest_key(name) for name in names])
        return [
            Rest(name=name, reason=RestReason(reason.decode()), left_s=left_ms / 1000)
            for name, (reason, left_ms) in zip(names, found, strict=True)
            if left_ms > 0 and _is_known(reason)
        ]

    async def listen(self) -> AsyncIterator[Rest]:
        async for news in receive(self._client, keys.RESTS, process=self._process, silence_s=self._silence_s):
            rest = _decode(news)
            if rest is not None:
                yield rest


def _is_known(reason: bytes) -> bool:
    """Tell if this version has *reason*; another may share the Redis while gateways are replaced."""
    return reason.decode(errors="replace") in set(RestReason)


def _decode(news: Mapping[str, Any]) -> Rest | None:
    """Return the rest in *news*; None if it has another form."""
    try:
        return Rest(
            name=RestName(KeyName(str(news["backend"]), str(news["key"])), str(news["model"])),
            reason=RestReason(news["reason"]),
            left_s=max(0, int(news["left_ms"])) / 1000,
        )
    except (LookupError, TypeError, ValueError, OverflowError):
        return None
