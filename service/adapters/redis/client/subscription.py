"""Receive the news of other processes on a channel: JSON objects that name their sender with `by`.

Failure behaviour: open. While disconnected, news is lost; this reconnects after a pause. A server that
is silent for long gets a ping. In a cluster any server will do, since all of them pass messages on.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import orjson
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.connection import Connection

_PAUSE_S = 0.5


async def receive(
    client: Redis, channel: str, *, process: str, silence_s: float
) -> AsyncIterator[Mapping[str, Any]]:
    """Yield the news on *channel*, for ever; skips that of *process* itself and messages of another form.

    After twice *silence_s* without a message, it connects to another server.
    """
    while True:
        try:
            async with client.pubsub(ignore_subscribe_messages=True) as subscription:
                await subscription.subscribe(channel)
                async for message in _messages(subscription, silence_s):
                    news = _decode(message)
                    if news is not None and news["by"] != process:
                        yield news
        except (exceptions.RedisError, OSError):
            await asyncio.sleep(_PAUSE_S)


async def _messages(subscription: PubSub, silence_s: float) -> AsyncIterator[Mapping[str, Any]]:
    is_asked = False
    while True:
        try:
            message = await subscription.get_message(timeout=silence_s)
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


def _decode(message: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the news in a message; a foreign publisher on the channel must not end the subscription."""
    if message["type"] != "message":
        return None
    try:
        news = orjson.loads(message["data"])
    except orjson.JSONDecodeError:
        return None
    return news if isinstance(news, dict) and "by" in news else None


def _is_connected(subscription: PubSub) -> bool:
    connection: Connection | None = subscription.connection  # redis-py types it as None alone
    return connection is not None and connection.is_connected
