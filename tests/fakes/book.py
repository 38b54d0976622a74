"""An order book that answers by script, and news that the test tells.

Not a twin of the scripts in Redis: it keeps no pool, counts no limit and compares
no fence. Unless told otherwise, every order may make all it asks for.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from itertools import count

from service.domain.errors import GatewayError, StateUnavailable
from service.ports.admission import Ask, Grant, Lease, Settlement
from tests.fakes.values import a_grant


class FakeOrders:
    """Implements `ports.admission.SharedOrders`; records what was asked and what was settled. An ask takes *delay_s*."""

    def __init__(self, *script: Grant | GatewayError) -> None:
        self.script = deque(script)
        self.is_gone = False
        self.delay_s = 0.0
        self.asks: list[Ask] = []
        self.settlements: list[Settlement] = []
        self.renewals: list[tuple[Lease, ...]] = []
        self.finishing = asyncio.Event()
        self.may_finish = asyncio.Event()
        self.may_finish.set()
        self._indices = count()

    async def begin(self, ask: Ask) -> Grant:
        self.asks.append(ask)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        self._answer()
        reply = self.script.popleft() if self.script else None
        if isinstance(reply, Exception):
            raise reply
        if reply is not None:
            return reply
        return a_grant(mine=tuple(next(self._indices) for _ in range(ask.n)))

    async def finish(self, settlement: Settlement) -> None:
        self._answer()
        self.finishing.set()
        await self.may_finish.wait()
        self.settlements.append(settlement)

    async def renew(self, leases: Sequence[Lease]) -> None:
        self._answer()
        self.renewals.append(tuple(leases))

    def _answer(self) -> None:
        if self.is_gone:
            raise StateUnavailable("timeout")


class FakeWakeups:
    """Implements `ports.processes.Wakeups`: yields what the test tells."""

    def __init__(self) -> None:
        self._news: asyncio.Queue[tuple[str, int]] = asyncio.Queue()

    def tell(self, pool: str, index: int) -> None:
        self._news.put_nowait((pool, index))

    async def listen(self) -> AsyncIterator[tuple[str, int]]:
        while True:
            yield await self._news.get()


class FakeHeartbeats:
    """Implements `ports.processes.Heartbeats`: as many processes live as the test says."""

    def __init__(self, *alive: int) -> None:
        self.alive = deque(alive)
        self.beats = 0
        self.is_gone = False

    async def beat(self) -> int:
        self.beats += 1
        if self.is_gone:
            raise StateUnavailable("timeout")
        return self.alive.popleft() if len(self.alive) > 1 else self.alive[0]
