"""Share the rests of keys with other processes: tell one's own, and observe theirs.

Failure behaviour: open. Without Redis each process rests by what it sees itself.
"""

import asyncio
from contextlib import suppress

from service.domain.errors import StateUnavailable
from service.domain.rests import Rest
from service.gateway.routing.routing import Routing
from service.ports.rests import SharedRests

_PAUSE_S = 2.0
_MOST_UNTOLD = 256


class RestSharing:
    """Carries rests between *routing* and other processes."""

    def __init__(self, shared: SharedRests) -> None:
        self._shared = shared
        self._untold: asyncio.Queue[Rest] = asyncio.Queue(_MOST_UNTOLD)

    def tell(self, rest: Rest) -> None:
        """Tell other processes of *rest* soon; without room it is lost, as it would be without Redis."""
        if not self._untold.full():
            self._untold.put_nowait(rest)

    async def tell_forever(self) -> None:
        """Send what `tell` takes."""
        while True:
            rest = await self._untold.get()
            with suppress(StateUnavailable):
                await self._shared.put(rest)

    async def listen_forever(self, routing: Routing) -> None:
        """Let *routing* observe the news of other processes."""
        async for rest in self._shared.listen():
            routing.observe(rest)

    async def read(self, routing: Routing) -> None:
        """Let *routing* observe all rests: a process does so before it takes orders."""
        names, changes = routing.rest_names, routing.changes
        with suppress(StateUnavailable):
            lasting = await self._shared.read(names)
            # What was learned meanwhile may be newer than the answer.
            if routing.changes == changes:
                routing.observe_all(names, lasting)

    async def read_forever(self, routing: Routing) -> None:
        """Read all rests now and then: news may be lost."""
        while True:
            await self.read(routing)
            await asyncio.sleep(_PAUSE_S)
