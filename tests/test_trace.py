"""Hold the way of one order: it must not wander through the house again (docs/adr/0008)."""

import subprocess
import sys

import pytest

from tests.processes import REPOSITORY

# Four of them choose a key of a backend for each call, one is the dialect of the backend, one calls the route past FastAPI,
# one is the connection to Redis that all orders share, one judges if there is time.
MOST_MODULES = 75
# 329, and on a busy machine up to 331: each of two calls chooses its key, and tells how it ended.
MOST_CHANGES = 334


# It traces every line of five orders, which takes a minute beside many other processes.
@pytest.mark.timeout(180)
def test_an_order_does_not_wander() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "tests.trace"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    ).stdout

    modules, _, changes = (int(part.split()[0]) for part in printed.splitlines()[-1].split(", "))
    assert modules <= MOST_MODULES, printed
    assert changes <= MOST_CHANGES, printed
