"""Share fixtures between the tests of several adapters."""

from collections.abc import AsyncIterator

import pytest

from service.adapters.imaging.images import WorkerImages
from tests.adapters.openai.conftest import Script, run_script
from tests.fakes.clock import FakeClock
from tests.fakes.telemetry import FakeTelemetry


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def imaging() -> AsyncIterator[WorkerImages]:
    opened = WorkerImages(telemetry=FakeTelemetry())
    yield opened
    await opened.aclose()


@pytest.fixture
async def script() -> AsyncIterator[Script]:
    """A provider that answers byte for byte."""
    async with run_script() as running:
        yield running
