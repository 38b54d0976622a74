"""Identical orders in flight share their calls, within a process and across processes."""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from redis.asyncio import Redis

from tests.adapters.redis.orders import expire_claims, fill, names_of, open_book, read_holds, read_ledger
from tests.end_to_end.chaos import order_at_once
from tests.end_to_end.replicas import digests_of, order, replica_settings
from tests.processes import Gateway, Valkey, run_gateway
from tests.sandbox.process import SandboxHandle, run_sandbox

LATENCY_S = 0.5
TEAM = "open"
KEY = "sk-a-callers-own-key"


@dataclass(slots=True)
class Replicas:
    """Gateways that share Redis, store and secrets, and how to start one more."""

    gateways: list[Gateway]
    root: Path
    settings: dict[str, object]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandbox_url() -> AsyncGenerator[str]:
    async with run_sandbox(latency_s=LATENCY_S) as handle:
        yield handle.url


@pytest.fixture(scope="module")
def replicas(
    valkey: Valkey, sandbox_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Replicas]:
    root = tmp_path_factory.mktemp("replicas")
    settings = replica_settings(valkey.url, sandbox_url, root)
    with run_gateway(root / "a", **settings) as a, run_gateway(root / "b", **settings) as b:
        yield Replicas([a, b], root, settings)


@pytest.fixture
async def client() -> AsyncGenerator[httpx.AsyncClient]:
    limits = httpx.Limits(max_connections=None)
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(trust_env=False, timeout=40, limits=limits, headers=headers) as client:
        yield client


async def order_all(
    client: httpx.AsyncClient, replicas: Replicas, prompt: str, sizes: list[int]
) -> list[httpx.Response]:
    """Order at once, taking turns among the gateways."""
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(order(client, replicas.gateways[number % 2], prompt, n=n))
            for number, n in enumerate(sizes)
        ]
    return [task.result() for task in tasks]


def sources_of(answer: httpx.Response) -> Counter[str]:
    """Return what `x-cache` says of each image."""
    header = answer.headers["x-cache"]
    n = len(answer.json()["data"])
    if header in {"hit", "miss"}:
        return Counter({"hits" if header == "hit" else "misses": n})
    return Counter({name: int(count) for name, count in re.findall(r"(\w+)=(\d+)", header)})


@pytest.mark.slow
async def test_a_thousand_identical_orders_in_two_processes_pay_once(
    replicas: Replicas, sandbox: SandboxHandle, redis: Redis
) -> None:
    await sandbox.behave(paint="flat", latency_s=4)  # so that all are there before the first is done
    body = {"model": "dall-e-3", "prompt": "a thousand boats", "n": 2}
    answers = await order_at_once([gateway.url for gateway in replicas.gateways], 1000, body)

    journal = await sandbox.journal()
    painted = {image["sha256"] for entry in journal for image in entry["images"]}
    shown = [
        {re.findall(r"/files/([0-9a-f]{64})\.", one["url"])[0] for one in answer["json"]["data"]}
        for answer in answers
    ]
    assert len(painted) == sum(len(entry["images"]) for entry in journal) == 2
    assert {answer["status"] for answer in answers} == {200}
    assert shown == [painted] * 1000
    # Who made them pays for them, once.
    ledger = await read_ledger(redis, TEAM)
    assert ledger["made|images"] == 2
    costs = [int(answer["headers"]["x-cost-microusd"]) for answer in answers]
    assert sum(costs) == ledger["made|microusd"]
    assert len([cost for cost in costs if cost]) <= 2
    assert await read_holds(redis, TEAM) == {}


@pytest.mark.usefixtures("redis")
async def test_orders_of_any_size_share_the_images_of_the_largest(
    replicas: Replicas, sandbox: SandboxHandle, client: httpx.AsyncClient
) -> None:
    answers = await order_all(client, replicas, "boats of any size", [1, 3, 7, 10, 2, 5, 10, 1, 8, 4])

    everything = set(digests_of(answers[3]))
    assert await sandbox.count_painted() == len(everything) == 10
    for answer in answers:
        digests = digests_of(answer)
        assert len(set(digests)) == len(digests)
        assert set(digests) <= everything


