"""The provider and the gateways that all clients are tried against."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.processes import Gateway, run_gateway
from tests.sandbox.process import SandboxHandle, run_sandbox


class Provider:
    """The sandbox, for tests without a loop of their own."""

    def __init__(self, sandbox: SandboxHandle, runner: asyncio.Runner) -> None:
        self._sandbox = sandbox
        self._runner = runner

    @property
    def url(self) -> str:
        """Where it listens, without `/v1`."""
        return self._sandbox.url

    def behave(self, **fields: object) -> None:
        """Replace its behaviour; pictures stay cheap."""
        self._runner.run(self._sandbox.behave(**{"paint": "flat"} | fields))

    def orders(self, prompt: str) -> list[dict[str, Any]]:
        """Return what it was asked with exactly or beginning with *prompt*."""
        entries = self._runner.run(self._sandbox.journal())
        return [entry for entry in entries if (entry["prompt"] or "").startswith(prompt)]


@contextlib.contextmanager
def run_provider() -> Iterator[Provider]:
    """Start the sandbox and end it."""
    with asyncio.Runner() as runner:
        starting = run_sandbox()
        provider = Provider(runner.run(_enter(starting)), runner)
        try:
            provider.behave()
            yield provider
        finally:
            runner.run(_leave(starting))


@contextlib.contextmanager
def run_gateway_to(
    provider: Provider, data_dir: Path, *, images_per_min: int = 0, requests_per_min: int = 0
) -> Iterator[Gateway]:
    """Start a gateway as an operator would, in front of *provider*."""
    with run_gateway(
        data_dir,
        openai_base_url=f"{provider.url}/v1",
        openai_api_key="sk-provider",
        fanout_window_ms=1000,
        default_policy__requests_per_min=requests_per_min,
        default_policy__images_per_min=images_per_min,
    ) as gateway:
        yield gateway


async def _enter(starting: contextlib.AbstractAsyncContextManager[SandboxHandle]) -> SandboxHandle:
    return await starting.__aenter__()


async def _leave(starting: contextlib.AbstractAsyncContextManager[SandboxHandle]) -> None:
    await starting.__aexit__(None, None, None)
