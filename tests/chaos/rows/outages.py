"""A Redis that is away, hangs or refuses changes, and a store that hangs."""

import asyncio
import contextlib
import signal
import statistics
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.chaos.expectations import expect_exact_books, is_unwell
from tests.chaos.finding import Finding
from tests.chaos.ground import Answer, Ground
from tests.chaos.provider import paint_after
from tests.chaos.row import Rows
from tests.chaos.rows.money import LEASE_S, SECRETS
from tests.processes import Gateway
from tests.s3_server import run_s3

ROWS = Rows([])
_DEADLINE_S = 6


@ROWS.add(
    "redis-away-long",
    "Redis hangs for longer than a lease while an order runs whose caller may have one image in flight; others follow",
    covers="P4",
    waits=True,
)
async def redis_away_long(ground: Ground, finding: Finding) -> None:
    provider = await ground.provider(paint_after(LEASE_S + (12 if ground.is_short else 20)))
    valkey = await ground.valkey()
    limit: dict[str, Any] = {"redis_timeout_s": 1, "default_policy__images_in_flight": 1}
    gateway = await ground.gateway(provider, redis_url=valkey.url, secrets=SECRETS, **limit)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(ground.order(gateway.url, "running"))
        await provider.until_called(1)
        valkey.signal(signal.SIGSTOP)
        ground.tell("Redis hangs")
        await asyncio.sleep(LEASE_S + (4 if ground.is_short else 6))
        valkey.signal(signal.SIGCONT)
        others: list[Answer] = []
        while not running.done() and len(others) < 30:
            hasty = {"x-request-timeout-s": "3"}
            others.append(await ground.order(gateway.url, f"another {len(others)}", headers=hasty))
            await asyncio.sleep(0.3)
        finding.note(f"others meanwhile {dict(Counter(one.code for one in others))}")
        finding.equal("calls while the first runs", len(provider.calls), 1)
    finding.equal("the first", running.result().code, "200")
    booked = await ground.until_booked(gateway.url, made=1)
    finding.equal("booked", +booked, {"made": 1})


@asynccontextmanager
async def _configured(redis: Redis, name: str, value: str, back: str) -> AsyncIterator[None]:
    await redis.config_set(name, value)
    yield
    await redis.config_set(name, back)


@asynccontextmanager
async def _demoted(redis: Redis) -> AsyncIterator[None]:
    await redis.replicaof("127.0.0.1", "1")
    yield
    await redis.replicaof("NO", "ONE")


@asynccontextmanager
async def _unsaved(redis: Redis, home: Path) -> AsyncIterator[None]:
    """Let its save fail: a directory is where its file goes."""
    obstacle = home / "dump.rdb"
    obstacle.mkdir()
    await _save(redis, "err")
    yield
    obstacle.rmdir()
    await _save(redis, "ok")


async def _save(redis: Redis, status: str) -> None:
    """Save until the last save is what *status* says."""
    async with asyncio.timeout(20):
        while (await redis.info("persistence"))["rdb_last_bgsave_status"] != status:
            with contextlib.suppress(RedisError):
                await redis.bgsave()
            await asyncio.sleep(0.1)


@ROWS.add(
    "redis-refuses",
    "a Redis that answers NOREPLICAS, OOM, READONLY and MISCONF to changes; readiness, metric and budgets are looked at",
    covers="P6",
)
async def redis_refuses(ground: Ground, finding: Finding) -> None:
    provider = await ground.provider()
    home = ground.directory / "valkey"
    home.mkdir()
    # With a point in time to save at, a save that fails stops changes.
    valkey = await ground.valkey(directory=home, config={"save": "3600 1000000", "appendonly": "no"})
    redis = await ground.redis(valkey)
    budget: dict[str, Any] = {"default_policy__budget_per_month_microusd": 50_000_000}
    gateway = await ground.gateway(provider, redis_url=valkey.url, **budget)
    finding.equal("before", (await ground.order(gateway.url)).code, "200")
    for reason, refusing in (
        ("no_replicas", _configured(redis, "min-replicas-to-write", "1", "0")),
        ("oom", _configured(redis, "maxmemory", "1", "0")),
        ("readonly", _demoted(redis)),
        ("misconf", _unsaved(redis, home)),
    ):
        calls = len(provider.calls)
        async with refusing:
            codes = Counter([(await ground.order(gateway.url)).status for _ in range(6)])
            finding.equal(reason, codes, {503: 6})
            finding.is_true("readiness tells", is_so=await is_unwell(ground, gateway))
            failures = await ground.metric(gateway.url, "imagegw_state_failures_total", reason=reason)
            finding.at_least("failures counted", failures, 1)
        finding.equal("calls", len(provider.calls) - calls, 0)
        await _until_served(ground, gateway)
    await expect_exact_books(ground, finding, gateway, provider)