async def test_a_call_outlasts_the_deadline_of_its_order_for_a_patient_one(
    replicas: Replicas, sandbox: SandboxHandle, client: httpx.AsyncClient, redis: Redis
) -> None:
    await sandbox.behave(paint="flat", latency_s=4)
    url, body = (
        f"{replicas.gateways[0].url}/v1/images/generations",
        {"model": "dall-e-3", "prompt": "a slow boat"},
    )
    async with asyncio.TaskGroup() as group:
        headers = {"x-request-timeout-s": "2"}
        hurried = group.create_task(client.post(url, json=body, headers=headers))
        await sandbox.until_asked(1)
        patient = group.create_task(client.post(url, json=body))

    late = hurried.result()
    assert (late.status_code, late.json()["error"]["code"]) == (504, "deadline_exceeded")
    assert late.headers["x-should-retry"] == "true"
    assert patient.result().status_code == 200
    assert patient.result().headers["x-cache"] == "coalesced"
    assert await sandbox.count_painted() == 1
    ledger = await read_ledger(redis, TEAM)
    assert (ledger["made|images"], ledger["unknown|images"]) == (1, 0)
    assert await read_holds(redis, TEAM) == {}


@pytest.mark.usefixtures("redis")
async def test_an_image_of_one_replica_is_a_hit_in_the_other(
    replicas: Replicas, sandbox: SandboxHandle, client: httpx.AsyncClient
) -> None:
    a, b = replicas.gateways
    first = await order(client, a, "made by one", n=2)
    second = await order(client, b, "made by one", n=2)

    file = await client.get(second.json()["data"][0]["url"])

    assert (first.headers["x-cache"], second.headers["x-cache"]) == ("miss", "hit")
    assert digests_of(first) == digests_of(second)
    assert second.headers["x-cost-microusd"] == "0"
    assert file.content.startswith(b"\x89PNG")
    assert await sandbox.count_painted() == 2


@pytest.mark.slow
async def test_a_killed_maker_is_replaced_once_its_claim_has_expired(
    replicas: Replicas, sandbox: SandboxHandle, client: httpx.AsyncClient, redis: Redis
) -> None:
    """The thirty seconds a claim lives are cut short in Redis; everything else is as it happens."""
    with run_gateway(replicas.root / "doomed", **replicas.settings) as doomed:
        async with asyncio.TaskGroup() as group:
            lost = group.create_task(fail_to_order(client, doomed, "a boat half made"))
            await sandbox.until_asked(1)
            waiting = group.create_task(order(client, replicas.gateways[0], "a boat half made"))
            doomed.kill()
            await lost
            assert await sandbox.count_painted() == 1
            assert not waiting.done()
            (pool,) = [name for name in await names_of(redis) if ":pool:" in name]

            await expire_claims(redis, pool)

    answer = waiting.result()
    assert sources_of(answer) == {"misses": 1}
    # One was paid for and lost with its maker; its hold stays until it is booked as unknown.
    assert await sandbox.count_painted() == 2
    assert [hold["images"] for hold in (await read_holds(redis, TEAM)).values()] == [1]
    assert (await read_ledger(redis, TEAM))["made|images"] == 1


async def fail_to_order(client: httpx.AsyncClient, gateway: Gateway, prompt: str) -> None:
    with pytest.raises(httpx.TransportError):
        await order(client, gateway, prompt)


@pytest.mark.usefixtures("sandbox")
async def test_redis_keys_contain_no_text_of_a_caller(
    replicas: Replicas, client: httpx.AsyncClient, redis: Redis
) -> None:
    await order(client, replicas.gateways[0], "secret prompt", user="somebody")
    await client.post(
        f"{replicas.gateways[1].url}/v1/images/generations",
        json={"model": "dall-e-2", "prompt": "secret prompt", "n": 2, "user": "somebody"},
        headers={"authorization": "", "cache-control": "no-store"},
    )

    names = await names_of(redis)

    assert names
    for name in names:
        assert re.fullmatch(
            r"ig:1:processes|ig:1:\{directory\}:seen|"
            r"ig:1:\{open\}:((holds|hold-details):2|images|pulse|ages:(kept|brief)|totals|ledger:\d{8}|pool:team:[0-9a-f]{32}"
            r"|limits:user:[0-9a-f]{32}|(asked|settled|ended):[0-9a-f]{32}(\.\d+)+)",
            name,
        ), name


async def test_a_foreign_image_in_the_pool_is_replaced(
    replicas: Replicas, sandbox: SandboxHandle, client: httpx.AsyncClient, redis: Redis
) -> None:
    """Whatever wrote it there, the caller gets an image of its own, and soon."""
    await order(client, replicas.gateways[0], "ours")
    (pool,) = [name for name in await names_of(redis) if ":pool:" in name]
    await redis.delete(pool)
    await fill(open_book(redis), "a", pool=pool.replace("{open}", "{other}"), team="other")
    await redis.rename(pool.replace("{open}", "{other}"), pool)

    answer = await client.post(
        f"{replicas.gateways[0].url}/v1/images/generations",
        json={"model": "dall-e-3", "prompt": "ours"},
        headers={"x-request-timeout-s": "3"},
    )

    assert answer.status_code == 200, answer.text
    assert sources_of(answer) == {"misses": 1}
    assert await sandbox.count_painted() == 2
