"""A Redis that is killed, hung or restarted empty: bounded, honest, quick, and nothing paid is lost."""

import asyncio
import itertools
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from service.adapters.redis.client.client import open_client
from service.gateway.admission.shared import LEASE_S
from tests.adapters.redis.orders import (
    expire_holds,
    make_ask,
    names_of,
    open_book,
    read_holds,
    read_ledger,
)
from tests.journals import count_unsettled
from tests.processes import Gateway, Valkey, free_port, run_gateway, run_valkey
from tests.sandbox.process import SandboxHandle

RECOVERED_S = 30.0
IMAGES_PER_MIN = 60
REPLICAS = 3
SHARE = IMAGES_PER_MIN // REPLICAS
TEAM = "open"

_prompts = (f"boat {number}" for number in itertools.count())
_users = (f"user {number}" for number in itertools.count())


@dataclass(slots=True)
class Site:
    """A gateway whose Redis a test may ruin, and everything needed to judge it."""

    gateway: Gateway
    valkey: Valkey
    stack: ExitStack
    sandbox: SandboxHandle
    client: httpx.AsyncClient
    data_dir: Path

    async def order(self, prompt: str | None = None, **fields: object) -> httpx.Response:
        """Order an image of its own unless *prompt* says which."""
        body = {"model": "dall-e-3", "prompt": prompt or next(_prompts), **fields}
        return await self.client.post(f"{self.gateway.url}/v1/images/generations", json=body)

    async def order_many(self, count: int) -> list[httpx.Response]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.order(user=next(_users))) for _ in range(count)]
        return [task.result() for task in tasks]

    async def until_recovered(self) -> None:
        """Order until the limits are shared ones again; checks how long that takes."""
        async with asyncio.timeout(RECOVERED_S):
            while "x-ratelimit-degraded" in (await self.order(user="probe")).headers:  # noqa: ASYNC110
                await asyncio.sleep(0.1)

    async def until_replayed(self) -> None:
        async with asyncio.timeout(30):
            while count_unsettled(self.data_dir):  # noqa: ASYNC110 - another process writes them
                await asyncio.sleep(0.05)

    async def count_paid(self) -> int:
        """Return how many images the provider would charge for."""
        return sum(len(entry["images"]) for entry in await self.sandbox.journal())

    def kill_redis(self) -> None:
        self.valkey.process.kill()
        self.valkey.process.wait()

    def restart_redis(self) -> None:
        """Start an empty one where the old one was."""
        port = int(self.valkey.url.rpartition(":")[2])
        self.valkey = self.stack.enter_context(run_valkey(port=port))

    @asynccontextmanager
    async def redis(self) -> AsyncIterator[Redis]:
        client = open_client(self.valkey.url, timeout_s=5, connections=2)
        try:
            yield client
        finally:
            await client.aclose()


@dataclass(frozen=True, slots=True)
class Standing:
    """What all tests share: a gateway, and the port on which it expects its Redis."""

    gateway: Gateway
    redis_port: int
    data_dir: Path


