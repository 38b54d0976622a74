"""Fan-out: one order, several calls at once, each paid for once, whatever becomes of the others."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator
from itertools import pairwise
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis

from tests.adapters.redis.orders import ESTIMATE_MICROUSD, read_holds, read_ledger
from tests.end_to_end.replicas import digests_of
from tests.processes import Gateway, Valkey, run_gateway
from tests.sandbox.process import SandboxHandle

TEAM = "open"
IMAGES_PER_MIN = 60


@pytest.fixture(scope="module")
def gateway(valkey: Valkey, sandbox_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    settings = {
        "redis_url": valkey.url,
        "openai_base_url": f"{sandbox_url}/v1",
        "openai_api_key": "x",
        "default_policy__images_per_min": IMAGES_PER_MIN,
        "default_policy__requests_per_min": 0,
    }
    with run_gateway(tmp_path_factory.mktemp("gateway"), **settings) as running:
        yield running


@pytest.fixture
async def client(gateway: Gateway, redis: Redis) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of the gateway, whose Redis is empty."""
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=30) as client:
        yield client


async def order(
    client: httpx.AsyncClient, prompt: str, headers: dict[str, str] | None = None, **fields: object
) -> httpx.Response:
    body = {"model": "dall-e-3", "prompt": prompt, "n": 4, **fields}
    return await client.post("/v1/images/generations", json=body, headers=headers)


async def painted(sandbox: SandboxHandle) -> list[str]:
    """Return the digests of all that would be charged for, in the order of the calls' arrival."""
    return [image["sha256"] for entry in await sandbox.journal() for image in entry["images"]]


async def test_four_calls_for_one_image_each_run_at_once(
    client: httpx.AsyncClient, sandbox: SandboxHandle, redis: Redis
) -> None:
    await sandbox.behave(latency_s=0.3, paint="flat")

    answer = await order(client, "four boats")

    journal = await sandbox.journal()
    assert [entry["parameters"].get("n", 1) for entry in journal] == [1] * 4
    first_end_s = min(entry["finished_monotonic_s"] for entry in journal)
    assert all(entry["started_monotonic_s"] < first_end_s for entry in journal)
    assert sorted(digests_of(answer)) == sorted(await painted(sandbox))
    ledger = await read_ledger(redis, TEAM)
    assert ledger["made|images"] == 4
    assert ledger["made|microusd"] == int(answer.headers["x-cost-microusd"])


async def test_images_come_back_in_order_however_they_were_finished(
    client: httpx.AsyncClient, sandbox: SandboxHandle
) -> None:
    """The pool gives them in the order of their places; the first answer must have had the same."""
    await sandbox.behave(latency_s=0.05, latency_jitter_s=0.3, paint="flat")

    made = await order(client, "boats in a row", n=8)
    found = await order(client, "boats in a row", n=8)

    assert (made.headers["x-cache"], found.headers["x-cache"]) == ("miss", "hit")
    assert digests_of(made) == digests_of(found)
    finished = sorted(await sandbox.journal(), key=lambda entry: entry["finished_monotonic_s"])
    # The test says something only if they finished in another order than they were asked.
    assert any(one["number"] > other["number"] for one, other in pairwise(finished))


async def test_a_failed_call_costs_only_itself(
    client: httpx.AsyncClient, sandbox: SandboxHandle, redis: Redis
) -> None:
    """The three that succeeded are kept: the retry makes, and pays for, the missing one."""
    refused = {"status": 400, "code": "moderation_blocked"}
    await sandbox.behave(failures=[refused], failure_match="one too many", latency_s=0.1)

    first = await order(client, "one too many")
    paid_first = await painted(sandbox)
    second = await order(client, "one too many")

    assert first.status_code == 502
    assert first.json()["error"]["code"] == "partial_failure"
    assert first.json()["error"]["images_kept"] == 3
    assert first.headers["x-should-retry"] == "true"  # a refusal is not billed
    assert len(paid_first) == 3
    assert second.headers["x-cache"] == "partial; hits=3; coalesced=0; misses=1"
    assert set(digests_of(second)) == set(await painted(sandbox))
    assert len(await painted(sandbox)) == 4
    assert (await read_ledger(redis, TEAM))["made|images"] == 4
    assert await read_holds(redis, TEAM) == {}
    # Eight asked, three found, one refunded: four were made.
    assert second.headers["x-ratelimit-remaining-images"] in {
        f"{IMAGES_PER_MIN - 4}",
        f"{IMAGES_PER_MIN - 3}",  # one came free meanwhile
    }


