"""Bound single commands in time, and read larger values by the page.

Failure behaviour: closed. Anything but a clear answer is `StateUnavailable`.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Iterator, Sequence
from typing import Any, TypeVar, cast

from redis.asyncio import Redis

from service.adapters.redis.client.errors import translated_errors

Entry = TypeVar("Entry")

PAGE = 500
"""Most names or fields in one command."""


class BoundedCommands:
    """Awaits commands of *client*; called with the return value of one of its methods."""

    def __init__(self, client: Redis, *, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s

    async def __call__(self, answer: Any) -> Any:
        """Await the *answer* of one command."""
        with translated_errors():
            # The client's own time-outs bound each step; this bounds their sum.
            async with asyncio.timeout(self._timeout_s * 1.2):
                # redis-py types one method for its blocking and its asynchronous client at once.
                return await cast("Awaitable[Any]", answer)

    async def members(self, name: str) -> set[str]:
        """Return the members of the set *name*."""
        return {member.decode() for member in await self(self._client.smembers(name))}

    async def pages(self, name: str, match: str | None = None) -> AsyncIterator[dict[bytes, bytes]]:
        """Yield the hash *name* by the page; while it grows, a field may come twice."""
        cursor = 0
        while True:
            cursor, page = await self(self._client.hscan(name, cursor, match=match, count=PAGE))
            yield page
            if cursor == 0:
                return


def batches(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Yield *entries* by the page."""
    for start in range(0, len(entries), PAGE):
        yield entries[start : start + PAGE]
