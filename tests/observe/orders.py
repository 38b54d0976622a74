"""Order as teams do on a working day: new images, several at once, edits, streams, and what is often asked for."""

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from tests.chaos.forms import edit
from tests.chaos.ground import Answer, Ground
from tests.observe.stack import Stack

_MODELS = {
    "studio": ("gpt-image-2", "gpt-image-2.6-flare", "gpt-image-2.6-sunburst"),
    "shop": ("gpt-image-2", "gpt-image-2.6-flare", "dall-e-3"),
    "research": ("dall-e-3", "dall-e-2"),
    "press": ("gpt-image-2.6-flare",),
}


@dataclass(slots=True)
class Orders:
    """Orders of all teams; *pace* is how many each sends in a second, *models* what it asks for; both may change."""

    stack: Stack
    pace: dict[str, float] = field(
        default_factory=lambda: {"studio": 2.5, "shop": 1.2, "research": 0.8, "press": 0.4}
    )
    models: dict[str, tuple[str, ...]] = field(default_factory=lambda: dict(_MODELS))
    answers: Counter[str] = field(default_factory=Counter)
    dice: random.Random = field(default_factory=lambda: random.Random(7))

    async def run(self) -> None:
        """Order without end."""
        async with asyncio.TaskGroup() as group:
            for team in self.stack.callers:
                group.create_task(self._keep_ordering(team))

    async def _keep_ordering(self, team: str) -> None:
        """Order at the team's pace, whether or not earlier orders have ended."""
        async with asyncio.TaskGroup() as group:
            while True:
                group.create_task(self._order(team))
                await asyncio.sleep(self.dice.expovariate(self.pace[team]))

    async def _order(self, team: str) -> None:
        caller = self.stack.callers[team]
        url = self.dice.choice(self.stack.gateways).url
        kinds: tuple[Callable[[Ground, str, str], Awaitable[Answer]], ...] = (
            self._new,
            self._new,
            self._many,
            self._often,
            self._often,
            self._stream,
            self._edit,
        )
        answer = await self.dice.choice(kinds)(caller, url, self.dice.choice(self.models[team]))
        self.answers[answer.code] += 1

    async def _new(self, caller: Ground, url: str, model: str) -> Answer:
        return await caller.order(url, model=model)

    async def _many(self, caller: Ground, url: str, model: str) -> Answer:
        return await caller.order(url, model=model, n=self.dice.randint(2, 4))

    async def _often(self, caller: Ground, url: str, model: str) -> Answer:
        return await caller.order(url, f"often {self.dice.randint(1, 8)}", model=model)

    async def _stream(self, caller: Ground, url: str, _: str) -> Answer:
        return await caller.order(url, model="gpt-image-2.6-flare", stream=True)

    async def _edit(self, caller: Ground, url: str, _: str) -> Answer:
        return await edit(caller, url, model="gpt-image-2.6-flare")


@contextlib.asynccontextmanager
async def ordering(stack: Stack) -> AsyncIterator[Orders]:
    """Order for all teams until the block ends."""
    orders = Orders(stack)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(orders.run())
        yield orders
        running.cancel()
