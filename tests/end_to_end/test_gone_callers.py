"""Callers that close their sockets at random moments, on JSON and streams: finished, cached, charged once."""

import asyncio
import random
import re
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path

import httpx
import orjson
import psutil
import pytest

from tests.end_to_end.chaos import Chaos, open_chaos

CALLERS = 120
LATENCY_S = 0.3
PATIENCE_S = 40.0


@pytest.fixture
async def chaos(tmp_path: Path) -> AsyncIterator[Chaos]:
    async with open_chaos(tmp_path, "a") as chaos:
        yield chaos


async def call_and_hang_up(chaos: Chaos, number: int, moment: Awaitable[object]) -> None:
    """Send a whole request on a socket of its own, and close the socket at *moment*, however far it got."""
    host, port = chaos.gateways["a"].url.removeprefix("http://").split(":")
    fields: dict[str, object] = {"prompt": f"boat {number}.", "n": 1 + number % 2}
    if number % 3:
        fields["model"] = "dall-e-3"
    else:
        fields |= {"model": "gpt-image-2", "stream": True, "partial_images": 1}
    body = orjson.dumps(fields)
    head = (
        f"POST /v1/images/generations HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.encode() + body)
    await moment
    writer.transport.abort()


async def after(event: asyncio.Event, pause_s: float) -> None:
    await event.wait()
    await asyncio.sleep(pause_s)


async def read_gauges(chaos: Chaos) -> dict[str, float]:
    text = (await chaos.client.get(f"{chaos.gateways['a'].url}/metrics")).text
    return {
        kind: float(value) for kind, value in re.findall(r'imagegw_in_flight\{kind="(\w+)"\} (\S+)', text)
    }


async def test_gone_callers_lose_no_image_and_leave_no_state(chaos: Chaos) -> None:
    dice = random.Random(3)
    await chaos.sandbox.behave(paint="flat", latency_s=LATENCY_S, latency_jitter_s=LATENCY_S)
    process = psutil.Process(chaos.gateways["a"].process.pid)

    at_once, once_asked = asyncio.Event(), asyncio.Event()
    at_once.set()

    async with asyncio.TaskGroup() as group:
        for number in range(CALLERS):
            # One half leaves before or while its order is sent, the other while many are at the provider.
            moment = after(once_asked if number % 2 else at_once, dice.uniform(0, 2 * LATENCY_S))
            group.create_task(call_and_hang_up(chaos, number, moment))
        await chaos.sandbox.until_asked(CALLERS // 3)
        once_asked.set()
    async with asyncio.timeout(PATIENCE_S):
        while any((await read_gauges(chaos)).values()):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)
    journal = await chaos.sandbox.journal()
    ledger = await chaos.ledger()

    paid = sum(len(entry["images"]) for entry in journal)
    assert paid > CALLERS / 4
    assert ledger["made|images"] == paid
    assert ledger["unknown|images"] == 0
    # What was sent was finished and kept: whoever asks again has it for nothing.
    again = [await order_again(chaos, number) for number in range(CALLERS) if is_in(journal, number)]
    assert {answer.headers["x-cache"] for answer in again} == {"hit"}
    assert await chaos.count_paid() == paid
    async with asyncio.timeout(PATIENCE_S):
        while count_callers(chaos, process) > 1:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.1)


def count_callers(chaos: Chaos, process: psutil.Process) -> int:
    """Return how many connections of callers are open; the test's own client keeps one."""
    port = int(chaos.gateways["a"].url.rpartition(":")[2])
    return sum(each.laddr.port == port and bool(each.raddr) for each in process.net_connections())


def is_in(journal: list[dict[str, object]], number: int) -> bool:
    return any(f"boat {number}." in str(entry["prompt"]) for entry in journal)


async def order_again(chaos: Chaos, number: int) -> httpx.Response:
    model = "dall-e-3" if number % 3 else "gpt-image-2"
    answer = await chaos.order("a", prompt=f"boat {number}.", model=model, n=1)
    assert answer is not None
    assert answer.status_code == 200
    return answer
