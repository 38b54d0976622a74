"""Gateways, a Redis and a provider that a test may kill at any moment, and the books to judge them by.

Owns the processes and how they come back: each gateway in its own data directory (its
journal survives it), Redis with its append-only file. Each life of a gateway uses an API
key of its own, by which the provider's journal tells who asked.
"""

import asyncio
import signal
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

from service.adapters.redis import keys
from service.adapters.redis.client.client import open_client
from tests.adapters.redis.orders import read_hash, read_holds, read_ledger
from tests.end_to_end.books import Books, Kill, Waiting, name_maker, read_books
from tests.journals import count_unsettled
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
    lives: Counter[str] = field(default_factory=Counter)
    waiting: list[Waiting] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    outages: list[tuple[float, float]] = field(default_factory=list)
    """From when to when Redis was away."""
    killing: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def start_gateway(self, name: str) -> None:
        """Start the gateway *name* where it was, or anew."""
        self.lives[name] += 1
        stack = self.stacks[name] = ExitStack()
        opening = run_gateway(self.root / name, openai_api_key=self.api_key(name), **self.settings)
        self.gateways[name] = await asyncio.to_thread(stack.enter_context, opening)

    def api_key(self, name: str) -> str:
        """Return what the present life of the gateway *name* shows to the provider."""
        return f"sk-{name}-{self.lives[name]}"

    async def kill_gateway(self, name: str) -> None:
        """End it as a power cut would."""
        gateway = self.gateways.pop(name)
        waiting = tuple(one for one in self.waiting if one.gateway == name)
        gateway.kill()
        maker = name_maker(self.api_key(name))
        self.kills.append(Kill(maker=maker, at_s=time.monotonic(), waiting=waiting))
        await asyncio.to_thread(self.stacks.pop(name).close)

    async def kill_gateway_in_a_call(self, name: str) -> None:
        """End it while it waits for an image that the provider then makes for nobody."""
        maker = name_maker(self.api_key(name))
        while True:
            # What a gateway that hangs waits for, it cannot take before its end.
            self.stop_gateway(name)
            journal = await self.sandbox.journal(settle_s=0)
            if any(entry["key_sha256"] == maker and entry["finished_at"] is None for entry in journal):
                await self.kill_gateway(name)
                return
            self.continue_gateway(name)
            await asyncio.sleep(0.05)

    def stop_gateway(self, name: str) -> None:
        """Let it hang, as a machine that is being moved does."""
        self.gateways[name].process.send_signal(signal.SIGSTOP)

    def continue_gateway(self, name: str) -> None:
        self.gateways[name].process.send_signal(signal.SIGCONT)

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

    @asynccontextmanager
    async def without_redis(self) -> AsyncIterator[None]:
        """Kill it, and start it again with what it has kept."""
        since_s = time.monotonic()
        await self.kill_redis()
        try:
            yield
        finally:
            await self.start_redis()
            self.outages.append((since_s, time.monotonic()))

    async def order(self, gateway: str, **fields: Any) -> httpx.Response | None:
        """Order by JSON; None when the gateway went away meanwhile."""
        headers = fields.pop("headers", {})
        running = self.gateways.get(gateway)
        if running is None:
            return None
        waiting = Waiting(
            gateway=gateway,
            fields=fields,
            is_fresh="no-cache" in headers.get("cache-control", ""),
        )
        self.waiting.append(waiting)
        try:
            url = f"{running.url}/v1/images/generations"
            return await self.client.post(url, json={"model": "dall-e-3", **fields}, headers=headers)
        except httpx.TransportError:
            return None
        finally:
            self.waiting.remove(waiting)

    async def count_paid(self) -> int:
        """Return how many images the provider would charge for."""
        return sum(len(entry["images"]) for entry in await self.sandbox.journal())

    async def ledger(self) -> Counter[str]:
        """Return what the gateway has booked, by outcome and unit."""
        async with self.redis() as redis:
            return await read_ledger(redis, TEAM)

    async def books(self) -> Books:
        """Return what became of every image, once the provider and the journals are quiet."""
        await self.until_replayed()
        journal = await self.sandbox.journal()
        async with self.redis() as redis:
            names = await read_hash(redis, keys.of_team(TEAM).images)
        return read_books(journal, self.kills, (name.partition(".")[0] for name in names))

    async def count_held(self) -> int:
        """Return how many images are held and not yet booked as unknown."""
        async with self.redis() as redis:
            holds = await read_holds(redis, TEAM)
        return sum(hold["images"] for hold in holds.values() if "swept" not in hold)

    async def until_replayed(self) -> None:
        """Wait until no settlement is in a journal any more."""
        async with asyncio.timeout(20):
            while any(map(count_unsettled, self.root.iterdir())):  # noqa: ASYNC110 - other processes write them
                await asyncio.sleep(0.1)

    async def until_booked(self) -> None:
        """Wait until nothing is written ahead any more: a lease after the end of those who died."""
        async with asyncio.timeout(60):
            while any(count_unsettled(each, ahead=True) for each in self.root.iterdir()):  # noqa: ASYNC110 - other processes write them
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
