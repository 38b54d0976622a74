"""One sandbox process for all tests of this folder, as good as new for each of them."""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio

from tests.sandbox.process import SandboxHandle, run_sandbox


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def sandbox_urls() -> AsyncGenerator[tuple[str, str]]:
    async with run_sandbox(fault_proxy=True, today="2026-11-22") as handle:
        yield handle.url, handle.fault_url


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def dalle_url() -> AsyncGenerator[str]:
    async with run_sandbox(legacy_dalle=True, today="2026-12-01") as handle:
        yield handle.url


@pytest.fixture
async def sandbox(sandbox_urls: tuple[str, str]) -> AsyncGenerator[SandboxHandle]:
    async with SandboxHandle(*sandbox_urls) as handle:
        await handle.reset()
        yield handle


@pytest.fixture
async def dalle_sandbox(dalle_url: str) -> AsyncGenerator[SandboxHandle]:
    async with SandboxHandle(dalle_url, None) as handle:
        await handle.reset()
        yield handle
