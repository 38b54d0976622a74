"""i: two gateways beside one, with one Valkey; all cores are theirs, shared with load and provider."""

import asyncio
from contextlib import ExitStack

from tests.bench.bench import Bench
from tests.bench.load import closed_loop
from tests.bench.rounds import note_cpu
from tests.bench.scenarios.orders import LINK, SMALL_BYTES, fresh
from tests.bench.trees import read_cpu

CASE = "i two gateways beside one, small miss, URL, not pinned"
_CONNECTIONS = 32


def measure(bench: Bench) -> None:
    """Measure orders a second and CPU."""
    with ExitStack() as stack:
        houses = {
            "one gateway": bench.open_house(stack, cores=bench.cores.both),
            "two gateways": bench.open_house(stack, cores=bench.cores.both, gateways=2),
        }
        for number in range(bench.form.rounds + 1):
            for lane, house in houses.items():
                bench.tell(f"{CASE}: round {number} of {bench.form.rounds}, {lane}")
                before = read_cpu(*house.pids)
                looping = closed_loop(
                    house.targets,
                    fresh(LINK, SMALL_BYTES),
                    connections=_CONNECTIONS,
                    seconds=bench.form.seconds,
                )
                took = asyncio.run(looping).check()
                spent = read_cpu(*house.pids) - before
                # The first round warms up.
                if number:
                    note_cpu(bench.results, CASE, lane, spent, took)