async def _until_served(ground: Ground, gateway: Gateway) -> None:
    async with asyncio.timeout(20):
        while (await ground.order(gateway.url)).status != 200:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.2)


@ROWS.add(
    "hung-redis-reads",
    "Redis stands still while links of kept images are followed, whose time-out is a second",
    covers="A10",
)
async def hung_redis_reads(ground: Ground, finding: Finding) -> None:
    provider = await ground.provider()
    valkey = await ground.valkey()
    gateway = await ground.gateway(provider, redis_url=valkey.url, redis_timeout_s=1)
    link = (await ground.order(gateway.url)).json["data"][0]["url"]
    valkey.signal(signal.SIGSTOP)
    answers = [await ground.ask("GET", link) for _ in range(20)]
    valkey.signal(signal.SIGCONT)
    waits_s = [answer.took_s for answer in answers]
    finding.equal("answers", Counter(answer.status for answer in answers), {200: 20})
    finding.at_most("mean wait, times the time-out", statistics.mean(waits_s[-10:]), 0.5)
    finding.note(f"{statistics.mean(waits_s) * 1000:.0f} ms on average")


@ROWS.add(
    "hanging-store",
    "an S3 store that takes connections and answers nothing, from the start, and after it worked (SeaweedFS)",
    covers="P15",
)
async def hanging_store(ground: Ground, finding: Finding) -> None:
    async def hang(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await reader.read(-1)
        writer.close()

    server = await asyncio.start_server(hang, "127.0.0.1", 0)
    ground.stack.callback(server.close)
    store: dict[str, Any] = {
        "store_url": "s3://images/here",
        "store_endpoint": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}",
        "store_region": "us-east-1",
        "store_access_key_id": "reader",
        "store_secret_access_key": "reader-secret",
    }
    provider = await ground.provider()
    gateway = await ground.gateway(provider, "from-the-start", deadline_s=_DEADLINE_S, **store)
    await _order_and_judge(ground, finding, gateway)
    await expect_exact_books(ground, finding, gateway, provider)

    ground.tell("starting SeaweedFS")
    s3 = await ground.enter(run_s3)
    provider = await ground.provider()
    later: dict[str, Any] = s3.settings("later")
    gateway = await ground.gateway(provider, "later", deadline_s=_DEADLINE_S, **later)
    kept = [(await ground.order(gateway.url, f"kept {number}")).code for number in range(3)]
    finding.equal("while it works", kept, ["200"] * 3)
    s3.signal(signal.SIGSTOP)
    try:
        await _order_and_judge(ground, finding, gateway)
    finally:
        s3.signal(signal.SIGCONT)
    await expect_exact_books(ground, finding, gateway, provider)


async def _order_and_judge(ground: Ground, finding: Finding, gateway: Gateway) -> None:
    """Order new and kept images, with and without links, from a gateway whose store hangs."""
    longest_s = 0.0
    for form in ("b64_json", "url"):
        answers = [await ground.order(gateway.url, response_format=form) for _ in range(2)]
        answers += [
            await ground.order(gateway.url, f"kept {number}", response_format=form) for number in range(3)
        ]
        told = [f"{one.code} {one.took_s:.1f} s" for one in answers]
        finding.note(f"{form}, two new and three kept: {told}")
        longest_s = max(longest_s, *(one.took_s for one in answers))
    finding.at_most("longest, times the deadline", longest_s / _DEADLINE_S, 1.4)
    finding.is_true("readiness tells", is_so=await is_unwell(ground, gateway))
