"""A scrape is cheap beside orders, and has few series."""

import asyncio
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.http.house import House, open_house

CALLERS, SCRAPES = 16, 20
MOST_SERIES = 2000
"""Of a process, so that a Prometheus of a company has room for hundreds of them."""
ACCEPT = {"accept": "application/openmetrics-text;version=1.0.0"}
MODELS = ("dall-e-2", "dall-e-3", "gpt-image-1", "gpt-image-1.5", "gpt-image-2")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with open_house(tmp_path, fanout_window_ms=0) as house:
        house.behave(paint="flat")
        yield house


@pytest.mark.slow
async def test_a_scrape_under_load_waits_for_no_order(house: House) -> None:
    """Scrapes and orders share one loop: the milliseconds are printed, and the series counted."""
    ended = asyncio.Event()
    orders = 0

    async def order_on(client: httpx.AsyncClient, caller: int) -> None:
        nonlocal orders
        number = 0
        while not ended.is_set():
            number += 1
            # Every second one is a hit.
            body = {
                "model": MODELS[caller % 5],
                "prompt": f"{caller} {number // 2}",
                "user": f"user-{number}",
            }
            answer = await client.post("/v1/images/generations", json=body)
            assert answer.status_code == 200, answer.text
            orders += 1

    limits = httpx.Limits(max_connections=CALLERS + 1)
    async with (
        httpx.AsyncClient(base_url=house.gateway.url, trust_env=False, timeout=60, limits=limits) as client,
        asyncio.TaskGroup() as group,
    ):
        for caller in range(CALLERS):
            group.create_task(order_on(client, caller))
        await asyncio.sleep(0.5)
        spent_ms, text = [], ""
        for _ in range(SCRAPES):
            started_s = time.perf_counter()
            text = (await client.get("/metrics", headers=ACCEPT)).text
            spent_ms.append((time.perf_counter() - started_s) * 1000)
            await asyncio.sleep(0.1)
        ended.set()

    series = sum(not line.startswith("#") for line in text.splitlines())
    sys.stdout.write(
        f"{series} series, {len(text)} bytes beside {orders} orders: median {statistics.median(spent_ms):.1f} ms, "
        f"longest {max(spent_ms):.1f} ms; CPU {cpu_of_scrapes_ms(house):.1f} ms a scrape\n"
    )
    assert orders > SCRAPES
    assert series < MOST_SERIES


def cpu_of_scrapes_ms(house: House) -> float:
    """Return the CPU time that the gateway takes for a scrape without load."""
    process = psutil.Process(house.gateway.process.pid)
    before = process.cpu_times()
    for _ in range(SCRAPES):
        house.client.get("/metrics", headers=ACCEPT)
    after = process.cpu_times()
    return (after.user + after.system - before.user - before.system) / SCRAPES * 1000
