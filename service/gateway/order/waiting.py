"""Track the images being made and their waiters in this process.

All waiters for one index of one pool share one future, whether the maker is in this
process or in another. A local maker lands the image itself; news from another process sends
one waiter, the scout, to ask the shared state, and the scout lands the result for all.
"""

import asyncio
import contextlib
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from service.domain.failures import CallFailure
from service.domain.images import Image
from service.ports.processes import Wakeups

_LONGEST_POLL_S = 5.0
"""The longest delay that lost news can cause, however many wait."""

MOST_WAITERS = 20_000
"""Most waits of all orders of a process together; each is for one image."""

Seat = tuple[str, int]
"""A pool and an index in it."""


@dataclass(frozen=True, slots=True)
class Landing:
    """The end of a wait: an *image* with its bytes, a *failure* all would meet, or neither: ask again.

    An image that is not stored offers its bytes only; *data* None must be read.
    """

    image: Image | None = None
    data: bytes | None = None
    is_stored: bool = True
    failure: CallFailure | None = None


@dataclass(slots=True)
class _Flight:
    """One image being made. *scouts* are the waiters that may be sent, each by a future of its own."""

    landing: asyncio.Future[Landing]
    scouts: dict[asyncio.Future[None], None] = field(default_factory=dict)


class WaitingRoom:
    """The waiting room of a process; bounded by its waiters, each of which has a deadline."""

    def __init__(self, *, poll_s: float = 0.25) -> None:
        self._flights: dict[Seat, _Flight] = {}
        self._poll_s = poll_s
        self._waiters = 0

    @property
    def is_full(self) -> bool:
        """Tell if the waiting room is full; each wait costs memory."""
        return self._waiters >= MOST_WAITERS

    def land(self, pool: str, index: int, landing: Landing) -> None:
        """End the wait of all waiters for this image."""
        flight = self._flights.pop((pool, index), None)
        if flight and not flight.landing.done():
            flight.landing.set_result(landing)

    def wake(self, pool: str, index: int) -> None:
        """Send one waiter to ask again; the others wait for its result."""
        flight = self._flights.get((pool, index))
        scout = next((scout for scout in flight.scouts if not scout.done()), None) if flight else None
        if scout is not None:
            scout.set_result(None)

    async def listen_forever(self, wakeups: Wakeups) -> None:
        """Wake waiters with the news of other processes."""
        async for pool, index in wakeups.listen():
            self.wake(pool, index)

    async def wait(
        self, pool: str, indices: Iterable[int], *, left_s: float, for_all: bool = False
    ) -> dict[int, Landing]:
        """Wait until one of *indices* has landed (*for_all*: all of them), or it is time to ask again.

        Returns the landings, perhaps none: news can be lost, so every waiter asks now and
        then. All waiters for one index together ask about once in `poll_s`, however many
        they are.
        """
        scout: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        flights = {index: self._join((pool, index), scout) for index in indices}
        try:
            # The more wait, the slower; with jitter, or they would all ask at once.
            crowd = max(len(flight.scouts) for flight in flights.values())
            pause_s = min(self._poll_s * crowd, _LONGEST_POLL_S) * random.uniform(0.6, 1.4)  # noqa: S311 - spreads load, guards nothing
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(pause_s, left_s)):
                    await _until_landed({flight.landing for flight in flights.values()}, scout, for_all)
            return {
                index: flight.landing.result() for index, flight in flights.items() if flight.landing.done()
            }
        finally:
            for index, flight in flights.items():
                self._leave((pool, index), flight, scout)

    def _join(self, seat: Seat, scout: asyncio.Future[None]) -> _Flight:
        flight = self._flights.get(seat)
        if flight is None:
            flight = self._flights[seat] = _Flight(asyncio.get_running_loop().create_future())
        flight.scouts[scout] = None
        self._waiters += 1
        return flight

    def _leave(self, seat: Seat, flight: _Flight, scout: asyncio.Future[None]) -> None:
        del flight.scouts[scout]
        self._waiters -= 1
        if not flight.scouts and self._flights.get(seat) is flight:
            del self._flights[seat]


async def _until_landed(
    landings: set[asyncio.Future[Landing]], scout: asyncio.Future[None], for_all: bool
) -> None:
    pending: set[asyncio.Future[Any]] = {landing for landing in landings if not landing.done()}
    while not scout.done() and pending and (for_all or len(pending) == len(landings)):
        await asyncio.wait({scout, *pending}, return_when=asyncio.FIRST_COMPLETED)
        pending = {landing for landing in pending if not landing.done()}
