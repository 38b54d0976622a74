"""`make bench ARGS=capacity`: the figures from which `docs/capacity.md` extrapolates, and the extrapolation.

Takes about five minutes. CPU and bytes are means of real orders against a provider that
costs nothing; memory in Redis is counted key by key. Prints Markdown tables.
"""

import math
import platform
import sys
from collections.abc import Iterable, Sequence

import psutil

from tests.bench.costs import Cost, measure_costs
from tests.bench.flight import Flight, Trial, measure_flight, measure_replicas
from tests.bench.keyspace import Kept, measure_keyspace

_LARGE_BYTES, _LARGEST_BYTES = 1_500_000, 4_000_000
_BUSY = 0.7
"""Share of a core that a gateway may use: above it orders wait for each other."""
_CALL_S = 30
"""Time of one call at the provider."""
_RATES_PER_MIN = (100, 1_000, 10_000)
_TRIAL_PER_S = 20


def measure_capacity() -> None:
    """Measure and print."""
    memory_gib = psutil.virtual_memory().total / 2**30
    _print(
        [
            f"{platform.machine()}, {psutil.cpu_count()} cores, {memory_gib:.0f} GiB, Python {platform.python_version()}\n"
        ]
    )
    costs = [
        cost
        for size_bytes, size, count in (
            (5_000, "5 kB", 400),
            (_LARGE_BYTES, "1.5 MB", 80),
            (_LARGEST_BYTES, "4 MB", 32),
        )
        for cost in measure_costs(size_bytes, size, count)
    ]
    _print(_costs(costs))
    flights = [
        measure_flight(5_000, "url", 1000, "1000 orders, 5 kB, URL"),
        measure_flight(_LARGE_BYTES, "url", 200, "200 orders, 1.5 MB, URL"),
        measure_flight(_LARGE_BYTES, "b64_json", 200, "200 orders, 1.5 MB, base64"),
        measure_flight(_LARGEST_BYTES, "b64_json", 100, "100 orders, 4 MB, base64"),
    ]
    _print(_flights(flights))
    kept, order_bytes = measure_keyspace()
    _print(_keyspace(kept, order_bytes))
    [miss] = [cost for cost in costs if cost.name == "miss, URL, 1.5 MB"]
    trial = measure_replicas(_LARGE_BYTES, _TRIAL_PER_S, 20)
    _print(_trial(miss, trial))
    _print(_projection(trial, kept))


def _costs(costs: Iterable[Cost]) -> Iterable[str]:
    yield from _head(
        "order",
        "gateway, CPU ms",
        "orders a minute and core",
        "Redis, CPU µs",
        "commands, with those of scripts",
        "kB in",
        "kB out",
    )
    for cost in costs:
        yield _row(
            cost.name,
            f"{cost.gateway_ms:.2f}",
            f"{60_000 / cost.gateway_ms:,.0f}",
            f"{cost.redis_us:.0f}",
            f"{cost.commands:.1f}",
            f"{cost.in_bytes / 1000:,.1f}",
            f"{cost.out_bytes / 1000:,.1f}",
        )


def _flights(flights: Iterable[Flight]) -> Iterable[str]:
    yield from _head(
        "in flight at once", "kB of a waiting order", "MB above idle when all images arrive together"
    )
    for one in flights:
        yield _row(one.name, f"{one.waiting_bytes / 1000:.0f}", f"{one.peak_bytes / 1e6:.0f}")


def _keyspace(kept: Iterable[Kept], order_bytes: float) -> Iterable[str]:
    yield from _head("in Redis", "bytes", "kept")
    for one in kept:
        yield _row(one.thing, f"{one.item_bytes:.0f}", _time(one.kept_s))
    yield _row("all that one order left after its end", f"{order_bytes:.0f}", "")


def _projection(trial: Trial, kept: Sequence[Kept]) -> Iterable[str]:
    """Extrapolate the trial: every order is a miss for a link to one image of 1.5 MB, and every prompt is new."""
    gateway_s, redis_s = [
        (busy - idle) / trial.rate_per_s for idle, busy in zip(trial.idle, trial.busy, strict=True)
    ]
    size = {one.thing: one.item_bytes for one in kept}
    lasting = ("reference of an image", "age of a reference", "pool with one variant")
    yield from _head(
        "images a minute",
        "gateways' cores",
        "replicas",
        "Redis' core",
        "calls in flight",
        "store, MB/s",
        "store, TB a day",
        "Redis, GB: markers of a week",
        "Redis, GB for each day that images are kept",
    )
    for rate in _RATES_PER_MIN:
        cores = rate / 60 * gateway_s
        yield _row(
            f"{rate:,}",
            f"{cores:.2f}",
            f"{math.ceil(cores / _BUSY) + 1}",
            f"{rate / 60 * redis_s:.3f}",
            f"{rate * _CALL_S / 60:,.0f}",
            f"{rate * _LARGE_BYTES / 60e6:,.1f}",
            f"{rate * 1440 * _LARGE_BYTES / 1e12:,.2f}",
            f"{rate * 1440 * 7 * size['marker of a settlement'] / 1e9:.2f}",
            f"{rate * 1440 * sum(size[name] for name in lasting) / 1e9:.2f}",
        )


def _trial(miss: Cost, trial: Trial) -> Iterable[str]:
    costs_s = (miss.gateway_ms / 1e3, miss.redis_us / 1e6)
    expected = [idle + trial.rate_per_s * cost_s for idle, cost_s in zip(trial.idle, costs_s, strict=True)]
    yield from _head(
        f"two replicas, {trial.rate_per_s * 60:,.0f} misses a minute, URL, 1.5 MB",
        "idle",
        "expected",
        "measured",
    )
    for place, name in enumerate(("both gateways, share of a core", "Redis, share of a core")):
        yield _row(name, *[f"{share[place]:.3f}" for share in (trial.idle, expected, trial.busy)])


def _time(seconds: float) -> str:
    if seconds <= 0:
        return "until it is deleted"
    return f"{seconds / 86400:.0f} d" if seconds > 86400 else f"{seconds:.0f} s"


def _head(*names: str) -> Iterable[str]:
    return (_row(*names), _row(*["---"] * len(names)))


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _print(lines: Iterable[str]) -> None:
    sys.stdout.write("\n".join(lines) + "\n\n")
    sys.stdout.flush()
