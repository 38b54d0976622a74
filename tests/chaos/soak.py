"""`make soak`: ten minutes of mixed orders while each part fails in turn; then memory, remains and books are judged.

Prints a line every ten seconds, and the figures at the end. Ends with 1 if one is not as it should be.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.books import read_remains
from tests.chaos.finding import Finding
from tests.chaos.ground import Ground, memory_mb, open_ground
from tests.chaos.mixed import Site, keep_breaking, keep_ordering, open_site
from tests.chaos.workers import tell

_MOST_MB_PER_MIN = 1.0
_SLOPE_OVER = 1 / 3
"""The last part of the run over which the growth of memory is measured."""
_SHORTEST_SLOPE_S = 100
"""A shorter measurement tells more about the allocator than about a leak."""
_SETTLED_S = 75
"""Longer than a lease and the sweep that follows it."""

_EXAMPLES = """
examples:
  make soak                                  ten minutes
  make soak ARGS="--seconds 90"              a minute and a half; the growth of memory is only printed

Two gateways share a Valkey and a store; ten callers order new images, many at once, equal ones, cached ones, edits
and streams, and some hang up. Every few seconds one part fails: the provider (errors, resets, silence), Redis (hangs,
is killed), a replica (is replaced, is killed), the store (is full; as root only). Afterwards nothing may be left in
flight, held, claimed or unsettled, and the ledger must have as many images as the provider charges for or may charge
for, also of each kill.
"""


async def soak(ground: Ground, finding: Finding, seconds: float) -> None:
    """Run the load and the faults for *seconds*, and judge what they leave."""
    site = await open_site(ground)
    began_s = time.monotonic()
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(_watch(site, began_s, seconds))
        group.create_task(keep_ordering(site, began_s + seconds))
        group.create_task(keep_breaking(site, began_s + seconds))
    finding.note(f"{site.answers.total()} answers {dict(site.answers.most_common())}")
    finding.equal("500s", site.answers["500"] + site.answers["internal"], 0)
    finding.equal("orders without an answer", site.answers["0"], 0)
    _judge_memory(finding, watching.result(), began_s + seconds * (1 - _SLOPE_OVER))
    await _judge_remains(site, finding)
    await _judge_books(site, finding)


async def _watch(site: Site, began_s: float, seconds: float) -> list[tuple[float, float]]:
    """Return the memory of the first replica over time, and tell how far the run is."""
    samples: list[tuple[float, float]] = []
    while (now_s := time.monotonic()) < began_s + seconds:
        samples.append((now_s, memory_mb(site.gateways[0])))
        if len(samples) % 10 == 1:
            site.ground.tell(
                f"{now_s - began_s:4.0f} of {seconds:.0f} s: {site.answers.total()} answers, {site.answers['200']} good, "
                f"{site.billable} images billed, {samples[-1][1]:.0f} MB; fault: {site.fault}"
            )
        await asyncio.sleep(1)
    return samples


def _judge_memory(finding: Finding, samples: Sequence[tuple[float, float]], since_s: float) -> None:
    late = [(at_s / 60, mb) for at_s, mb in samples if at_s >= since_s]
    slope = statistics.linear_regression(*zip(*late, strict=True)).slope
    finding.note(
        f"memory {samples[0][1]:.0f} to {samples[-1][1]:.0f} MB, at most {max(mb for _, mb in samples):.0f}"
    )
    if (late[-1][0] - late[0][0]) * 60 < _SHORTEST_SLOPE_S:
        finding.note(f"grows by {slope:.1f} MB a minute (too short to judge)")
    else:
        finding.at_most("grows by MB a minute at the end", slope, _MOST_MB_PER_MIN)


async def _judge_remains(site: Site, finding: Finding) -> None:
    """Wait until nothing is left, as long as a lease and its sweep may take."""
    redis = await site.ground.redis(site.valkey)
    end_s = time.monotonic() + _SETTLED_S
    while True:
        remains = await read_remains(
            redis, *(site.ground.directory / f"replica-{number}" for number in range(2))
        )
        for gateway in site.gateways:
            remains["in flight"] += int(await site.ground.metric(gateway.url, "imagegw_in_flight"))
        if not +remains or time.monotonic() > end_s:
            break
        await asyncio.sleep(1)
    finding.equal(f"left {time.monotonic() - end_s + _SETTLED_S:.0f} s after the end", dict(+remains), {})


async def _judge_books(site: Site, finding: Finding) -> None:
    url = site.gateways[0].url
    booked = await site.ground.booked(url)
    for kill in site.kills:
        booked += await kill.judge(site.ground, finding, url)
    fates = {fate: site.provider.count(fate) for fate in ("made", "failed", "reset", "hung", "left", "open")}
    finding.note(f"calls {fates}, ledger {dict(booked)}")
    finding.equal(f"booked of {site.billable} billed", booked["made"] + booked["unknown"], site.billable)
    finding.at_most("booked as made", booked["made"], site.provider.paid)


async def run(seconds: float) -> Finding:
    """Soak in a temporary directory."""
    finding = Finding()
    with tempfile.TemporaryDirectory(prefix="ig-soak-", ignore_cleanup_errors=True) as directory:
        async with open_ground(Path(directory), is_short=False, tell=tell) as ground:
            await soak(ground, finding, seconds)
    return finding


def main() -> int:
    """Soak for as long as the command line says, and print the figures."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.soak",
        description="Order for minutes while each part fails in turn, and judge what is left.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=600, help="how long orders are sent (600)")
    finding = asyncio.run(run(parser.parse_args().seconds))
    print("\n".join(finding.figures))
    print(f"\n{len(finding.failed)} figures are not as they should be." if finding.failed else "\nAll holds.")
    return 1 if finding.failed else 0


if __name__ == "__main__":
    sys.exit(main())
