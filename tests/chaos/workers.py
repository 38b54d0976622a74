"""Run rows in processes of their own, and tell on stderr how far each is."""

import asyncio
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from multiprocessing.queues import Queue

from tests.chaos.table import ALL, Result, run_row

_FIRST_WORKER = 8
"""The workers of a test run on the same machine have lower numbers."""


def run_rows(names: Sequence[str], *, is_short: bool, jobs: int) -> Iterator[Result]:
    """Yield the results as they come."""
    context = get_context("spawn")
    workers: Queue[int] = context.Queue()
    for number in range(jobs):
        workers.put(_FIRST_WORKER + number)
    with ProcessPoolExecutor(jobs, context, _become_worker, (workers,)) as pool:
        tasks = [pool.submit(_run_one, name, is_short) for name in names]
        for count, task in enumerate(as_completed(tasks), 1):
            result = task.result()
            verdict = "holds" if result.is_good else "FAILS"
            tell(f"[{count}/{len(names)}] {result.name}: {verdict} after {result.took_s:.0f} s")
            for fault in result.failed:
                tell(f"    {fault}")
            yield result


def tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _become_worker(workers: "Queue[int]") -> None:
    """Take ports of its own, as a worker of pytest-xdist does."""
    os.environ["PYTEST_XDIST_WORKER"] = f"gw{workers.get()}"  # noqa: TID251 - tests.processes reads it


def _run_one(name: str, is_short: bool) -> Result:
    return asyncio.run(run_row(ALL[name], is_short=is_short, tell=lambda text: tell(f"  {name}: {text} ...")))
