"""Receive answers of the provider, a few large ones at a time.

An answer of some megabytes arrives in a second, but many at once would all be held until the last one is whole. The others
wait in the network, not in memory. Failure behaviour: open; an answer that stalls delays the others for seconds at most.
"""

import asyncio

import httpx

_LARGE_BYTES = 256 * 1024
_AT_ONCE = 8
_PATIENCE_S = 3.0


async def read_body(response: httpx.Response, limit_bytes: int) -> bytearray | None:
    """Return the whole body, or None as soon as it is larger than *limit_bytes*."""
    return await Reception().read(response, limit_bytes)


class Reception:
    """Owns the turns of large answers."""

    def __init__(self, *, at_once: int = _AT_ONCE, patience_s: float = _PATIENCE_S) -> None:
        self._turns = asyncio.Semaphore(at_once)
        self._patience_s = patience_s

    async def read(self, response: httpx.Response, limit_bytes: int) -> bytearray | None:
        """Return the whole body, or None as soon as it is larger than *limit_bytes*."""
        body, has_asked, has_turn = bytearray(), False, False
        try:
            async for chunk in response.aiter_raw():
                body += chunk
                if len(body) > limit_bytes:
                    return None
                if len(body) > _LARGE_BYTES and not has_asked:
                    has_asked, has_turn = True, await self._take_turn()
            return body
        finally:
            if has_turn:
                self._turns.release()

    async def _take_turn(self) -> bool:
        """Wait for a turn; returns False if it takes too long, and the answer is read without one."""
        try:
            async with asyncio.timeout(self._patience_s):
                return await self._turns.acquire()
        except TimeoutError:
            return False
