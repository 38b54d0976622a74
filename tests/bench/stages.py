"""`make bench ARGS=stages`: where the CPU of an order goes, stage by stage.

Samples of the main thread (`sampled.py`), 16 connections, one gateway for each kind of order; two minutes. Prints a Markdown table.
"""

import asyncio
import os
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import orjson

from tests.bench.bench import Bench
from tests.bench.cores import choose_cores, on_cores
from tests.bench.form import Form
from tests.bench.load import Orders, closed_loop
from tests.bench.rounds import CONNECTIONS
from tests.bench.sampled import COLLECTING, FILE, THREADS
from tests.bench.scenarios.orders import BASE64, LARGE_BYTES, LINK, SMALL_BYTES, fresh, same
from tests.bench.stage_names import stages
from tests.processes import Gateway

_WARM_S, _SAMPLED_S, _PATIENCE_S = 3.0, 10.0, 20.0


def print_stages(seconds: float = _SAMPLED_S) -> None:
    """Measure and print."""
    kinds = {
        "small miss": fresh(BASE64, SMALL_BYTES),
        "hit, URL": same(LINK, SMALL_BYTES),
        "1.5 MB miss": fresh(BASE64, LARGE_BYTES),
        "1.5 MB hit": same(BASE64, LARGE_BYTES),
    }
    cores = choose_cores()
    with on_cores(cores.load), ExitStack() as stack:
        bench = Bench(stack, cores, Form(), lambda _: None)
        found = {name: _measure(bench, orders, seconds) for name, orders in kinds.items()}
    sys.stdout.write("\n".join(write_stages(found)) + "\n")


def write_stages(found: dict[str, dict[str, float]]) -> list[str]:
    """Return a Markdown table: microseconds of each stage for one order, and its share of all CPU but Valkey's."""
    lines = [f"| µs of CPU (share) | {' | '.join(found)} |", f"| --- |{' --- |' * len(found)}"]
    totals = {
        kind: sum(us for name, us in spent.items() if name != COLLECTING) for kind, spent in found.items()
    }
    for name in (*stages(), THREADS, COLLECTING):
        cells = [
            f"{spent.get(name, 0):.0f} ({spent.get(name, 0) / totals[kind]:.0%})"
            for kind, spent in found.items()
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    lines.append(f"| all | {' | '.join(f'{total:.0f}' for total in totals.values())} |")
    return lines


def _measure(bench: Bench, orders: Orders, seconds: float) -> dict[str, float]:
    """Return the microseconds of each stage for one order."""
    with ExitStack() as stack:
        house = bench.open_house(stack, program="tests.bench.sampled")
        [gateway] = house.gateways

        def order(seconds: float) -> int:
            looping = closed_loop(house.targets, orders, connections=CONNECTIONS, seconds=seconds)
            return asyncio.run(looping).check().count

        order(_WARM_S)
        os.kill(gateway.process.pid, signal.SIGRTMIN)
        count = order(seconds)
        os.kill(gateway.process.pid, signal.SIGRTMIN)
        return {name: spent_s / count * 1e6 for name, spent_s in _read(gateway).items()}


def _read(gateway: Gateway) -> dict[str, float]:
    path, deadline_s = Path(gateway.log.parent, FILE), time.monotonic() + _PATIENCE_S
    while not path.exists():
        if time.monotonic() > deadline_s:
            raise AssertionError(f"the gateway wrote no samples:\n{gateway.log.read_text('utf-8')[-2000:]}")
        time.sleep(0.02)
    return dict(orjson.loads(path.read_bytes()))
