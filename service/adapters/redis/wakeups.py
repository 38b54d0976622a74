"""Receive wake-ups about images from other processes, over Redis publish/subscribe.

Failure behaviour: open. While disconnected, messages are lost and waiters poll.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

from redis.asyncio import Redis

from service.adapters.redis import keys
from service.adapters.redis.client.subscription import receive


class RedisWakeups:
    """Implements `ports.processes.Wakeups`; skips messages of *process* itself.

    After twice *silence_s* without a message, it connects to another server.
    """

    def __init__(self, client: Redis, *, process: str, silence_s: float = 5.0) -> None:
        self._client = client
        self._process = process
        self._silence_s = silence_s

    async def listen(self) -> AsyncIterator[tuple[str, int]]:
        async for news in receive(
            self._client, keys.CHANNEL, process=self._process, silence_s=self._silence_s
        ):
            for pool_and_index in _read(news):
                yield pool_and_index


def _read(news: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Return the pool and the indices in *news*; none if it has another form."""
    try:
        return [(str(news["pool"]), int(index)) for index in news["indices"]]
    except (LookupError, TypeError, ValueError):
        return []
