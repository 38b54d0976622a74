"""Measure lanes beside each other: in each round every lane once, so that a busy minute meets all of them."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from tests.bench.bench import Bench, Service
from tests.bench.load import Orders, Took, closed_loop, open_loop
from tests.bench.results import GATEWAY, Results
from tests.bench.trees import Cpu, read_cpu

CPU, VALKEY, RATE = "CPU ms", "Valkey CPU ms", "orders/s"
P50, P99 = "p50 ms", "p99 ms"
ADDED_P50, ADDED_P99 = "added p50 ms", "added p99 ms"
DIRECT = "direct"
CONNECTIONS = 16
TRIED = 2
"""Orders that tell if a lane works."""
_PATIENCE_S = 60


@dataclass(frozen=True, slots=True)
class Lane:
    """Orders to one service; a lane of the gateway has its name, and all others that of their service."""

    service: Service
    orders: Orders

    @property
    def name(self) -> str:
        return self.service.name


def usable(case: str, lanes: Sequence[Lane], bench: Bench) -> list[Lane]:
    """Return the lanes whose first orders are served; the others become notes, but a gateway must serve."""
    good = []
    for lane in lanes:
        looping = closed_loop(
            [lane.service.target], lane.orders, connections=1, seconds=_PATIENCE_S, most=TRIED
        )
        took = asyncio.run(looping)
        if took.failed and not lane.name.startswith(GATEWAY):
            bench.results.note(f"{case}: {lane.name} fails: {next(iter(took.failed))}")
        else:
            took.check()
            good.append(lane)
    return good


def measure_cpu(
    case: str, lanes: Sequence[Lane], bench: Bench, *, most: int | None = None, connections: int = CONNECTIONS
) -> Counter[str]:
    """Note CPU for each order of a closed loop, that of Valkey by itself, and orders a second; a lane sends *most* a round.

    Returns the number of orders that each lane served.
    """
    form, served = bench.form, Counter[str]()
    lanes = usable(case, lanes, bench)
    for lane in lanes:
        bench.tell(f"{case}: {lane.name} warms up")
        warm = _close(lane, form.warm_seconds * lane.service.warm, connections, most)
        served[lane.name] = TRIED + warm.count
    for number in range(form.rounds):
        rounds: dict[str, tuple[Cpu, Took]] = {}
        for lane in _shuffled(lanes, number):
            bench.tell(f"{case}: round {number + 1} of {form.rounds}, {lane.name}")
            before = read_cpu(*lane.service.pids)
            took = _close(lane, form.seconds, connections, most)
            rounds[lane.name] = (read_cpu(*lane.service.pids) - before, took)
        for lane in lanes:
            spent, took = rounds[lane.name]
            note_cpu(bench.results, case, lane.name, spent, took)
            served[lane.name] += took.count
    return served


def note_cpu(results: Results, case: str, lane: str, spent: Cpu, took: Took) -> None:
    """Note what one round took."""
    results.add(case, lane, CPU, spent.own_s / took.count * 1000)
    if spent.has_valkey:
        results.add(case, lane, VALKEY, spent.valkey_s / took.count * 1000)
    results.add(case, lane, RATE, took.count / took.seconds)


def measure_latency(case: str, lanes: Sequence[Lane], bench: Bench, *, rate_per_s: float) -> None:
    """Note latencies of an open loop with random instants, the same for each lane of a round; if one is direct, what the others add."""
    form, results = bench.form, bench.results
    lanes = usable(case, lanes, bench)
    for lane in lanes:
        bench.tell(f"{case}: {lane.name} warms up")
        _open(lane, rate_per_s, form.warm_seconds, 0)
    for number in range(form.rounds):
        took = {}
        for lane in _shuffled(lanes, number):
            bench.tell(f"{case}: round {number + 1} of {form.rounds}, {lane.name}")
            took[lane.name] = _open(lane, rate_per_s, form.open_seconds, number + 1)
        for lane in lanes:
            for figure, added, percent in ((P50, ADDED_P50, 50), (P99, ADDED_P99, 99)):
                value = took[lane.name].percentile_ms(percent)
                results.add(case, lane.name, figure, value)
                if DIRECT in took and lane.name != DIRECT:
                    results.add(case, lane.name, added, value - took[DIRECT].percentile_ms(percent))


def _close(lane: Lane, seconds: float, connections: int, most: int | None) -> Took:
    looping = closed_loop(
        [lane.service.target], lane.orders, connections=connections, seconds=seconds, most=most
    )
    return asyncio.run(looping).check()


def _open(lane: Lane, rate_per_s: float, seconds: float, seed: int) -> Took:
    looping = open_loop([lane.service.target], lane.orders, rate_per_s=rate_per_s, seconds=seconds, seed=seed)
    return asyncio.run(looping).check()


def _shuffled(lanes: Sequence[Lane], seed: int) -> list[Lane]:
    """Return the lanes in another order each round: no lane always follows the same one."""
    return random.Random(seed).sample(list(lanes), len(lanes))
