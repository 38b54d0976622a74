"""A crowd that wants the same two pictures: what is paid, how soon all have them, what a waiter costs.

Two replicas, a thousand clients at once; the provider's journal tells when the last
picture was made, on the clock all processes of a machine share.
"""

import asyncio
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from tests.end_to_end.chaos import Chaos, open_chaos, order_at_once

CLIENTS = 1000
LATENCY_S = 6.0
NAMES = ("a", "b")


async def measure() -> list[tuple[str, str]]:
    """Return what was measured, as text."""
    with TemporaryDirectory() as directory:
        async with open_chaos(Path(directory), *NAMES) as chaos:
            urls = [gateway.url for gateway in chaos.gateways.values()]
            await chaos.sandbox.behave(paint="flat")
            await order_at_once(urls, 20, _body("warm up"))
            await chaos.sandbox.behave(paint="flat", latency_s=LATENCY_S)
            idle_bytes = _memory(chaos)
            async with asyncio.TaskGroup() as group:
                ordering = group.create_task(order_at_once(urls, CLIENTS, _body("crowd")))
                await asyncio.sleep(LATENCY_S - 1)
                peak_bytes = _memory(chaos)
            journal = await chaos.sandbox.journal()
    entries = [entry for entry in journal if entry["prompt"].startswith("crowd")]
    made = sum(len(entry["images"]) for entry in entries)
    last_s = max(entry["finished_monotonic_s"] for entry in entries)
    late_s = max(answer["at_s"] for answer in ordering.result()) - last_s
    return [
        (f"images paid for {CLIENTS} identical orders of two, two replicas", f"{made}"),
        ("from the last picture to the last answer", f"{late_s * 1000:.0f} ms"),
        ("memory of a waiting order, above idle", f"{(peak_bytes - idle_bytes) / CLIENTS / 1000:.0f} kB"),
    ]


def _body(prompt: str) -> dict[str, object]:
    return {"model": "dall-e-3", "prompt": prompt, "n": 2}


def _memory(chaos: Chaos) -> int:
    return sum(psutil.Process(gateway.process.pid).memory_info().rss for gateway in chaos.gateways.values())
