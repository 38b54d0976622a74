"""The bench as a whole, so short that its figures mean nothing: orders are served, counted and stored."""

import subprocess
import sys
from contextlib import ExitStack

import pytest

from tests.bench.bench import Bench
from tests.bench.cores import Cores, choose_cores, on_cores
from tests.bench.form import Form
from tests.bench.rounds import CPU, RATE, VALKEY
from tests.bench.scenarios import hits

TINY = Form(rounds=2, seconds=0.05, warm_seconds=0.05, is_guard=True)


@pytest.mark.slow
def test_hits_are_measured_beside_the_floor() -> None:
    """It raises if an order fails, or if equal orders left two images."""
    with ExitStack() as stack:
        bench = Bench(stack, Cores(), TINY, lambda _: None)
        hits.measure_link(bench)

    assert bench.results.lanes(hits.HIT_LINK) == ["gateway", "floor"]
    for lane in bench.results.lanes(hits.HIT_LINK):
        assert all(
            len(bench.results.values(hits.HIT_LINK, lane, figure)) == 2 for figure in (CPU, VALKEY, RATE)
        )
        assert all(value > 0 for value in bench.results.values(hits.HIT_LINK, lane, RATE))
    assert bench.results.notes == []


def test_a_peer_that_cannot_start_is_named() -> None:
    with ExitStack() as stack:
        bench = Bench(stack, Cores(), TINY, lambda _: None)
        stack.enter_context(pytest.MonkeyPatch.context()).setenv("PATH", "")

        assert bench.peers("Portkey") == []
        assert bench.results.notes == [
            "Portkey is not measured: it needs Node.js (sudo apt-get install nodejs npm)"
        ]


def test_processes_of_a_core_start_there() -> None:
    cores = choose_cores()
    with on_cores(cores.measured):
        code = "import os; print(sorted(getattr(os, 'sched_getaffinity', lambda _: ())(0)))"
        found = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout

    assert not cores.measured or found.strip() == str(sorted(cores.measured))
    assert not cores.measured or cores.measured != cores.load