@pytest.fixture(scope="module")
def standing(sandbox_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """A gateway that starts before its Redis does."""
    data_dir = tmp_path_factory.mktemp("gateway")
    port = free_port()
    settings = {
        "redis_url": f"redis://127.0.0.1:{port}",
        "redis_timeout_s": 1,
        "replicas": REPLICAS,
        "openai_base_url": f"{sandbox_url}/v1",
        "openai_api_key": "x",
        "default_policy__images_per_min": IMAGES_PER_MIN,
        "default_policy__requests_per_min": 0,
    }
    with run_gateway(data_dir, **settings) as gateway:
        yield Standing(gateway, port, data_dir)


@pytest.fixture
async def site(standing: Standing, sandbox_url: str) -> AsyncIterator[Site]:
    with ExitStack() as stack:
        valkey = stack.enter_context(run_valkey(port=standing.redis_port))
        async with (
            SandboxHandle(sandbox_url, None) as sandbox,
            # Whoever waits for what is lost with Redis waits as long as a lease, which no order may.
            httpx.AsyncClient(trust_env=False, timeout=LEASE_S / 2) as client,
        ):
            site = Site(standing.gateway, valkey, stack, sandbox, client, standing.data_dir)
            await sandbox.behave(paint="flat")
            await site.until_recovered()
            await site.until_replayed()
            await sandbox.reset()
            await sandbox.behave(paint="flat")
            async with site.redis() as redis:
                await redis.flushall()
            yield site


def statuses_of(answers: list[httpx.Response]) -> Counter[int]:
    return Counter(answer.status_code for answer in answers)


def are_degraded(answers: list[httpx.Response]) -> set[bool]:
    return {"x-ratelimit-degraded" in answer.headers for answer in answers}


async def test_a_killed_redis_that_comes_back_empty(site: Site) -> None:
    before = await site.order_many(5)
    paid_before = await site.count_paid()
    site.kill_redis()

    first = await site.order_many(8)
    later = await site.order_many(8)
    site.restart_redis()
    await site.until_recovered()
    after = await site.order_many(5)
    await site.until_replayed()

    assert statuses_of(before + first + later + after) == {200: 26}
    assert are_degraded(before + after) == {False}
    assert are_degraded(first + later) == {True}
    assert first[0].headers["x-ratelimit-limit-images"] == f"{SHARE}"
    async with site.redis() as redis:
        # What had been settled before died with the old server; whatever was paid since is here.
        assert (await read_ledger(redis, TEAM))["made|images"] == await site.count_paid() - paid_before
        assert await read_holds(redis, TEAM) == {}


async def test_a_redis_that_hangs_for_a_while(site: Site) -> None:
    before = await site.order_many(8)
    site.valkey.signal(signal.SIGSTOP)

    first = await site.order_many(8)
    later = await site.order_many(8)
    site.valkey.signal(signal.SIGCONT)
    await site.until_recovered()
    await site.until_replayed()

    assert statuses_of(before + first + later) == {200: 24}
    assert are_degraded(first + later) == {True}
    async with site.redis() as redis:
        assert (await read_ledger(redis, TEAM))["made|images"] == await site.count_paid()
        assert await read_holds(redis, TEAM) == {}


@pytest.mark.parametrize(
    ("setting", "value", "restored", "reason", "advice"),
    [
        ("min-replicas-to-write", "1", "0", "no_replicas", "min-replicas-to-write"),
        ("maxmemory", "1", "0", "oom", "maxmemory"),
    ],
)
async def test_a_redis_that_takes_no_changes_is_an_outage(
    site: Site, setting: str, value: str, restored: str, reason: str, advice: str
) -> None:
    async with site.redis() as redis:
        await redis.config_set("maxmemory-policy", "noeviction")
        await redis.config_set(setting, value)
        first = await site.order_many(4)
        async with asyncio.timeout(RECOVERED_S):
            while (state := await read_state(site))["state"] != "degraded":  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        later = await site.order_many(4)

        assert statuses_of(first + later) == {200: 8}
        assert are_degraded(first + later) == {True}
        assert advice in state["details"]["state"]["advice"]
        assert "127.0.0.1" not in state["details"]["state"]["advice"]
        metrics = (await site.client.get(f"{site.gateway.url}/metrics")).text
        assert f'imagegw_state_failures_total{{operation="begin",reason="{reason}"}}' in metrics

        await redis.config_set(setting, restored)
        await site.until_recovered()
        assert (await read_state(site))["state"] == "ok"
        async with asyncio.timeout(RECOVERED_S):
            while (await read_ledger(redis, TEAM)).get("made|images", 0) < await site.count_paid():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert (await read_ledger(redis, TEAM))["made|images"] == await site.count_paid()


async def read_state(site: Site) -> dict[str, Any]:
    body: dict[str, Any] = (await site.client.get(f"{site.gateway.url}/readyz?verbose")).json()
    return body


async def test_orders_under_way_when_redis_dies(site: Site) -> None:
    """Those begin with Redis and end without it: what they made is booked all the same."""
    # Long enough for all of them to begin before the first has ended.
    await site.sandbox.behave(paint="flat", latency_s=2)
    async with site.redis() as redis:
        async with asyncio.TaskGroup() as group:
            running = group.create_task(site.order_many(8))
            async with asyncio.timeout(30):
                while len(await site.sandbox.journal(settle_s=0)) < 8:  # noqa: ASYNC110 - another process
                    await asyncio.sleep(0.01)
            site.kill_redis()
        answers = running.result()
        assert count_unsettled(site.data_dir) == 8
    site.restart_redis()
    await site.until_replayed()

    assert statuses_of(answers) == {200: 8}
    async with site.redis() as redis:
        assert (await read_ledger(redis, TEAM))["made|images"] == await site.count_paid() == 8
        # They are in the pools again, too.
        assert len([name for name in await names_of(redis) if ":pool:" in name]) == 8


async def test_a_users_share_holds_while_redis_is_away(site: Site) -> None:
    site.kill_redis()
    started_s = time.monotonic()
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(site.order(user="greedy")) for _ in range(2 * SHARE)]
    answers = [task.result() for task in tasks]
    elapsed_s = time.monotonic() - started_s

    statuses = statuses_of(answers)

    assert set(statuses) == {200, 429}
    assert SHARE <= statuses[200] <= SHARE + elapsed_s * SHARE / 60
    assert statuses[200] == await site.count_paid()
    assert are_degraded(answers) == {True}
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert 1 <= int(refused.headers["retry-after"]) <= 60


