"""List the scenarios, in the order in which they run.

How to add one: write `measure(bench)` in a module beside this one, and add a row here. It notes what it
measures by case, lane and figure, and raises AssertionError if orders failed or did less than they claim. Its bounds are rows of
`tests/bench/targets.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass

from tests.bench.bench import Bench
from tests.bench.scenarios import (
    crowds,
    edits,
    fanout,
    files,
    hits,
    memory,
    misses,
    outages,
    replicas,
    starts,
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is tried, and the function that measures it."""

    tried: str
    measure: Callable[[Bench], None]
    is_guarded: bool = False
    """It has ratios that the guard compares."""


SCENARIOS = {
    "a": Scenario(
        "a small new image, by base64 and by URL, provider at once and after 50 ms",
        misses.measure_small,
        True,
    ),
    "b": Scenario("a new image of 1.5 MB and 3 MB, stored and delivered", misses.measure_large, True),
    "c": Scenario("an image that is known, by URL", hits.measure_link, True),
    "d": Scenario("an image of 1.5 MB that is known, by base64", hits.measure_base64, True),
    "e": Scenario("an order of ten images beside one of one", fanout.measure),
    "f": Scenario(
        "200 orders of 3 MB (4 MB of JSON) at once: memory, ten times, and a minute later", memory.measure
    ),
    "g": Scenario("1,000 equal orders at once, two gateways", crowds.measure),
    "h": Scenario("an edit of a file of 4 MB", edits.measure),
    "i": Scenario("two gateways beside one", replicas.measure),
    "j": Scenario("Redis by socket, by TCP, 5 ms away, gone", outages.measure),
    "k": Scenario("a file of 1.5 MB, whole and by range", files.measure),
    "start": Scenario("start, idle memory, --help", starts.measure),
}
