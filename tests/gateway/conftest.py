"""Every test of this folder runs on held time."""

import asyncio
from collections.abc import Callable, Mapping

import pytest

from tests.fakes.clock import FakeClock, HeldLoop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"held": HeldLoop}


@pytest.fixture
async def clock() -> FakeClock:
    """The clock of the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, HeldLoop)
    return loop.clock
