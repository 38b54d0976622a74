"""Track the images being made, and the orders of this process that wait for them.

All waiters for one index of one pool share one future, whether the maker is in this process or in
another. A local maker resolves it; news from another process sends one waiter, the prober, to ask the
shared state and resolve it for all.
"""

import asyncio
import contextlib
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from service.domain.failures import CallFailure
from service.domain.images import Image
from service.ports.processes import Wakeups

_LONGEST_POLL_S = 5.0
"""Longest delay from lost news, however many orders wait."""

MOST_WAITERS = 20_000
"""Most waits of all orders of a process together; each is for one image."""

_PoolIndex = tuple[str, int]


@dataclass(frozen=True, slots=True)
class WaitResult:
    """The result of a wait: an *image*, a *failure* that every waiter would meet, or neither: ask again.

    *data* None must be read from the store; an image that is not stored has only its *data*.
    """

    image: Image | None = None
    data: bytes | None = None
    is_stored: bool = True
    failure: CallFailure | None = None


@dataclass(slots=True)
class _PendingImage:
    """One image being made. *probers* has a future for each waiter, whose setting sends it to ask, and until when it is wanted."""

    result: asyncio.Future[WaitResult]
    probers: dict[asyncio.Future[None], Callable[[], float]] = field(default_factory=dict)


class WaitingRoom:
    """The waits of a process; bounded in number, and each has a deadline."""

    def __init__(self, *, poll_s: float = 0.25) -> None:
        self._pending: dict[_PoolIndex, _PendingImage] = {}
        self._poll_s = poll_s
        self._waiters = 0

    @property
    def is_full(self) -> bool:
        """Tell if no more waits fit; each costs memory."""
        return self._waiters >= MOST_WAITERS

    def awaited_until_s(self, pool: str, index: int) -> float:
        """Return the latest deadline of the orders that are wanted and wait for this image, or 0."""
        pending = self._pending.get((pool, index))
        return max([until_s() for until_s in pending.probers.values()], default=0.0) if pending else 0.0

    def resolve(self, pool: str, index: int, result: WaitResult) -> None:
        """End the wait of all waiters for this image."""
        pending = self._pending.pop((pool, index), None)
        if pending and not pending.result.done():
            pending.result.set_result(result)

    def wake(self, pool: str, index: int) -> None:
        """Send one waiter to ask again; the others wait for its result."""
        pending = self._pending.get((pool, index))
        prober = next((each for each in pending.probers if not each.done()), None) if pending else None
        if prober is not None:
            prober.set_result(None)

    async def listen_forever(self, wakeups: Wakeups) -> None:
        """Wake waiters with the news of other processes."""
        async for pool, index in wakeups.listen():
            self.wake(pool, index)

    async def wait(
        self,
        pool: str,
        indices: Iterable[int],
        *,
        left_s: float,
        for_all: bool = False,
        wanted_until_s: Callable[[], float] = lambda: 0.0,
    ) -> dict[int, WaitResult]:
        """Wait for a result for one of *indices* (*for_all*: for all of them), or until it is time to ask again.

        Returns the results, perhaps none: news can be lost, so every waiter asks now and then. All
        waiters for one index together ask about once in `poll_s`.
        """
        prober: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        images = {index: self._join((pool, index), prober, wanted_until_s) for index in indices}
        try:
            # The more wait, the slower; with jitter, or they would all ask at once.
            crowd = max(len(image.probers) for image in images.values())
            pause_s = min(self._poll_s * crowd, _LONGEST_POLL_S) * random.uniform(0.6, 1.4)  # noqa: S311 - spreads load, guards nothing
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(pause_s, left_s)):
                    await _wait_for_results({image.result for image in images.values()}, prober, for_all)
            return {index: image.result.result() for index, image in images.items() if image.result.done()}
        finally:
            for index, image in images.items():
                self._leave((pool, index), image, prober)

    def _join(
        self, key: _PoolIndex, prober: asyncio.Future[None], wanted_until_s: Callable[[], float]
    ) -> _PendingImage:
        image = self._pending.get(key)
        if image is None:
            image = self._pending[key] = _PendingImage(asyncio.get_running_loop().create_future())
        image.probers[prober] = wanted_until_s
        self._waiters += 1
        return image

    def _leave(self, key: _PoolIndex, image: _PendingImage, prober: asyncio.Future[None]) -> None:
        del image.probers[prober]
        self._waiters -= 1
        if not image.probers and self._pending.get(key) is image:
            del self._pending[key]


async def _wait_for_results(
    results: set[asyncio.Future[WaitResult]], prober: asyncio.Future[None], for_all: bool
) -> None:
    pending: set[asyncio.Future[Any]] = {result for result in results if not result.done()}
    while not prober.done() and pending and (for_all or len(pending) == len(results)):
        await asyncio.wait({prober, *pending}, return_when=asyncio.FIRST_COMPLETED)
        pending = {result for result in pending if not result.done()}
