"""Search for garbage rarely, and find it all the same."""

import subprocess
import sys

import pytest

COUNTED = """
import gc, sys
from service.serve.garbage import collect_rarely
if sys.argv[1] == "rarely":
    collect_rarely()
gc.collect()
before = gc.get_stats()[0]["collections"]
kept = [[] for _ in range(8_000)]
while_kept = gc.get_stats()[0]["collections"] - before
for _ in range(100_000):
    (circle := []).append(circle)
print(while_kept, sum(each["collected"] for each in gc.get_stats()))
"""


@pytest.mark.parametrize(("how", "least", "most"), [("as it is", 2, 12), ("rarely", 0, 1)])
def test_orders_under_way_are_not_searched_for_garbage(how: str, least: int, most: int) -> None:
    result = subprocess.run([sys.executable, "-c", COUNTED, how], capture_output=True, text=True, check=True)

    searches, collected = map(int, result.stdout.split())
    assert least <= searches <= most
    assert collected > 80_000