async def test_a_call_whose_outcome_is_unknown_is_not_tried_again(
    client: httpx.AsyncClient, sandbox: SandboxHandle, redis: Redis
) -> None:
    broken = {"status": 200, "body": "truncated_json", "after_painting": True}
    await sandbox.behave(failures=[broken], latency_s=0.1, paint="flat")

    answer = await order(client, "a torn boat")

    assert answer.status_code == 502
    assert answer.headers["x-should-retry"] == "false"
    assert len(await sandbox.journal()) == 4
    ledger = await read_ledger(redis, TEAM)
    assert ledger["made|images"] == 3
    assert ledger["unknown|images"] == 1
    assert ledger["unknown|microusd"] > ESTIMATE_MICROUSD / 10
    # What the provider would charge for is what the books say, unknown included.
    assert len(await painted(sandbox)) == 4


async def test_retries_absorb_a_burst_of_429(
    client: httpx.AsyncClient, sandbox: SandboxHandle, redis: Redis
) -> None:
    busy = {"status": 429, "code": "rate_limit_exceeded", "count": 3, "retry_after_s": 0.2}
    await sandbox.behave(failures=[busy], paint="flat")

    answer = await order(client, "a boat in a storm")

    statuses = [entry["status"] for entry in await sandbox.journal()]
    assert answer.status_code == 200
    assert (statuses.count(429), statuses.count(200)) == (3, 4)
    assert (await read_ledger(redis, TEAM))["made|images"] == len(await painted(sandbox)) == 4


async def test_equal_failures_of_all_calls_are_the_answer(
    client: httpx.AsyncClient, sandbox: SandboxHandle, redis: Redis
) -> None:
    answer = await order(client, "a forbidden-word")

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "content_policy_violation"
    assert await painted(sandbox) == []
    assert await read_ledger(redis, TEAM) == {}
    again = await order(client, "a plain boat", n=1)
    # All four were refunded.
    assert answer.headers["x-ratelimit-remaining-images"] == f"{IMAGES_PER_MIN - 4}"
    assert again.headers["x-ratelimit-remaining-images"] == f"{IMAGES_PER_MIN - 1}"


async def test_the_callers_deadline_ends_the_order_but_not_its_settlement(
    client: httpx.AsyncClient, sandbox: SandboxHandle, redis: Redis
) -> None:
    await sandbox.behave(latency_s=8, paint="flat")
    started_s = time.monotonic()

    answer = await order(client, "a slow boat", headers={"x-request-timeout-s": "2"})

    assert time.monotonic() - started_s >= 2
    assert answer.status_code == 504
    assert answer.headers["x-should-retry"] == "false"
    ledger = await read_ledger(redis, TEAM)
    assert (ledger["made|images"], ledger["unknown|images"]) == (0, 4)
    assert await read_holds(redis, TEAM) == {}


async def test_one_order_does_not_wait_behind_another(
    client: httpx.AsyncClient, sandbox: SandboxHandle
) -> None:
    await sandbox.behave(latency_s=1.0, paint="flat")

    async with asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(order(client, f"boat {number}", user=f"user {number}", n=5))

    assert len(await painted(sandbox)) == 30
    # More calls under way at once than one order has.
    calls = await sandbox.journal()
    begun = [sum(is_under_way(other, call["started_monotonic_s"]) for other in calls) for call in calls]
    assert max(begun) > 5


def is_under_way(call: dict[str, Any], at_s: float) -> bool:
    started_s: float = call["started_monotonic_s"]
    finished_s: float = call["finished_monotonic_s"]
    return started_s <= at_s < finished_s
