"""Receive wake-ups about images from other processes, over Redis publish/subscribe.

Failure behaviour: open. While disconnected, messages are lost and waiters poll; this reconnects
after a pause. A server that is silent for long gets a ping. In a cluster any server will do,
since all of them pass messages on.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.connection import Connection

from service.adapters.redis import keys

_PAUSE_S = 0.5


class RedisWakeups:
    """Implements `ports.processes.Wakeups`; skips messages of *process* itself.

    After twice *silence_s* without a message, it connects to another server.
    """

    def __init__(self, client: Redis, *, process: str, silence_s: float = 5.0) -> None:
        self._client = client
        self._process = process
        self._silence_s = silence_s

    async def listen(self) -> AsyncIterator[tuple[str, int]]:
        while True:
            try:
                async with self._client.pubsub(ignore_subscribe_messages=True) as subscription:
                    await subscription.subscribe(keys.CHANNEL)
                    async for message in self._receive(subscription):
                        for pool_and_index in self._decode(message):
                            yield pool_and_index
            except (exceptions.RedisError, OSError):
                await asyncio.sleep(_PAUSE_S)

    async def _receive(self, subscription: PubSub) -> AsyncIterator[Mapping[str, Any]]:
        is_asked = False
        while True:
            try:
                message = await subscription.get_message(timeout=self._silence_s)
            except exceptions.ConnectionError:
                # By now redis-py has subscribed again if it could, and buffers messages.
                if not _is_connected(subscription):
                    raise
                await asyncio.sleep(_PAUSE_S)
                continue
            if message is not None:
                is_asked = False
                yield message
            elif is_asked:
                raise exceptions.TimeoutError("the server of the subscription does not answer")
            else:
                await subscription.ping()
                is_asked = True

    def _decode(self, message: Mapping[str, Any]) -> list[tuple[str, int]]:
        if message["type"] != "message":
            return []
        try:
            news = orjson.loads(message["data"])
            if news["by"] == self._process:
                return []
            return [(str(news["pool"]), int(index)) for index in news["indices"]]
        except (LookupError, TypeError, ValueError):
            # A foreign publisher on the channel must not end the subscription.
            return []


def _is_connected(subscription: PubSub) -> bool:
    connection: Connection | None = subscription.connection  # redis-py types it as None alone
    return connection is not None and connection.is_connected
