"""Limits are exact under any number of processes that share one Redis."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import count
from multiprocessing import get_context
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from service.adapters.redis import keys
from service.adapters.redis.client.client import open_client
from service.domain.errors import RateLimited
from service.domain.gcra import emission_us
from service.domain.limits import Limit, Resource
from tests.adapters.redis.orders import make_ask, open_book
from tests.end_to_end.replicas import replica_settings
from tests.processes import Gateway, Valkey, run_gateway
from tests.sandbox.process import SandboxHandle

PROCESSES = 4
CLIENTS = 200
LASTS_S = 10.0
LIMIT = Limit(resource=Resource.IMAGES, scope="user", key="u1", amount=600)  # one comes free in 100 ms
IMAGES_PER_MIN = 20
ORDERS = 60


def ask_often(url: str, process: int) -> tuple[Counter[str], int]:
    """Be one process of many clients that ask as fast as they can; counts the answers up to an instant."""
    return asyncio.run(_ask_often(url, process))


async def _ask_often(url: str, process: int) -> tuple[Counter[str], int]:
    redis = open_client(url, timeout_s=10, connections=CLIENTS)
    book = open_book(redis, process=f"{process}", timeout_s=10)
    outcomes: Counter[str] = Counter()

    async def ask(client: int) -> None:
        calls = count()
        while time.monotonic() < ends_s:
            call = next(calls)
            try:
                await book.begin(make_ask(id=f"{process}-{client}-{call}", pool=None, limits=(LIMIT,)))
            except RateLimited:
                outcomes["refused"] += 1
            else:
                outcomes["admitted"] += 1

    # All processes start together, or the first would have the whole burst to itself.
    await redis.incr("ready")
    while await redis.get("ready") != b"%d" % PROCESSES:  # noqa: ASYNC110 - other processes, no event
        await asyncio.sleep(0.01)
    # A little longer, so that all are still asking when the instant is taken.
    ends_s = time.monotonic() + LASTS_S + 0.5
    async with asyncio.TaskGroup() as group:
        for client in range(CLIENTS):
            group.create_task(ask(client))
        await asyncio.sleep(LASTS_S)
        last_us = await server_us(redis)
    await redis.aclose()
    return outcomes, last_us


async def server_us(redis: Redis) -> int:
    seconds, microseconds = await redis.time()
    return int(seconds) * 1_000_000 + int(microseconds)


@pytest.mark.slow
async def test_four_processes_admit_what_one_would(valkey: Valkey, redis: Redis) -> None:
    """Half the burst is taken before, so that the bucket never stands full and time is never lost."""
    loop = asyncio.get_running_loop()
    before = LIMIT.amount // 2
    each_us = emission_us(LIMIT.amount)
    await open_book(redis).begin(make_ask(pool=None, n=before, limits=(LIMIT,)))
    first_us = await read_arrival_us(redis) - before * each_us
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("spawn")) as workers:
        async with asyncio.TaskGroup() as group:
            running = [
                group.create_task(_in_worker(loop, workers, valkey.url, process))
                for process in range(PROCESSES)
            ]
    ended_us = await server_us(redis)
    outcomes = sum((task.result()[0] for task in running), Counter[str]())
    asked_until_us = min(task.result()[1] for task in running)
    admitted = before + outcomes["admitted"]

    assert outcomes["refused"] > outcomes["admitted"]
    # To the microsecond: one charge too many, or one that was lost, would show.
    assert await read_arrival_us(redis) == first_us + admitted * each_us
    assert admitted <= LIMIT.amount + (ended_us - first_us) / each_us
    assert admitted >= 0.99 * (LIMIT.amount + (asked_until_us - first_us) / each_us)


async def read_arrival_us(redis: Redis) -> int:
    return int((await redis.hget(keys.of_team("t1").limits_of_user("u1"), "images")) or 0)


async def _in_worker(
    loop: asyncio.AbstractEventLoop, workers: ProcessPoolExecutor, url: str, process: int
) -> tuple[Counter[str], int]:
    return await loop.run_in_executor(workers, ask_often, url, process)


@pytest.fixture(scope="module")
def gateways(
    valkey: Valkey, sandbox_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[Gateway]]:
    """Two replicas: one Redis, one store, the same secrets."""
    root: Path = tmp_path_factory.mktemp("replicas")
    limits = {"default_policy__images_per_min": IMAGES_PER_MIN}
    settings = replica_settings(valkey.url, sandbox_url, root, **limits)
    with run_gateway(root / "a", **settings) as a, run_gateway(root / "b", **settings) as b:
        yield [a, b]


@pytest.mark.slow
@pytest.mark.usefixtures("redis")
async def test_two_gateways_make_exactly_the_limit_of_a_user(
    gateways: list[Gateway], sandbox: SandboxHandle
) -> None:
    answers: list[httpx.Response] = []
    async with httpx.AsyncClient(trust_env=False, timeout=30) as client:

        async def order(number: int, user: str) -> httpx.Response:
            answer = await client.post(
                f"{gateways[number % 2].url}/v1/images/generations",
                json={"model": "dall-e-3", "prompt": f"boat {number}", "n": 1 + number % 2, "user": user},
            )
            answers.append(answer)
            return answer

        started_s = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number in range(ORDERS):
                group.create_task(order(number, "greedy"))
        elapsed_s = time.monotonic() - started_s
        made = sum(len(answer.json()["data"]) for answer in answers if answer.status_code == 200)
        refused = [answer for answer in answers if answer.status_code == 429]
        other = await order(ORDERS, "modest")

    assert len(refused) == ORDERS - sum(answer.status_code == 200 for answer in answers[:ORDERS])
    # An order of two may find one place left, so that the last one stays free.
    assert IMAGES_PER_MIN - 1 <= made <= IMAGES_PER_MIN + elapsed_s * IMAGES_PER_MIN / 60
    assert sum(len(entry["images"]) for entry in await sandbox.journal()) == made + 1
    assert other.status_code == 200
    for answer in refused:
        assert answer.json()["error"]["code"] == "rate_limit_exceeded"
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert 0 < int(answer.headers["retry-after-ms"]) <= int(answer.headers["retry-after"]) * 1000
        assert answer.headers["x-ratelimit-limit-images"] == f"{IMAGES_PER_MIN}"
        assert int(answer.headers["x-ratelimit-remaining-images"]) <= 1
        assert "x-ratelimit-degraded" not in answer.headers