async def test_identical_orders_still_share_within_a_process(site: Site) -> None:
    site.kill_redis()
    await site.sandbox.behave(paint="flat", latency_s=0.3)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(site.order("the same boat", n=2)) for _ in range(10)]
    digests = {tuple(one["url"].partition("?")[0] for one in task.result().json()["data"]) for task in tasks}

    assert len({digest for pair in digests for digest in pair}) == 2
    assert await site.count_paid() == 2


async def test_liveness_readiness_and_files_do_not_need_redis(site: Site) -> None:
    url = (await site.order()).json()["data"][0]["url"]
    site.kill_redis()
    await site.order()

    answers = [
        await site.client.get(f"{site.gateway.url}{path}") for path in ("/livez", "/readyz", "/metrics")
    ]
    answers.append(await site.client.get(url))

    assert statuses_of(answers) == {200: 4}


async def test_late_grants_of_a_hung_redis_are_not_booked_as_lost(site: Site) -> None:
    """Questions that were given up are still in its socket: it answers them once it runs again.

    The gateway has decided by itself meanwhile, and refused; nothing was sent, so nothing may stay held
    and later be booked as perhaps paid.
    """
    await site.order_many(8)  # opens connections, each of which takes one question
    site.valkey.signal(signal.SIGSTOP)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(site.order(n=SHARE // 2, user="greedy too")) for _ in range(3)]
    site.valkey.signal(signal.SIGCONT)
    await site.until_recovered()
    await site.until_replayed()

    assert statuses_of([task.result() for task in tasks]) == {200: 2, 429: 1}
    async with site.redis() as redis:
        book = open_book(redis)
        await book.begin(make_ask(team=TEAM, only_ready=True, pool=None))
        await expire_holds(redis, TEAM)
        await book.renew([])
        ledger = await read_ledger(redis, TEAM)
        assert ledger["made|images"] + ledger["unknown|images"] == await site.count_paid()


async def test_an_order_made_while_redis_hung_blocks_no_later_one(site: Site) -> None:
    """Redis gave the order a claim that it never heard of; that claim must go with its settlement."""
    await site.order_many(8)
    site.valkey.signal(signal.SIGSTOP)
    first = await site.order("a boat")
    site.valkey.signal(signal.SIGCONT)
    await site.until_recovered()
    await site.until_replayed()

    second = await site.order("a boat", n=2)

    assert (first.status_code, second.status_code) == (200, 200)
