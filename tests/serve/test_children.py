"""Keep children alive: their start, their failures, and failures beside them."""

import asyncio
import logging
import sys
from pathlib import Path

import pytest

from service.serve.children import ChildFailed, kept_alive

SLEEPER = [sys.executable, "-c", "print('ready', flush=True); input()"]
STILLBORN = [sys.executable, "-c", "pass"]
PROGRAM = "#!/bin/sh\necho ready\nread end\n"


async def is_ready(process: asyncio.subprocess.Process) -> None:
    assert process.stdout is not None
    if await process.stdout.readline() != b"ready\n":
        raise ChildFailed


class Watcher(logging.Handler):
    """Tells when something is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.reasons: asyncio.Queue[str] = asyncio.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        reason = getattr(record, "reason", None)
        if reason is not None:
            self.reasons.put_nowait(reason)


async def test_a_failed_second_child_raises_a_single_error() -> None:
    with pytest.raises(ChildFailed, match=r"^The second did not start\.$") as told:
        async with kept_alive("first", SLEEPER, is_ready), kept_alive("second", STILLBORN, is_ready):
            pass

    assert isinstance(told.value.__cause__, ChildFailed)


async def test_errors_beside_children_are_raised_unchanged() -> None:
    with pytest.raises(KeyError) as told:
        async with kept_alive("first", SLEEPER, is_ready), kept_alive("second", SLEEPER, is_ready):
            raise KeyError("mine")

    assert told.value.__context__ is None


async def test_a_missing_program_raises_child_failed(tmp_path: Path) -> None:
    with pytest.raises(ChildFailed, match=r"The server cannot be run: .*No such file"):
        async with kept_alive("server", [str(tmp_path / "nothing")], is_ready):
            pass


async def test_a_failed_restart_is_retried(tmp_path: Path) -> None:
    """As when the machine has no process or memory left for a moment."""
    program = tmp_path / "program"
    write_program(program)
    started: asyncio.Queue[asyncio.subprocess.Process] = asyncio.Queue()

    async def note(process: asyncio.subprocess.Process) -> None:
        await is_ready(process)
        started.put_nowait(process)

    watcher = Watcher()
    log = logging.getLogger("service.serve.children")
    log.addHandler(watcher)
    try:
        async with asyncio.timeout(30), kept_alive("child", [str(program)], note):
            first = await started.get()
            program.unlink()
            first.kill()
            reason = await watcher.reasons.get()
            write_program(program)
            second = await started.get()
    finally:
        log.removeHandler(watcher)

    assert "No such file" in reason
    assert second.pid != first.pid


def write_program(path: Path) -> None:
    """Write it in one step: a half-written one may be run."""
    half = path.with_suffix(".half")
    half.write_text(PROGRAM, "utf-8")
    half.chmod(0o700)
    half.rename(path)
