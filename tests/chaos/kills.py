"""Kill a gateway under the orders of one user, and find each of their images in the books."""

import asyncio
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from tests.chaos.finding import Finding
from tests.chaos.ground import Ground, new_prompt, open_session
from tests.chaos.provider import Call, Provider
from tests.processes import Gateway

_ORDERS: tuple[dict[str, Any], ...] = (
    *[{"n": 1}] * 4,
    *[{"n": 3}] * 2,
    {"n": 2, "model": "gpt-image-2"},
)
_MOMENT_S = 0.5
"""So long after the last call is sent, some images are delivered, and some are not even made."""


@dataclass(frozen=True, slots=True)
class Kill:
    """The orders of *user* at a killed gateway: the provider's *calls*, and the number of images that came."""

    user: str
    calls: tuple[Call, ...]
    delivered: int

    async def judge(self, ground: Ground, finding: Finding, url: str) -> Counter[str]:
        """Expect images that were cut off as unknown and those that came as made; returns what is booked to *user*."""
        booked = await ground.booked(url, **_as(self.user))
        asked = sum(call.asked for call in self.calls)
        cut = sum(call.asked for call in self.calls if not call.paid)
        finding.equal(f"{self.user}: booked of {asked} sent", booked["made"] + booked["unknown"], asked)
        finding.at_least("cut off", cut, 1)
        finding.at_least("unknown", booked["unknown"], cut)
        finding.at_least(f"made, {self.delivered} of them delivered", booked["made"], self.delivered)
        return booked


async def kill_under_orders(ground: Ground, provider: Provider, gateway: Gateway, user: str) -> Kill:
    """Kill a gateway that has no other orders, once all calls for those of *user* are sent."""
    before, calls = len(provider.calls), list[Call]()
    async with open_session(_as(user)) as session, asyncio.TaskGroup() as group:
        caller = replace(ground, session=session)
        tasks = {
            prompt: group.create_task(caller.order(gateway.url, prompt, **fields))
            for prompt, fields in ((new_prompt(), fields) for fields in _ORDERS)
        }
        images = sum(fields["n"] for fields in _ORDERS)
        async with asyncio.timeout(120):
            while sum(call.asked for call in calls) < images:
                await asyncio.sleep(0.005)
                calls = [call for call in provider.calls[before:] if call.prompt in tasks]
        await asyncio.sleep(_MOMENT_S)
        await asyncio.to_thread(gateway.kill)
    return Kill(user, tuple(calls), sum(task.result().images for task in tasks.values()))


def _as(user: str) -> dict[str, str]:
    return {"authorization": f"Bearer {user}"}
