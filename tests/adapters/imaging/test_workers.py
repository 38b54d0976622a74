"""Workers: callers take turns, and one that hangs, dies or grows costs its own job."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import psutil
import pytest
import uvloop

from service.adapters.imaging.images import WorkerImages
from service.adapters.imaging.processes import Bounds, Job, WorkerFailed, Workers, WorkersBusy
from service.adapters.imaging.turns import Turns
from service.domain.images import Cutout, Finish
from service.ports.imaging import ImageBroken, ImagingBusy
from service.ports.telemetry import ImageUnprocessed
from service.ports.turns import TooManyWait
from tests.adapters.imaging.test_images import file_of, marked, workers
from tests.adapters.imaging.test_inputs import spool
from tests.fakes.telemetry import FakeTelemetry
from tests.http.house import mask_with_hole, noise, until
from tests.processes import REPOSITORY, START_S


@pytest.fixture
def telemetry() -> FakeTelemetry:
    return FakeTelemetry()


@contextlib.asynccontextmanager
async def a_pool(bounds: Bounds) -> AsyncIterator[Workers]:
    async with contextlib.aclosing(Workers(bounds)) as pool:
        yield pool


def resampling(file: bytes, edge: int) -> Job:
    fields = {"size": (edge, edge), "kind": "png"}
    return Job("finish", fields, file)


def hanging(directory: Path) -> Job:
    """Return a job that waits for ever: it opens a pipe without a writer."""
    pipe = directory / "pipe"
    os.mkfifo(pipe)
    return Job("has_transparent_pixel", {"image": str(pipe)})


async def test_a_worker_that_hangs_is_killed_and_the_next_job_is_done(tmp_path: Path) -> None:
    before = workers()
    async with a_pool(Bounds(workers=1, job_s=START_S)) as pool:
        await pool.do("caller", resampling(marked(64, 64), 32))
        pool._bounds = Bounds(workers=1, job_s=0.2)

        with pytest.raises(WorkerFailed, match="timed_out"):
            await pool.do("caller", hanging(tmp_path))

        assert workers() <= before


async def test_a_job_that_takes_a_worker_with_it_is_tried_twice(tmp_path: Path) -> None:
    """Once more, since the kernel may have meant another process; not for ever, since it may be the job."""
    before, killed = workers(), set[int]()

    async def fail() -> None:
        with pytest.raises(WorkerFailed, match="died"):
            await pool.do("caller", hanging(tmp_path))

    async with a_pool(Bounds(workers=1)) as pool, asyncio.TaskGroup() as group:
        failing = group.create_task(fail())
        while not failing.done():
            for pid in workers() - before - killed:
                os.kill(pid, signal.SIGKILL)
                killed.add(pid)
            await asyncio.sleep(0.01)

    assert len(killed) == 2


async def test_a_job_above_the_memory_bound_fails_and_its_worker_lives() -> None:
    before = workers()
    async with a_pool(Bounds(workers=1)) as pool:
        with pytest.raises(WorkerFailed, match="memory"):
            await pool.do("caller", resampling(marked(64, 64), 20_000))

        [pid] = workers() - before
        print(f"a worker: {psutil.Process(pid).memory_info().rss / 1024**2:.0f} MB")  # noqa: T201 - a measured figure
        assert (await pool.do("caller", resampling(marked(64, 64), 32))).is_whole


async def test_idle_workers_end() -> None:
    before = workers()
    async with a_pool(Bounds(workers=1, idle_s=0.05)) as pool:
        await pool.do("caller", resampling(marked(64, 64), 32))
        async with asyncio.timeout(START_S):
            while workers() - before:  # noqa: ASYNC110 - a process tells nobody
                await asyncio.sleep(0.02)

        assert (await pool.do("caller", resampling(marked(64, 64), 32))).is_whole


async def test_a_worker_knows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    before = workers()
    async with a_pool(Bounds(workers=1)) as pool:
        await pool.do("caller", resampling(marked(64, 64), 32))

        [pid] = workers() - before
        assert set(psutil.Process(pid).environ()) <= {"PYTHONPATH", "LC_CTYPE"}


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("is_killed", [True, False])
def test_an_idle_worker_that_is_gone_costs_nothing(run: Callable[..., None], *, is_killed: bool) -> None:
    """Whether its end or that of its pipe is noticed first, on the event loop that serves, too."""

    async def lose_it() -> None:
        async with a_pool(Bounds(workers=1)) as pool:
            await pool.do("caller", resampling(marked(64, 64), 32))
            [worker] = pool._idle
            if is_killed:
                worker.process.kill()
            else:
                worker.dismiss()
                await asyncio.sleep(0)

            assert (await pool.do("caller", resampling(marked(64, 64), 32))).is_whole

    run(lose_it())


@pytest.mark.parametrize(
    "bounds", [Bounds(workers=1, waiting=0), Bounds(workers=1, wait_s=0.1)], ids=["full", "too long"]
)
async def test_the_queue_for_a_worker_has_an_end(tmp_path: Path, bounds: Bounds) -> None:
    async with a_pool(bounds) as pool, asyncio.TaskGroup() as group:
        hung = group.create_task(pool.do("caller", hanging(tmp_path)))
        await asyncio.sleep(0)

        with pytest.raises(WorkersBusy):
            await pool.do("other", resampling(marked(64, 64), 32))

        hung.cancel()


async def test_callers_take_turns() -> None:
    """One image of a caller waits for one of another, not for twenty."""
    turns, served = Turns(1, most_waiting=100, most_of_one=100), []

    async def work(caller: str) -> None:
        async with turns.place(caller):
            served.append(caller)
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        for caller in [*["many"] * 20, "few", "few", "one"]:
            group.create_task(work(caller))

    assert served[:6] == ["many", "many", "few", "one", "many", "few"]
    assert len(served) == 23


async def test_one_caller_does_not_fill_the_queue() -> None:
    turns = Turns(1, most_waiting=100, most_of_one=2)

    async def work(caller: str) -> str:
        try:
            async with turns.place(caller):
                await asyncio.sleep(0.01)
                return "done"
        except TooManyWait:
            return "refused"

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(work(caller)) for caller in [*["many"] * 5, "one"]]

    assert [task.result() for task in tasks] == ["done", "done", "done", "refused", "refused", "done"]


async def test_who_leaves_the_queue_loses_no_place() -> None:
    turns = Turns(1, most_waiting=100, most_of_one=100)
    async with asyncio.TaskGroup() as group:

        async def work() -> None:
            async with turns.place("caller"):
                await asyncio.sleep(0.01)

        tasks = [group.create_task(work()) for _ in range(3)]
        await asyncio.sleep(0)
        tasks[1].cancel()

    async with asyncio.timeout(START_S), turns.place("caller"):
        assert tasks[2].done()


async def test_a_paid_image_waits_for_one_of_another_caller_not_for_all(telemetry: FakeTelemetry) -> None:
    file, ended = marked(512, 512), list[str]()

    async def finish(holder: str) -> None:
        await images.finish(file, Finish(256, 256), holder)
        ended.append(holder)

    finishing = Bounds(workers=1)
    async with (
        contextlib.aclosing(WorkerImages(telemetry=telemetry, finishing=finishing)) as images,
        asyncio.TaskGroup() as group,
    ):
        for holder in [*["many"] * 6, "one"]:
            group.create_task(finish(holder))

    assert ended.index("one") <= 2


_PARENT = """
import asyncio, os, signal
from service.adapters.imaging.processes import Bounds, Job, Workers

