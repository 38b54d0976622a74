"""Run imaging workers: a few child processes, started with the first job, stopped when idle, killed when stuck.

Failure behaviour: a worker that dies, hangs or needs too much memory costs its own job, never this process.
"""

import asyncio
import contextlib
import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

from service.adapters.imaging.turns import Turns
from service.adapters.imaging.worker import ANSWER_FRAME, JOB_FRAME, Verdict
from service.ports.telemetry import WorkerTrouble
from service.ports.turns import TooManyWait

_COMMAND = (sys.executable, "-P", "-m", "service.adapters.imaging.worker")
_MOST_ANSWER_BYTES = 256 * 1024 * 1024
"""More than the pixels of the largest image."""


class WorkerFailed(Exception):
    """A job has no result."""

    def __init__(self, reason: WorkerTrouble) -> None:
        super().__init__(reason)
        self.reason = reason


class WorkersBusy(WorkerFailed):
    """So many jobs wait that another one is not taken."""


class _Died(WorkerFailed):
    """The worker ended without an answer."""


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work: a function of `pixels.py`, its arguments, and the bytes of an image."""

    name: str
    fields: dict[str, Any]
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Answer:
    """The bytes of a result, or the word for a failure."""

    verdict: Verdict
    data: bytes

    @property
    def is_whole(self) -> bool:
        """Tell if the image of the job can be decoded."""
        return self.verdict is not Verdict.BROKEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Bounds of a pool: the number of workers, jobs that wait in all and of one caller, and times."""

    workers: int
    waiting: int = 1024
    waiting_of_one: int = 1024
    wait_s: float = 120.0
    job_s: float = 60.0
    idle_s: float = 30.0


class Workers:
    """A pool of workers, for which callers take turns."""

    def __init__(self, bounds: Bounds) -> None:
        self._bounds = bounds
        self._turns = Turns(bounds.workers, most_waiting=bounds.waiting, most_of_one=bounds.waiting_of_one)
        self._idle: list[_Worker] = []
        self._alive: set[_Worker] = set()

    async def do(self, caller: str, job: Job) -> Answer:
        """Return the answer to *job*, in the turn of its *caller*.

        Raises:
            WorkersBusy: too many jobs wait.
            WorkerFailed: the worker died, or took too much time or memory.
        """
        try:
            async with asyncio.timeout(self._bounds.wait_s) as waiting, self._turns.place(caller):
                waiting.reschedule(None)
                try:
                    return await self._try(job)
                except _Died:
                    # The kernel kills processes for want of memory, and not always the guilty one.
                    return await self._try(job)
        except (TooManyWait, TimeoutError) as error:
            raise WorkersBusy("busy") from error

    async def aclose(self) -> None:
        """Kill the workers, and what they do."""
        for worker in list(self._alive):
            await worker.kill()

    async def _try(self, job: Job) -> Answer:
        worker = await self._take()
        is_answered = False
        try:
            async with asyncio.timeout(self._bounds.job_s):
                answer = await worker.do(job)
            is_answered = True
        except TimeoutError as error:
            raise WorkerFailed("timed_out") from error
        finally:
            if not is_answered:
                # The rest of its answer would pass for the next one's.
                await worker.kill()
        self._rest(worker)
        if answer.verdict is Verdict.FAILED:
            raise WorkerFailed("memory" if answer.data == b"MemoryError" else "failed")
        return answer

    async def _take(self) -> "_Worker":
        self._alive = {worker for worker in self._alive if worker.process.returncode is None}
        while self._idle:
            worker = self._idle.pop()
            if worker.retirement is not None:
                worker.retirement.cancel()
            if worker in self._alive:
                return worker
        worker = _Worker(await _start())
        self._alive.add(worker)
        return worker

    def _rest(self, worker: "_Worker") -> None:
        self._idle.append(worker)
        loop = asyncio.get_running_loop()
        worker.retirement = loop.call_later(self._bounds.idle_s, self._retire, worker)

    def _retire(self, worker: "_Worker") -> None:
        self._idle.remove(worker)
        worker.dismiss()


@dataclass(slots=True, eq=False)
class _Worker:
    """One child process."""

    process: asyncio.subprocess.Process
    retirement: asyncio.TimerHandle | None = field(default=None)

    async def do(self, job: Job) -> Answer:
        jobs, answers = self.process.stdin, self.process.stdout
        if jobs is None or answers is None:
            raise AssertionError("the worker has no pipes")
        head = json.dumps({"name": job.name, "fields": job.fields}).encode()
        try:
            jobs.write(JOB_FRAME.pack(len(head), len(job.data)) + head)
            if job.data:
                jobs.write(job.data)
            await jobs.drain()
            number, size_bytes = ANSWER_FRAME.unpack(await answers.readexactly(ANSWER_FRAME.size))
            if size_bytes > _MOST_ANSWER_BYTES:
                raise _Died("died")
            return Answer(Verdict(number), await answers.readexactly(size_bytes))
        except (OSError, RuntimeError, asyncio.IncompleteReadError, ValueError) as error:
            # uvloop raises RuntimeError for a pipe that is closed.
            raise _Died("died") from error

    def dismiss(self) -> None:
        """Let the worker end by itself: no job follows."""
        if self.process.stdin is not None:
            self.process.stdin.close()

    async def kill(self) -> None:
        if self.retirement is not None:
            self.retirement.cancel()
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        await self.process.wait()


async def _start() -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *_COMMAND,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # No secret of this process reaches a decoder.
            env={"PYTHONPATH": os.pathsep.join(sys.path)},
            # Ctrl-C is for the gateway.
            start_new_session=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        # No process or memory is available.
        raise WorkerFailed("not_started") from error
