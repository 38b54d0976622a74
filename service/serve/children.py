"""Run child processes as long as this process needs them.

A child is stopped at the end, restarted when it dies, and killed by the kernel with this process.
Failure behaviour: a failed first start raises `ChildFailed`; later failures are logged and retried.
"""

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from service.parent_death import die_with_parent

_log = logging.getLogger(__name__)
START_S = 10.0
_RESTART_PAUSE_S = 0.5


class ChildFailed(RuntimeError):
    """A child process ended or did not become ready in time."""


IsReady = Callable[[asyncio.subprocess.Process], Awaitable[None]]


@asynccontextmanager
async def kept_alive(name: str, command: list[str], is_ready: IsReady) -> AsyncIterator[None]:
    """Run a child, restart it whenever it ends, and stop it on leaving."""
    process = await _start(name, command, is_ready)
    async with _unwrapping_group() as group:
        current = [process]
        keeper = group.create_task(_restart_forever(name, command, is_ready, current))
        try:
            yield
        finally:
            keeper.cancel()
            await _stop(current[0])


@asynccontextmanager
async def _unwrapping_group() -> AsyncIterator[asyncio.TaskGroup]:
    """Return a task group that raises a single failure by itself: callers catch it by its type."""
    sole: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            yield group
    except BaseExceptionGroup as failures:
        if len(failures.exceptions) > 1:
            raise
        sole = failures.exceptions[0]
    if sole is not None:
        # Outside the handler, so that its context does not hold the group.
        raise sole


async def _restart_forever(
    name: str, command: list[str], is_ready: IsReady, current: list[asyncio.subprocess.Process]
) -> None:
    while True:
        code = await current[0].wait()
        _log.error("child ended", extra={"child": name, "exit_code": code})
        await asyncio.sleep(_RESTART_PAUSE_S)
        try:
            current[0] = await _start(name, command, is_ready)
        except ChildFailed as error:
            _log.error("child not started again", extra={"child": name, "reason": str(error)})


async def _start(name: str, command: list[str], is_ready: IsReady) -> asyncio.subprocess.Process:
    process = await _spawn(name, command)
    try:
        async with asyncio.timeout(START_S):
            await is_ready(process)
    except (OSError, ChildFailed, ValueError) as error:
        await _stop(process)
        raise ChildFailed(f"The {name} did not start.") from error
    except asyncio.CancelledError:
        process.kill()
        raise
    return process


async def _spawn(name: str, command: list[str]) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *command,
            # Its end tells the child that this process died, on systems other than Linux.
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            # Ctrl-C is for this process: children must outlive the drain.
            start_new_session=True,
            preexec_fn=die_with_parent if sys.platform == "linux" else None,
        )
    except (OSError, subprocess.SubprocessError) as error:
        # No process or memory is available, or the file is missing.
        raise ChildFailed(f"The {name} cannot be run: {error}") from error


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
