"""A sandbox as the provider of whole gateways: one process a module, as good as new for each test."""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from tests.sandbox.process import SandboxHandle, run_sandbox


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox_url() -> AsyncGenerator[str]:
    async with run_sandbox() as handle:
        yield handle.url


@pytest.fixture
async def sandbox(sandbox_url: str) -> AsyncGenerator[SandboxHandle]:
    async with SandboxHandle(sandbox_url, None) as handle:
        await handle.reset()
        await handle.behave(paint="flat")
        yield handle
