"""Run rows, some at a time in processes of their own and those that wait in this one; tell on stderr how far each is."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from multiprocessing.queues import Queue

from tests.chaos.table import ALL, Result, run_row

_FIRST_WORKER = 7
"""The workers of a test run on the same machine have lower numbers."""


async def run_rows(names: Sequence[str], *, is_short: bool, jobs: int) -> AsyncIterator[Result]:
    """Yield the results as they come.

    *jobs* rows run at a time; if that is more than one, all rows that wait run beside them, in this process.
    """
    context = get_context("spawn")
    workers: Queue[int] = context.Queue()
    for number in range(1 + jobs):
        workers.put(_FIRST_WORKER + number)
    _become_worker(workers)
    with ProcessPoolExecutor(jobs, context, _become_worker, (workers,)) as pool:
        loop = asyncio.get_running_loop()
        waiting = [name for name in names if ALL[name].waits and jobs > 1]
        tasks = [
            *(loop.create_task(_run(name, is_short)) for name in waiting),
            *(
                loop.run_in_executor(pool, _run_alone, name, is_short)
                for name in names
                if name not in waiting
            ),
        ]
        for count, task in enumerate(asyncio.as_completed(tasks), 1):
            result = await task
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


def _run_alone(name: str, is_short: bool) -> Result:
    return asyncio.run(_run(name, is_short))


async def _run(name: str, is_short: bool) -> Result:
    return await run_row(ALL[name], is_short=is_short, tell=lambda text: tell(f"  {name}: {text} ..."))
