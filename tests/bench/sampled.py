"""Run the gateway and note where its main thread spends its CPU, between two signals.

Run as `python -m tests.bench.sampled serve`, with `GATEWAY_DATA_DIR`. The first SIGRTMIN begins, the second writes the seconds of each
stage into `samples.json` in that directory. Every few milliseconds of CPU the kernel interrupts; the time since the last interruption is
that of the stage whose function is innermost. A clock around each function would count itself in, most of all in small ones.
"""

import gc
import os
import signal
import time
from collections import defaultdict
from pathlib import Path
from types import FrameType

import orjson

from service.__main__ import main
from tests.bench.stage_names import LOOP, name_stage

THREADS, COLLECTING, FILE = "in threads", "of all, collecting garbage", "samples.json"
_INTERVAL_S = 0.001


class Sampler:
    """Adds up the seconds of each stage."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._spent_s: defaultdict[str, float] = defaultdict(float)
        self._collecting_s = self._collects_since_s = 0.0
        self._is_on = False
        self._began = (0.0, 0.0)
        self._last_s = 0.0

    def switch(self, _number: int, _frame: FrameType | None) -> None:
        """Begin, or end and write."""
        if self._is_on:
            self._end()
        else:
            self._began = (time.process_time(), time.thread_time())
            self._last_s = self._began[1]
            gc.callbacks.append(self._note_collection)
            signal.setitimer(signal.ITIMER_PROF, _INTERVAL_S, _INTERVAL_S)
        self._is_on = not self._is_on

    def sample(self, _number: int, frame: FrameType | None) -> None:
        """Charge the CPU since the last sample to the stage that runs."""
        now_s = time.thread_time()
        self._spent_s[_stage_of(frame)] += now_s - self._last_s
        self._last_s = now_s

    def _end(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        gc.callbacks.remove(self._note_collection)
        process_s, thread_s = self._began
        main_s = time.thread_time() - thread_s
        self._spent_s[THREADS] = time.process_time() - process_s - main_s
        self._spent_s[COLLECTING] = self._collecting_s
        # Renamed, so that a reader never sees half of it.
        half = self._path.with_suffix(".half")
        half.write_bytes(orjson.dumps(self._spent_s))
        half.rename(self._path)

    def _note_collection(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._collects_since_s = time.thread_time()
        else:
            self._collecting_s += time.thread_time() - self._collects_since_s


def _stage_of(frame: FrameType | None) -> str:
    while frame is not None:
        if name := name_stage(frame.f_code.co_filename):
            return name
        frame = frame.f_back
    return LOOP


if __name__ == "__main__":
    sampler = Sampler(Path(os.environ["GATEWAY_DATA_DIR"], FILE))  # noqa: TID251 - it stands before the program that reads it
    signal.signal(signal.SIGRTMIN, sampler.switch)
    signal.signal(signal.SIGPROF, sampler.sample)
    main()
