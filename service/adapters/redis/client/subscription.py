"""Receive the news of other processes on a channel: JSON objects that name their sender with `by`.

Failure behaviour: open. While disconnected, news is lost; this connects again, twice a second at most. A server that
is silent for long gets a ping. In a cluster any server will do, since all of them pass messages on.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import hiredis
import orjson
from redis import exceptions
from redis.asyncio import Redis

from service.adapters.redis.client.connections import MALFORMED, CancellableSends

_PAUSE_S = 0.5
_INCOMPLETE = object()

_Message = Mapping[str, Any]


async def receive(client: Redis, channel: str, *, process: str, silence_s: float) -> AsyncIterator[_Message]:
    """Yield the news on *channel*, for ever; skips that of *process* itself and messages of another form.

    After twice *silence_s* in which its server says nothing, it connects to another.
    """
    loop = asyncio.get_running_loop()
    while True:
        until_s = loop.time() + _PAUSE_S
        connection: CancellableSends = client.connection_pool.make_connection()  # type: ignore[no-untyped-call]  # redis-py's own
        try:
            await connection.connect()  # type: ignore[no-untyped-call]  # redis-py's own
            subscription = _Subscription(connection, channel, process)
            async for news in subscription.news(silence_s):
                yield news
        except (exceptions.RedisError, OSError, *MALFORMED):
            pass
        finally:
            connection.drop()
        await asyncio.sleep(max(0.0, until_s - loop.time()))


class _Subscription(asyncio.Protocol):
    """A subscribed connection. What its own process published, most of all news, costs no turn of a task."""

    def __init__(self, connection: CancellableSends, channel: str, process: str) -> None:
        self._process = process
        self._reader = hiredis.Reader(notEnoughData=_INCOMPLETE)
        self._news: asyncio.Queue[_Message | None] = asyncio.Queue()
        self._is_heard = False
        self._transport = connection.hand_over(self)
        self._send("SUBSCRIBE", channel)

    async def news(self, silence_s: float) -> AsyncIterator[_Message]:
        """Yield news until the connection is lost, or its server does not answer."""
        is_asked = False
        while True:
            try:
                async with asyncio.timeout(silence_s):
                    news = await self._news.get()
            except TimeoutError:
                if is_asked and not self._is_heard:
                    return
                is_asked, self._is_heard = not self._is_heard, False
                if is_asked:
                    self._send("PING")
                continue
            if news is None:
                return
            yield news

    def data_received(self, data: bytes) -> None:
        """Take all messages that are complete."""
        self._is_heard = True
        self._reader.feed(data)
        try:
            while (message := self._reader.gets()) is not _INCOMPLETE:
                if isinstance(message, hiredis.ReplyError):
                    # Not permitted, most likely.
                    self._transport.abort()
                elif isinstance(message, list) and message[0] == b"message":
                    self._take(message[2])
        except (hiredis.ProtocolError, *MALFORMED):
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """End the news."""
        self._news.put_nowait(None)

    def _send(self, *command: Any) -> None:
        self._transport.write(hiredis.pack_command(command))

    def _take(self, text: bytes) -> None:
        try:
            news = orjson.loads(text)
        except orjson.JSONDecodeError:
            # A foreign publisher on the channel must not end the subscription.
            return
        if isinstance(news, dict) and news.get("by", self._process) != self._process:
            self._news.put_nowait(news)
