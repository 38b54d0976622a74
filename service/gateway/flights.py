"""Images being made, and who in this process waits for them.

All waiters for one index of one pool share one future, whether the maker is here
or in another process. A maker here lands the image itself; news from elsewhere
only tells them to ask the shared state again.
"""

import asyncio
import random
from collections.abc import Iterable
from dataclasses import dataclass

from service.domain.errors import CallFailure
from service.domain.images import Image

_LONGEST_POLL_S = 5.0
"""However many wait, lost news costs nobody longer than this."""

Seat = tuple[str, int]
"""A pool and an index in it."""


@dataclass(frozen=True, slots=True)
class Landing:
    """How a wait ended: an *image* with its bytes, a *failure* all would meet, or neither: ask again.

    An image that is not stored is good for its bytes only.
    """

    image: Image | None = None
    data: bytes | None = None
    is_stored: bool = True
    failure: CallFailure | None = None


@dataclass(slots=True)
class _Flight:
    landing: asyncio.Future[Landing]
    waiters: int = 0


class Flights:
    """The waiting room of a process; bounded by its waiters, each of which has a deadline."""

    def __init__(self, *, poll_s: float = 0.25) -> None:
        self._flights: dict[Seat, _Flight] = {}
        self._poll_s = poll_s

    def land(self, pool: str, index: int, landing: Landing) -> None:
        """Tell all who wait here how it ended."""
        flight = self._flights.pop((pool, index), None)
        if flight and not flight.landing.done():
            flight.landing.set_result(landing)

    def wake(self, pool: str, index: int) -> None:
        """Tell all who wait here to ask again."""
        self.land(pool, index, Landing())

    async def wait(self, pool: str, indices: Iterable[int], *, left_s: float) -> dict[int, Landing]:
        """Wait until at least one of *indices* has landed, or it is time to ask again.

        Returns what has landed, which may be nothing: news can be lost, so every
        waiter asks now and then. All waiters of one index together ask about
        once in `poll_s`, however many they are.
        """
        flights = {index: self._join((pool, index)) for index in indices}
        try:
            # Slower the more are waiting; jittered, or they would all ask at once.
            crowd = max(flight.waiters for flight in flights.values())
            pause_s = min(self._poll_s * crowd, _LONGEST_POLL_S) * random.uniform(0.6, 1.4)  # noqa: S311 - spreads load, guards nothing
            await asyncio.wait(
                {flight.landing for flight in flights.values()},
                timeout=min(pause_s, left_s),
                return_when=asyncio.FIRST_COMPLETED,
            )
            return {
                index: flight.landing.result() for index, flight in flights.items() if flight.landing.done()
            }
        finally:
            for index, flight in flights.items():
                self._leave((pool, index), flight)

    def _join(self, seat: Seat) -> _Flight:
        flight = self._flights.get(seat)
        if flight is None:
            flight = self._flights[seat] = _Flight(asyncio.get_running_loop().create_future())
        flight.waiters += 1
        return flight

    def _leave(self, seat: Seat, flight: _Flight) -> None:
        flight.waiters -= 1
        if flight.waiters == 0 and self._flights.get(seat) is flight:
            del self._flights[seat]
