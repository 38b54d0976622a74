"""Receive answers of the provider, a few large ones at a time.

An answer of some megabytes arrives in a second, but many at once would all be held until the last one is whole. The others
wait in the network, not in memory. They are paid, and their orders have deadlines that nobody knows here, so none waits long.
Failure behaviour: open; an answer that stalls loses its turn, and one that gets no turn is read without.
"""

import asyncio

import httpx

_LARGE_BYTES = 256 * 1024
_AT_ONCE = 8
_WAIT_S = 1.5
_SILENCE_S = 0.5


async def read_body(response: httpx.Response, limit_bytes: int) -> bytearray | None:
    """Return the whole body, or None as soon as it is larger than *limit_bytes*."""
    return await Reception().read(response, limit_bytes)


class Reception:
    """Owns the turns of large answers: an answer waits *wait_s* for one, and loses it after *silence_s*."""

    def __init__(
        self, *, at_once: int = _AT_ONCE, wait_s: float = _WAIT_S, silence_s: float = _SILENCE_S
    ) -> None:
        self._turns = asyncio.Semaphore(at_once)
        self._wait_s = wait_s
        self._silence_s = silence_s

    async def read(self, response: httpx.Response, limit_bytes: int) -> bytearray | None:
        """Return the whole body, or None as soon as it is larger than *limit_bytes*."""
        body, has_asked = bytearray(), False
        turn = _Turn(self._turns, self._silence_s)
        try:
            async for chunk in response.aiter_raw():
                body += chunk
                turn.prolong()
                if len(body) > limit_bytes:
                    return None
                if len(body) > _LARGE_BYTES and not has_asked:
                    has_asked = True
                    await turn.take(self._wait_s)
            return body
        finally:
            turn.give_back()


class _Turn:
    """The turn of one answer, taken at most once; ends by itself after *silence_s* without a chunk."""

    def __init__(self, turns: asyncio.Semaphore, silence_s: float) -> None:
        self._turns = turns
        self._silence_s = silence_s
        self._end: asyncio.TimerHandle | None = None

    async def take(self, wait_s: float) -> None:
        """Wait for the turn, but not longer than *wait_s*."""
        try:
            async with asyncio.timeout(wait_s):
                await self._turns.acquire()
        except TimeoutError:
            return
        self._start_timer()

    def prolong(self) -> None:
        """Begin the silence anew, if the turn lasts."""
        if self._end is not None:
            self._end.cancel()
            self._start_timer()

    def give_back(self) -> None:
        """Leave the turn, if it lasts."""
        if self._end is not None:
            self._end.cancel()
            self._end = None
            self._turns.release()

    def _start_timer(self) -> None:
        self._end = asyncio.get_running_loop().call_later(self._silence_s, self.give_back)