async def main():
    pool = Workers(Bounds(workers=1))
    async with asyncio.TaskGroup() as group:
        group.create_task(pool.do("caller", Job("has_transparent_pixel", {"image": PIPE})))
        while not pool._alive:
            await asyncio.sleep(0.01)
        print([worker.process.pid for worker in pool._alive][0], flush=True)
        await asyncio.sleep(0.5)
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main())
"""


def test_a_busy_worker_ends_with_a_killed_gateway(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    script = _PARENT.replace("PIPE", repr(str(tmp_path / "pipe")))

    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=REPOSITORY, stdout=subprocess.PIPE, check=False
    )

    assert ended.returncode == -signal.SIGKILL
    until(lambda: not psutil.pid_exists(int(ended.stdout)) or is_zombie(int(ended.stdout)))


def is_zombie(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


async def test_a_paid_image_is_kept_as_it_is_when_its_worker_fails(telemetry: FakeTelemetry) -> None:
    file = marked(1024, 1024)
    async with contextlib.aclosing(
        WorkerImages(telemetry=telemetry, finishing=Bounds(workers=1, job_s=0.001))
    ) as images:
        result = await images.finish(file, Finish(256, 256), "holder")

    assert (result.data, result.format, result.width, result.height) == (file, "png", 1024, 1024)
    assert telemetry.facts == [ImageUnprocessed(origin="provider", reason="timed_out")]


async def test_a_paid_image_is_kept_as_it_is_without_its_input(tmp_path: Path, imaging: WorkerImages) -> None:
    file = marked(64, 64)
    image = spool(imaging, tmp_path, file_of(noise(64))[:200])
    mask = spool(imaging, tmp_path, file_of(mask_with_hole(64)), "mask")

    result = await imaging.finish(file, Finish(64, 64, Cutout(image, mask)), "holder")

    assert result.data == file


async def test_a_callers_image_that_a_worker_cannot_process_is_refused(
    tmp_path: Path, telemetry: FakeTelemetry
) -> None:
    checking = Bounds(workers=1, job_s=0.001)
    async with contextlib.aclosing(WorkerImages(telemetry=telemetry, checking=checking)) as images:
        image = spool(images, tmp_path, file_of(noise(64, mode="RGBA")))
        with pytest.raises(ImageBroken):
            await images.check_transparency(image, "caller")


async def test_callers_images_that_cannot_wait_are_told_so(tmp_path: Path, telemetry: FakeTelemetry) -> None:
    checking = Bounds(workers=1, waiting=0)
    async with (
        contextlib.aclosing(WorkerImages(telemetry=telemetry, checking=checking)) as images,
        asyncio.TaskGroup() as group,
    ):
        image = spool(images, tmp_path, file_of(noise(64, mode="RGBA")))
        first = group.create_task(images.check_transparency(image, "caller"))
        await asyncio.sleep(0)
        with pytest.raises(ImagingBusy):
            await images.check_transparency(image, "caller")
    assert telemetry.facts == [ImageUnprocessed(origin="caller", reason="busy")]
    assert first.result().has_alpha
