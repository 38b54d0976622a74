"""Callers and operators see that a call waited, and why an order was refused."""

import asyncio
import re
from collections.abc import Iterator

import httpx
import orjson
import pytest

from tests.processes import Gateway, Valkey, run_gateway
from tests.sandbox.process import SandboxHandle

LATENCY_S = 0.5


@pytest.fixture(scope="module")
def gateway(valkey: Valkey, sandbox_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    settings = {
        "redis_url": valkey.url,
        "openai_base_url": f"{sandbox_url}/v1",
        "openai_api_key": "x",
        "default_policy__images_per_min": 0,
        "default_policy__requests_per_min": 0,
        "max_calls_in_flight": 1,
        "max_calls_waiting": 10,
    }
    with run_gateway(tmp_path_factory.mktemp("gateway"), **settings) as running:
        yield running


async def test_the_queue_shows_in_headers_log_and_metrics(gateway: Gateway, sandbox: SandboxHandle) -> None:
    await sandbox.behave(latency_s=LATENCY_S, paint="flat")
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=60) as client:
        async with asyncio.TaskGroup() as group:
            bodies = [{"model": "dall-e-3", "prompt": f"{number}"} for number in range(14)]
            orders = [group.create_task(client.post("/v1/images/generations", json=each)) for each in bodies]
        metrics = (await client.get("/metrics")).text
    answers = [order.result() for order in orders]

    assert sorted(answer.status_code for answer in answers) == [200] * 11 + [503] * 3
    refused = [answer for answer in answers if answer.status_code == 503]
    assert {answer.json()["error"]["code"] for answer in refused} == {"overloaded"}
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    waits_ms = sorted(
        float(found[1])
        for answer in answers
        if (found := re.search(r"queue;dur=([\d.]+)", answer.headers["server-timing"]))
    )
    assert len(waits_ms) == 10
    assert waits_ms[-1] >= 9 * LATENCY_S * 1000
    lines = [orjson.loads(line) for line in gateway.log.read_bytes().splitlines() if b'"queue_ms"' in line]
    assert sorted(line["queue_ms"] for line in lines if line["queue_ms"]) == waits_ms
    assert 'imagegw_queue_refusals_total{reason="full"} 3.0' in metrics
    assert "imagegw_queue_wait_seconds_count 10.0" in metrics
    assert "imagegw_queue_calls 0.0" in metrics


@pytest.mark.parametrize("route", ["/v1/images/generations", "/generate_image"])
async def test_nothing_is_sent_for_a_caller_who_left_the_queue(
    gateway: Gateway, sandbox: SandboxHandle, route: str
) -> None:
    await sandbox.behave(latency_s=2, paint="flat")
    async with httpx.AsyncClient(base_url=gateway.url, trust_env=False, timeout=60) as client:
        async with asyncio.TaskGroup() as group:
            body = {"model": "dall-e-3", "prompt": f"before {route}"}
            first = group.create_task(client.post("/v1/images/generations", json=body))
            await sandbox.until_asked(1)
            leaving = group.create_task(client.post(route, json={"prompt": f"left {route}"}))
            await until_queued(client, 1)
            leaving.cancel()
        await until_queued(client, 0)

    assert first.result().status_code == 200
    assert [entry["prompt"] for entry in await sandbox.journal()] == [f"before {route}"]


async def until_queued(client: httpx.AsyncClient, calls: int) -> None:
    async with asyncio.timeout(10):
        while f"imagegw_queue_calls {calls}.0" not in (await client.get("/metrics")).text:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)
