"""Clients that order several images of `dall-e-3` as equal orders at once get different ones, from any replica."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from tests.end_to_end.replicas import digests_of, order, replica_settings
from tests.processes import Gateway, Valkey, run_gateway, run_valkey
from tests.sandbox.process import SandboxHandle, run_sandbox

CONFIG = """
[policies.sharing]
equal_orders = "share"

[teams.open]
user_policy = "sharing"
"""
SETTINGS = {"fanout_window_ms": 1000}


@dataclass(slots=True)
class Client:
    """A client that orders from each of *gateways* in turn."""

    http: httpx.AsyncClient
    gateways: list[Gateway]

    async def order_at_once(self, prompt: str, times: int, **headers: str) -> list[httpx.Response]:
        self.http.headers.update(headers)
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(order(self.http, self.gateways[number % len(self.gateways)], prompt))
                for number in range(times)
            ]
        return [task.result() for task in tasks]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox_url() -> AsyncGenerator[str]:
    async with run_sandbox(latency_s=0.5) as handle:
        yield handle.url


@pytest.fixture(scope="module")
def replicas(
    valkey: Valkey, sandbox_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Gateway]]:
    root = tmp_path_factory.mktemp("replicas")
    settings = replica_settings(valkey.url, sandbox_url, root, **SETTINGS)
    with run_gateway(root / "a", **settings) as a, run_gateway(root / "b", **settings) as b:
        yield [a, b]


@pytest.fixture
async def http() -> AsyncGenerator[httpx.AsyncClient]:
    headers = {"authorization": "Bearer sk-a-callers-own-key"}
    async with httpx.AsyncClient(trust_env=False, timeout=40, headers=headers) as client:
        yield client


@pytest.fixture
def client(replicas: list[Gateway], http: httpx.AsyncClient, redis: Redis) -> Client:
    """A client of both replicas, whose Redis is empty."""
    return Client(http, replicas)


async def test_equal_orders_at_once_get_different_images(client: Client, sandbox: SandboxHandle) -> None:
    answers = await client.order_at_once("boats side by side", 4)

    assert len({digests_of(answer)[0] for answer in answers}) == await sandbox.count_painted() == 4
    assert sorted(answer.headers["x-cache"] for answer in answers) == [
        "miss",
        "miss; equal=2",
        "miss; equal=3",
        "miss; equal=4",
    ]


async def test_a_retry_shares_what_is_being_made(client: Client, sandbox: SandboxHandle) -> None:
    answers = await client.order_at_once("a boat again", 3, **{"x-stainless-retry-count": "1"})

    assert len({digests_of(answer)[0] for answer in answers}) == await sandbox.count_painted() == 1
    assert sorted(answer.headers["x-cache"] for answer in answers) == ["coalesced", "coalesced", "miss"]


async def test_after_the_window_an_order_finds_what_was_made(client: Client, sandbox: SandboxHandle) -> None:
    first = await client.order_at_once("a boat by day", 2)
    await asyncio.sleep(1.1)

    later = await client.order_at_once("a boat by day", 3)

    assert await sandbox.count_painted() == 2
    assert [digests_of(answer)[0] for answer in later].count(digests_of(later[0])[0]) in {1, 2}
    assert {digests_of(answer)[0] for answer in later} == {digests_of(answer)[0] for answer in first}
    assert sorted(answer.headers["x-cache"] for answer in later) == ["hit", "hit; equal=2", "hit; equal=3"]


@pytest.mark.usefixtures("redis")
async def test_a_policy_may_let_equal_orders_share(
    valkey: Valkey, sandbox: SandboxHandle, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    (tmp_path / "gateway.toml").write_text(CONFIG)
    settings = replica_settings(
        valkey.url, sandbox.url, tmp_path, config=tmp_path / "gateway.toml", **SETTINGS
    )
    with run_gateway(tmp_path / "data", **settings) as gateway:
        answers = await Client(http, [gateway]).order_at_once("one boat for all", 3)

    assert len({digests_of(answer)[0] for answer in answers}) == await sandbox.count_painted() == 1


@pytest.mark.slow
async def test_without_redis_equal_orders_at_once_differ_all_the_same(
    sandbox: SandboxHandle, http: httpx.AsyncClient, tmp_path: Path
) -> None:
    with run_valkey() as doomed:
        settings = replica_settings(doomed.url, sandbox.url, tmp_path, **SETTINGS)
        with run_gateway(tmp_path / "data", **settings) as gateway:
            doomed.process.kill()
            client = Client(http, [gateway])
            await client.order_at_once("a first boat", 4)  # opens the breaker

            answers = await client.order_at_once("boats without a harbour", 4)

    assert {answer.headers["x-ratelimit-degraded"] for answer in answers} == {"true"}
    assert len({digests_of(answer)[0] for answer in answers}) == 4
