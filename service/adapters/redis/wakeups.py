"""News of made images from other processes, over Redis publish/subscribe.

Failure behaviour: open. While disconnected, news is lost and waiters poll; this
only connects again, with a pause.
"""

import asyncio
from collections.abc import AsyncIterator

import orjson
from redis import exceptions
from redis.asyncio import Redis

from service.adapters.redis import keys

_PAUSE_S = 0.5
_LISTEN_S = 5.0


class RedisWakeups:
    """Implements `ports.Wakeups`; skips what *process* itself published."""

    def __init__(self, client: Redis, *, process: str) -> None:
        self._client = client
        self._process = process

    async def listen(self) -> AsyncIterator[tuple[str, int]]:
        """Implement `Wakeups.listen`."""
        while True:
            try:
                async with self._client.pubsub(ignore_subscribe_messages=True) as subscription:
                    await subscription.subscribe(keys.CHANNEL)
                    while True:
                        message = await subscription.get_message(timeout=_LISTEN_S)
                        for news in self._decode(message):
                            yield news
            except (exceptions.RedisError, OSError):
                await asyncio.sleep(_PAUSE_S)

    def _decode(self, message: dict[str, object] | None) -> list[tuple[str, int]]:
        if message is None or not isinstance(message["data"], bytes):
            return []
        news = orjson.loads(message["data"])
        if news["by"] == self._process:
            return []
        return [(news["pool"], int(index)) for index in news["indices"]]
