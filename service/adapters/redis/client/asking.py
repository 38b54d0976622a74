"""Await single commands, each answered in time or not at all, and read larger values in several.

Failure behaviour: closed. Anything but a clear answer is `StateUnavailable`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from typing import Any, cast

from redis.asyncio import Redis

from service.adapters.redis.client.errors import translated_errors

_PAGE = 500


class Asking:
    """Bounds commands to *client*; called with the return value of one of its commands."""

    def __init__(self, client: Redis, *, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s

    async def __call__(self, answer: Any) -> Any:
        """Await one command's *answer*.

        Raises:
            StateUnavailable: no answer, or no clear one.
        """
        with translated_errors():
            # The client's own time-outs bound each step; this bounds their sum.
            async with asyncio.timeout(self._timeout_s * 1.2):
                # redis-py types one method for its blocking and its asynchronous client at once.
                return await cast("Awaitable[Any]", answer)

    async def members(self, name: str) -> set[str]:
        """Return a set of names."""
        return {member.decode() for member in await self(self._client.smembers(name))}

    async def pages(self, name: str, match: str | None = None) -> AsyncIterator[dict[bytes, bytes]]:
        """Yield a hash by the page; while it grows, a field may come twice."""
        cursor = 0
        while True:
            cursor, page = await self(self._client.hscan(name, cursor, match=match, count=_PAGE))
            yield page
            if cursor == 0:
                return
