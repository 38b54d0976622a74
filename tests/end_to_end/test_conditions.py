"""`/readyz?verbose` tells of each part its condition, since when, and what to do."""

import asyncio
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.http.house import House, open_house, until


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with open_house(tmp_path, max_calls_in_flight=1, max_calls_waiting=10) as house:
        yield house


async def test_a_queue_that_fills_and_empties(house: House) -> None:
    house.behave(latency_s=1, paint="flat")
    before = rows(house)
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client, asyncio.TaskGroup() as group:
        prompts = map(str, range(100))

        async def find(word: str) -> dict[str, Any]:
            """Order until the queue is in the condition *word*; returns the rows."""
            for prompt in prompts:
                body = {"model": "dall-e-3", "prompt": prompt}
                group.create_task(client.post(f"{house.gateway.url}/v1/images/generations", json=body))
                await asyncio.sleep(0.02)
                found: dict[str, Any] = (await client.get(f"{house.gateway.url}/readyz?verbose")).json()
                if found["queue"] == word:
                    return found
            raise AssertionError(f"the queue was never {word}")

        waiting, full = await find("waiting"), await find("full")
        house.behave(paint="flat")
    until(lambda: rows(house)["queue"] == "ok")

    assert "advice" not in before["details"]["queue"]
    assert "GATEWAY_MAX_CALLS_IN_FLIGHT" in waiting["details"]["queue"]["advice"]
    assert "GATEWAY_MAX_CALLS_WAITING" in full["details"]["queue"]["advice"]
    assert since(before) <= since(waiting) <= since(full) <= since(rows(house))
    assert full["status"] == "ok"


def test_a_provider_that_breaks_calls_off(house: House) -> None:
    house.behave(failures=[{"status": 200, "body": "truncated_json", "count": 50}])
    while rows(house)["queue"] != "untrusted":
        order(house)

    details = rows(house)["details"]["queue"]
    assert details["advice"].startswith("Five calls in a row ended without a known outcome")
    assert 'imagegw_breaker_open{part="provider"} 1.0' in house.client.get("/metrics").text


@pytest.mark.slow
async def test_a_provider_that_accepts_a_call_and_is_silent(house: House) -> None:
    house.behave(paint="flat")
    order(house)
    house.behave(latency_s=300, paint="flat")
    async with httpx.AsyncClient(trust_env=False, timeout=300) as client, asyncio.TaskGroup() as group:
        body = {"model": "dall-e-3", "prompt": "a silent harbour"}
        hanging = group.create_task(client.post(f"{house.gateway.url}/v1/images/generations", json=body))
        await asyncio.to_thread(until, lambda: rows(house)["provider"] == "silent")
        silent = rows(house)
        await asyncio.to_thread(until, lambda: away_s(house, "provider") > 0)
        metrics = house.client.get("/metrics").text
        hanging.cancel()

    assert silent["details"]["provider"]["advice"].startswith("Calls have had no answer for twice as long")
    assert "imagegw_calls_overdue 1.0" in metrics


def test_a_store_that_takes_no_images(house: House) -> None:
    before = rows(house)
    files = house.data_dir / "files"
    files.rename(house.data_dir / "moved")
    files.write_text("in the way")
    order(house)

    until(lambda: rows(house)["store"] == "failing")
    failing = rows(house)
    assert failing["details"]["store"]["advice"].startswith("Is there room on the disk")
    assert since(failing, "store") >= since(before, "store")
    until(lambda: away_s(house, "store") > 1)

    files.unlink()
    until(lambda: rows(house)["store"] == "ok")
    assert since(rows(house), "store") > since(failing, "store")
    assert "advice" not in rows(house)["details"]["store"]
    assert away_s(house, "redis") == 0


def order(house: House) -> httpx.Response:
    return house.client.post("/v1/images/generations", json={"model": "dall-e-3", "prompt": "a harbour"})


def rows(house: House) -> dict[str, Any]:
    body: dict[str, Any] = house.client.get("/readyz?verbose").json()
    assert all("since" in each for each in body["details"].values())
    return body


def since(body: dict[str, Any], part: str = "queue") -> datetime:
    return datetime.fromisoformat(body["details"][part]["since"])


def away_s(house: House, part: str) -> float:
    text = house.client.get("/metrics").text
    (line,) = [
        each
        for each in text.splitlines()
        if each.startswith(f'imagegw_degraded_seconds_total{{part="{part}"')
    ]
    return float(line.rpartition(" ")[2])
