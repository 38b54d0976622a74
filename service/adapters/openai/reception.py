"""Receive answers of the provider, a few large ones at a time, and none with more bytes or values than it can need.

An answer of some megabytes arrives in a second, but many at once would all be held until the last one is whole. The others
wait in the network, not in memory. They are paid, and their orders have deadlines that nobody knows here, so none waits long:
while turns end, as on a busy machine, or for a moment while none does. Failure behaviour: open; an answer that stalls loses its
turn, and one that gets no turn is read without.
"""

import asyncio
import math
from collections import deque
from dataclasses import dataclass
from typing import cast

import httpx

_LARGE_BYTES = 256 * 1024
_AT_ONCE = 8
_WAIT_S = 1.5
_LONGEST_WAIT_S = 6.0
_SILENCE_S = 0.5
_BYTES_PER_IMAGE = 64 * 1024 * 1024
"""More than the base64 of the largest image that a model makes (8.3 megapixels of raw RGBA)."""
_STRUCTURE_PER_IMAGE = 32_000
"""Its revised prompt is the longest, and nothing but commas."""
_STRUCTURE_BESIDE = 50_000
STRUCTURE = b",:[]{}"
"""Marks that JSON needs for its values. Base64 has none."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """The most that an answer may have: bytes, and commas, colons and brackets, which bound the values in it.

    Sixty megabytes of empty lists are twenty million values: two gigabytes, and a loop that stands still for ten seconds.
    """

    size_bytes: int
    structure: int


def bounds_of(images: int) -> Bounds:
    """Return what an answer of so many images can need."""
    return Bounds(images * _BYTES_PER_IMAGE, _STRUCTURE_BESIDE + images * _STRUCTURE_PER_IMAGE)


FAILURE = Bounds(8 * 1024 * 1024, 250_000)
"""More than any error has."""


def count_marks(piece: bytes, marks: bytes = STRUCTURE) -> int:
    """Return the number of *marks* in *piece* of a body, in texts, too.

    Looking for any first takes a sixth of the time where there are none, as in nearly all of an image.
    """
    if any(mark in piece for mark in marks):
        return len(piece) - len(piece.translate(None, marks))
    return 0


class Tally:
    """Counts an answer as it comes; *marks* are what counts as structure."""

    def __init__(self, bounds: Bounds, marks: bytes = STRUCTURE) -> None:
        self._bounds = bounds
        self._marks = marks
        self.restart()

    def restart(self) -> None:
        """Forget what was counted."""
        self._size_bytes = self._structure = 0

    def takes(self, piece: bytes) -> bool:
        """Count *piece*; returns False once the answer is beyond its bounds."""
        self._size_bytes += len(piece)
        self._structure += count_marks(piece, self._marks)
        return self._size_bytes <= self._bounds.size_bytes and self._structure <= self._bounds.structure


async def read_body(response: httpx.Response, bounds: Bounds) -> bytearray | None:
    """Return the whole body, or None as soon as it is beyond its *bounds*."""
    return await Reception().read(response, bounds)


class Reception:
    """Owns the turns of large answers, *at_once* of them: a turn ends after *silence_s* without a byte of its answer.

    An answer waits for one until none has ended for *wait_s*, and *longest_wait_s* in all.
    """

    def __init__(
        self,
        *,
        at_once: int = _AT_ONCE,
        wait_s: float = _WAIT_S,
        longest_wait_s: float = _LONGEST_WAIT_S,
        silence_s: float = _SILENCE_S,
    ) -> None:
        self._turns = _Turns(at_once, wait_s, longest_wait_s)
        self._silence_s = silence_s

    async def read(self, response: httpx.Response, bounds: Bounds) -> bytearray | None:
        """Return the whole body, or None as soon as it is beyond its *bounds*."""
        body, tally, is_large = bytearray(), Tally(bounds), _announced_bytes(response) > _LARGE_BYTES
        turn = _Turn(self._turns, self._silence_s)
        try:
            if is_large:
                # Before any of it is here.
                await turn.take()
            # Its own stream: httpx would only count the bytes.
            async for chunk in cast("httpx.AsyncByteStream", response.stream):
                if not tally.takes(chunk):
                    return None
                body += chunk
                turn.prolong()
                if len(body) > _LARGE_BYTES and not is_large:
                    is_large = True
                    await turn.take()
            return body
        finally:
            turn.give_back()


def _announced_bytes(response: httpx.Response) -> int:
    length = response.headers.get("content-length", "")
    return int(length) if length.isdecimal() and len(length) < 20 else 0


class _Turns:
    """The free turns, and the answers that wait for one, in the order in which they came."""

    def __init__(self, free: int, wait_s: float, longest_wait_s: float) -> None:
        self._free = free
        self._wait_s = wait_s
        self._longest_wait_s = longest_wait_s
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._ended_s = -math.inf

    async def take(self) -> bool:
        """Wait for a turn; returns False if it took too long."""
        if self._free:
            self._free -= 1
            return True
        loop = asyncio.get_running_loop()
        came_s = loop.time()
        place = loop.create_future()
        self._waiting.append(place)
        try:
            while not place.done():
                until_s = min(max(came_s, self._ended_s) + self._wait_s, came_s + self._longest_wait_s)
                if loop.time() >= until_s:
                    break
                await asyncio.wait([place], timeout=until_s - loop.time())
        except asyncio.CancelledError:
            if place.done():
                self.give_back()
            raise
        finally:
            if not place.done():
                self._waiting.remove(place)
        return place.done()

    def give_back(self) -> None:
        """End a turn: it is the next one's, if any waits."""
        self._ended_s = asyncio.get_running_loop().time()
        if self._waiting:
            self._waiting.popleft().set_result(None)
        else:
            self._free += 1


class _Turn:
    """The turn of one answer, taken at most once; ends by itself after *silence_s* without a chunk."""

    def __init__(self, turns: _Turns, silence_s: float) -> None:
        self._turns = turns
        self._silence_s = silence_s
        self._end: asyncio.TimerHandle | None = None

    async def take(self) -> None:
        """Wait for the turn, but not too long."""
        if await self._turns.take():
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
            self._turns.give_back()

    def _start_timer(self) -> None:
        self._end = asyncio.get_running_loop().call_later(self._silence_s, self.give_back)
