"""What dead processes held is released once Redis answers."""

import asyncio
from collections import deque

import pytest

from service.domain.errors import StateUnavailable
from service.gateway.admission.predecessors import release_predecessors
from tests.fakes.clock import FakeClock


class FakePredecessors:
    """Implements `ports.processes.Predecessors`."""

    def __init__(self, *names: str) -> None:
        self.left = list(names)

    def names(self) -> list[str]:
        return list(self.left)

    def forget(self, name: str) -> None:
        self.left.remove(name)


class FakeAbandonedOrders:
    """Implements `ports.admission.AbandonedOrders`: fails for the *reasons*, then releases."""

    def __init__(self, *reasons: str) -> None:
        self.reasons = deque(reasons)
        self.released: list[str] = []

    async def release(self, process: str) -> None:
        if self.reasons:
            raise StateUnavailable(self.reasons.popleft())
        self.released.append(process)


async def test_every_predecessor_is_released_and_forgotten() -> None:
    predecessors, orders = FakePredecessors("a", "b"), FakeAbandonedOrders()

    await release_predecessors(predecessors, orders)

    assert (orders.released, predecessors.left) == (["a", "b"], [])


async def test_without_redis_it_is_tried_again(clock: FakeClock) -> None:
    predecessors, orders = FakePredecessors("a"), FakeAbandonedOrders("timeout", "connection")
    async with asyncio.timeout(10):
        await release_predecessors(predecessors, orders)

    assert (orders.released, predecessors.left) == (["a"], [])


@pytest.mark.parametrize("reason", ["wrongtype"])
async def test_a_broken_key_of_a_team_is_left_to_the_leases(reason: str) -> None:
    predecessors, orders = FakePredecessors("a", "b"), FakeAbandonedOrders(reason)

    await release_predecessors(predecessors, orders)

    assert (orders.released, predecessors.left) == (["b"], [])
