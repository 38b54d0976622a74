"""Order as callers with every kind of limit do, at whichever gateways take orders, until told to stop.

Owns the load and what its callers were answered; `judge.py` compares that with the provider's journal.
"""

import asyncio
import itertools
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.forms import edit
from tests.chaos.ground import OPERATOR, Answer, Ground, new_prompt
from tests.processes import Gateway

LIMITS: dict[str, dict[str, int]] = {
    "crowd": {},
    "daily": {"images_per_day": 60},
    "budget": {"budget_per_month_microusd": 3_000_000},
    "narrow": {"images_in_flight": 3},
    "paced": {"images_per_min": 60},
}
"""Callers and the limits of each, which is a team of its own."""
WORKERS = {"crowd": 6, "daily": 2, "budget": 2, "narrow": 6, "paced": 2}
_PAUSE_S = 0.1
_AWAY_S = 0.05
_APPLIED_S = 20


@dataclass(slots=True)
class Answered:
    """What callers got: answers by caller and code, and all that may be compared later."""

    codes: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in LIMITS})
    equal: dict[str, list[Answer]] = field(default_factory=dict)
    """Answers to equal orders sent at once, by prompt."""
    repeated: list[tuple[Answer, Answer]] = field(default_factory=list)
    """Answers to an order and to its repeat with the same `Idempotency-Key`."""
    wanted: dict[str, int] = field(default_factory=dict)
    """Images that one order of a prompt asked for at most, of the orders that were answered well."""
    links: list[str] = field(default_factory=list)
    spans: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in LIMITS})
    """Instants at which a caller's orders were sent and answered."""
    degraded: int = 0
    """Answers by a gateway's own share of the limits, as without Redis."""
    unexpected: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Load:
    """Callers, the gateways that take orders now, and what the callers were answered."""

    callers: dict[str, Ground]
    gateways: list[Gateway]
    dice: random.Random = field(default_factory=lambda: random.Random(7))
    answered: Answered = field(default_factory=Answered)
    is_over: bool = False

    @property
    def total(self) -> int:
        return sum(codes.total() for codes in self.answered.codes.values())

    async def order(
        self, caller: str, prompt: str = "", *, at: Gateway | None = None, **fields: Any
    ) -> Answer:
        prompt = prompt or f"{caller} {new_prompt()}"
        gateway = at or self.dice.choice(self.gateways)
        answer = await self.callers[caller].order(gateway.url, prompt, **fields)
        self._note(caller, prompt, answer)
        return answer

    async def edit(self, caller: str) -> None:
        prompt = f"{caller} {new_prompt()}"
        answer = await edit(self.callers[caller], self.dice.choice(self.gateways).url, prompt=prompt)
        self._note(caller, prompt, answer)

    def _note(self, caller: str, prompt: str, answer: Answer) -> None:
        self.answered.codes[caller][answer.code] += 1
        self.answered.degraded += "x-ratelimit-degraded" in answer.headers
        if answer.status == 200:
            self.answered.spans[caller] += [answer.began_s, answer.ended_s]
            most = max(answer.images, self.answered.wanted.get(prompt, 0))
            self.answered.wanted[prompt] = most
            self.answered.links += [one["url"] for one in answer.json["data"] if one.get("url")]
        elif answer.status != 429:
            self.answered.unexpected.append(f"{caller}: {answer.status} {answer.content[:200]!r}")


async def open_callers(ground: Ground, gateways: Sequence[Gateway]) -> dict[str, Ground]:
    """Create a team, its policy and its key for each caller, and wait until all gateways apply them."""
    gateway = gateways[0]
    for name, limits in LIMITS.items():
        policy = {"requests_per_min": 0, "images_per_min": 0, **limits}
        for path, body in ((f"policies/{name}", policy), (f"teams/{name}", {"policy": name})):
            answer = await ground.ask("PUT", f"{gateway.url}/admin/{path}", json=body, headers=OPERATOR)
            assert answer.status == 200, answer.content
    callers = {name: await ground.caller(gateway, name) for name in LIMITS}
    async with asyncio.timeout(_APPLIED_S):
        for one, (name, caller) in itertools.product(gateways, callers.items()):
            while not LIMITS[name].keys() <= await _limits(caller, one):  # noqa: ASYNC110 - another process
                await asyncio.sleep(_PAUSE_S)
    return callers


async def _limits(caller: Ground, gateway: Gateway) -> set[str]:
    """Return the names of the limits that the gateway applies to the caller."""
    answer = await caller.ask("GET", f"{gateway.url}/v1/usage")
    return {one["name"] for one in answer.json["limits"]} if answer.status == 200 else set()


async def keep_ordering(load: Load) -> None:
    """Order with all workers until the load is over."""
    async with asyncio.TaskGroup() as group:
        for caller, count in WORKERS.items():
            for _ in range(count):
                group.create_task(_work(load, caller))


async def _work(load: Load, caller: str) -> None:
    kinds: tuple[Callable[[Load], Awaitable[object]], ...] = (_many, _many, _equal, _repeat, _again, _edit)
    while not load.is_over:
        if caller == "crowd":
            await load.dice.choice(kinds)(load)
        else:
            answer = await load.order(caller, n=load.dice.randint(1, 2))
            if answer.status == 429:
                # The day, the month or the moment is used up: new tries show that it stays so.
                await asyncio.sleep(_PAUSE_S)
        await asyncio.sleep(load.dice.uniform(0, _PAUSE_S))


async def _many(load: Load) -> None:
    await load.order("crowd", n=load.dice.randint(1, 4))


async def _edit(load: Load) -> None:
    await load.edit("crowd")


async def _again(load: Load) -> None:
    """Order what was ordered before: it costs nothing."""
    known = list(load.answered.wanted)
    prompts = [prompt for prompt in known if prompt in load.answered.equal]
    if prompts:
        prompt = load.dice.choice(prompts)
        await load.order("crowd", prompt, n=load.answered.wanted[prompt])


async def _equal(load: Load) -> None:
    """Send equal orders to all gateways at once."""
    prompt = f"crowd {new_prompt()}"
    numbers = [load.dice.randint(1, 3) for _ in range(4)]
    gateways = list(load.gateways)
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(load.order("crowd", prompt, at=gateways[turn % len(gateways)], n=number))
            for turn, number in enumerate(numbers)
        ]
    load.answered.equal[prompt] = [task.result() for task in tasks]


async def _repeat(load: Load) -> None:
    """Order with an `Idempotency-Key` and repeat it, likely at another gateway, before it has ended or later."""
    prompt = f"crowd {new_prompt()}"
    key = {"headers": {"idempotency-key": prompt}, "n": load.dice.randint(1, 3)}
    async with asyncio.TaskGroup() as group:
        first = group.create_task(load.order("crowd", prompt, at=load.gateways[0], **key))
        if load.dice.random() < 0.5:
            await asyncio.sleep(_AWAY_S)
        else:
            await first
        second = await load.order("crowd", prompt, at=load.gateways[-1], **key)
    load.answered.repeated.append((first.result(), second))
