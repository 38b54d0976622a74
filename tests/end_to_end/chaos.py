"""Gateways, a Redis and a provider that a test may kill at any moment, and the books to judge them by.

Owns the processes and how they come back: each gateway in its own data directory (its
outbox survives it), Redis with its append-only file.
"""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import httpx
from redis.asyncio import Redis

from service.adapters.redis.client import open_client
from tests.adapters.redis.orders import read_ledger
from tests.processes import Gateway, Valkey, free_port, run_gateway, run_valkey
from tests.sandbox.process import SandboxHandle, run_sandbox

TEAM = "open"
SECRETS = "a-secret-all-replicas-share"


@dataclass(slots=True)
class Chaos:
    """A sandbox, a Redis and replicas of the gateway, each of which can be killed and started again."""

    sandbox: SandboxHandle
    client: httpx.AsyncClient
    root: Path
    settings: dict[str, object]
    redis_port: int
    valkey: Valkey | None = None
    stacks: dict[str, ExitStack] = field(default_factory=dict)
    gateways: dict[str, Gateway] = field(default_factory=dict)

    async def start_gateway(self, name: str) -> None:
        """Start the gateway *name* where it was, or anew."""
        stack = self.stacks[name] = ExitStack()
        opening = run_gateway(self.root / name, **self.settings)
        self.gateways[name] = await asyncio.to_thread(stack.enter_context, opening)

    async def kill_gateway(self, name: str) -> None:
        """End it as a power cut would."""
        self.gateways.pop(name).process.kill()
        await asyncio.to_thread(self.stacks.pop(name).close)

    async def start_redis(self) -> None:
        """Start it with what its append-only file has kept."""
        stack = self.stacks["redis"] = ExitStack()
        directory = self.root / "redis"
        directory.mkdir(exist_ok=True)
        opening = run_valkey(port=self.redis_port, directory=directory, config={"appendonly": "yes"})
        self.valkey = await asyncio.to_thread(stack.enter_context, opening)

    async def kill_redis(self) -> None:
        if self.valkey is not None:
            self.valkey.process.kill()
        await asyncio.to_thread(self.stacks.pop("redis").close)

    async def order(self, gateway: str, **fields: Any) -> httpx.Response | None:
        """Order by JSON; None when the gateway went away meanwhile."""
        headers = fields.pop("headers", {})
        running = self.gateways.get(gateway)
        if running is None:
            return None
        with contextlib.suppress(httpx.TransportError):
            url = f"{running.url}/v1/images/generations"
            return await self.client.post(url, json={"model": "dall-e-3", **fields}, headers=headers)
        return None

    async def count_paid(self) -> int:
        """Return how many images the provider would charge for."""
        return sum(len(entry["images"]) for entry in await self.sandbox.journal())

    async def ledger(self) -> Counter[str]:
        """Return what the gateway has booked, by outcome and unit."""
        async with self.redis() as redis:
            return await read_ledger(redis, TEAM)

    async def until_replayed(self) -> None:
        """Wait until no settlement is in an outbox any more."""
        async with asyncio.timeout(20):
            while list(self.root.glob("*/outbox/*.json")):  # noqa: ASYNC110 - other processes write them
                await asyncio.sleep(0.1)

    @asynccontextmanager
    async def redis(self) -> AsyncIterator[Redis]:
        client = open_client(f"redis://127.0.0.1:{self.redis_port}", timeout_s=5, connections=2)
        try:
            yield client
        finally:
            await client.aclose()


@asynccontextmanager
async def open_chaos(root: Path, *gateways: str, **settings: object) -> AsyncIterator[Chaos]:
    """Start everything; *settings* are those of every gateway."""
    port = free_port()
    async with AsyncExitStack() as stack:
        sandbox = await stack.enter_async_context(run_sandbox())
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=200)
        client = httpx.AsyncClient(trust_env=False, timeout=60, limits=limits)
        await stack.enter_async_context(client)
        given = {
            "redis_url": f"redis://127.0.0.1:{port}",
            "redis_timeout_s": 1,
            "replicas": len(gateways),
            "secrets": SECRETS,
            "store_url": (root / "files").as_uri(),
            "openai_base_url": f"{sandbox.url}/v1",
            "openai_api_key": "x",
            "default_policy__requests_per_min": 0,
            "default_policy__images_per_min": 0,
            **settings,
        }
        chaos = Chaos(sandbox, client, root, given, port)
        stack.callback(_close_all, chaos.stacks)
        await chaos.start_redis()
        for name in gateways:
            await chaos.start_gateway(name)
        yield chaos


def _close_all(stacks: dict[str, ExitStack]) -> None:
    for stack in stacks.values():
        stack.close()


async def order_at_once(urls: Sequence[str], count: int, body: dict[str, object]) -> list[dict[str, Any]]:
    """Order *count* times at once, taking turns among *urls*; returns each answer with its headers and instant.

    By another client than elsewhere: a thousand connections are too many for that one.
    """
    answers: list[dict[str, Any]] = []

    async def order(session: aiohttp.ClientSession, number: int) -> None:
        async with session.post(f"{urls[number % len(urls)]}/v1/images/generations", json=body) as answer:
            content = await answer.json()
        answers.append(
            {"status": answer.status, "headers": answer.headers, "json": content, "at_s": time.monotonic()}
        )

    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        asyncio.TaskGroup() as group,
    ):
        for number in range(count):
            group.create_task(order(session, number))
    return answers
