"""Let callers take turns at a few places: each waits for one piece of work of every other, not for all of it."""

import asyncio
from collections import OrderedDict, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from service.ports.turns import TooManyWait


class Turns:
    """Places that are taken in turn; *most_waiting* bounds those of all callers that wait, *most_of_one* one's."""

    def __init__(self, places: int, *, most_waiting: int, most_of_one: int) -> None:
        self._free = places
        self._most_waiting, self._most_of_one = most_waiting, most_of_one
        self._waiting: OrderedDict[str, deque[asyncio.Future[None]]] = OrderedDict()

    @asynccontextmanager
    async def place(self, caller: str) -> AsyncIterator[None]:
        """Hold a place; raises `TooManyWait` at once if none is free and the queue is full."""
        await self._take(caller)
        try:
            yield
        finally:
            self._give_back()

    async def _take(self, caller: str) -> None:
        if self._free:
            self._free -= 1
            return
        if sum(map(len, self._waiting.values())) >= self._most_waiting:
            raise TooManyWait
        queue = self._waiting.setdefault(caller, deque())
        if len(queue) >= self._most_of_one:
            raise TooManyWait
        turn = asyncio.get_running_loop().create_future()
        queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                # The place came too late.
                self._give_back()
            raise

    def _give_back(self) -> None:
        """Pass the place to the next caller, who then goes behind the others."""
        while self._waiting:
            caller, queue = self._waiting.popitem(last=False)
            turn = queue.popleft()
            if queue:
                self._waiting[caller] = queue
            if not turn.done():
                turn.set_result(None)
                return
        self._free += 1
