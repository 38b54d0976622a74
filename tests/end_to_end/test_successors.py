"""A gateway that starts while its predecessor still drains leaves it its orders."""

import asyncio
import signal
from collections import Counter
from pathlib import Path

import httpx
import pytest
from redis.asyncio import Redis

from service.adapters.process_names import ProcessNames
from tests.adapters.redis.orders import read_ledger
from tests.end_to_end.replicas import order
from tests.processes import Gateway, Valkey, run_gateway, run_valkey
from tests.sandbox.process import SandboxHandle

LATENCY_S = 10
SHORT_S = 3


async def test_a_draining_gateway_is_taken_for_alive(
    sandbox: SandboxHandle, valkey: Valkey, tmp_path: Path
) -> None:
    await sandbox.behave(paint="flat", latency_s=SHORT_S)
    with run_gateway(tmp_path, **settings(valkey, sandbox)) as draining:
        await drain_with_an_order(draining, sandbox)
        # What it closes before it waits for its order is closed by now.
        await asyncio.sleep(0.5)
        with ProcessNames(tmp_path / "processes", "successor") as names:
            assert names.names() == []
            assert len(list((tmp_path / "processes").iterdir())) == 2
        assert draining.process.poll() is None
        assert await asyncio.to_thread(draining.process.wait, 30) == 0

    assert not list((tmp_path / "processes").iterdir())


@pytest.mark.slow
async def test_a_draining_predecessor_keeps_its_orders(sandbox: SandboxHandle, tmp_path: Path) -> None:
    await sandbox.behave(paint="flat", latency_s=LATENCY_S)
    with run_valkey() as valkey:
        with run_gateway(tmp_path, **settings(valkey, sandbox)) as draining:
            await drain_with_an_order(draining, sandbox)
            with run_gateway(tmp_path, **settings(valkey, sandbox)) as successor:
                assert draining.process.poll() is None
                await sandbox.behave(paint="flat")
                async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
                    answer = await order(client, successor, "an old boat")
            code = await asyncio.to_thread(draining.process.wait, 30)
        booked = await books(valkey)

    assert (answer.status_code, code) == (200, 0)
    assert await sandbox.count_painted() == 1
    assert (booked["made|images"], booked["unknown|images"]) == (1, 0)


def settings(valkey: Valkey, sandbox: SandboxHandle) -> dict[str, object]:
    return {
        "redis_url": valkey.url,
        "openai_base_url": f"{sandbox.url}/v1",
        "openai_api_key": "x",
        "drain_s": 30,
    }


async def drain_with_an_order(gateway: Gateway, sandbox: SandboxHandle) -> None:
    """Have it stop, and wait until its server has ended: only an order whose caller left keeps it."""
    async with httpx.AsyncClient(trust_env=False) as client, asyncio.TaskGroup() as group:
        leaving = group.create_task(order(client, gateway, "an old boat"))
        await sandbox.until_asked(1)
        leaving.cancel()
    gateway.process.send_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        while not gateway.log_lines("Waiting for application shutdown."):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)


async def books(valkey: Valkey) -> Counter[str]:
    async with Redis.from_url(valkey.url) as redis:
        return await read_ledger(redis, "open")
