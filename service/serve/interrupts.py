"""Ctrl-C while something is open that has to be closed: a Valkey of our own, a server, a connection.

Failure behaviour: what runs is cancelled and closes what it opened in order; then `KeyboardInterrupt` is
raised, which ends the command with exit code 130.
"""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


def run_interruptible(runner: asyncio.Runner, work: Coroutine[Any, Any, Result]) -> Result:
    """Return what *work* returns; Ctrl-C cancels it.

    Before and after, Ctrl-C does what it did: an exception that came between two steps of the loop's own
    start or end would leave it half made.

    Raises:
        KeyboardInterrupt: *work* was cancelled.
    """
    try:
        return runner.run(_cancel_on_ctrl_c(work))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _cancel_on_ctrl_c(work: Coroutine[Any, Any, Result]) -> Result:
    loop, before = asyncio.get_running_loop(), signal.getsignal(signal.SIGINT)
    task = asyncio.current_task(loop)
    if task is None:
        raise AssertionError("a coroutine runs in a task")
    loop.add_signal_handler(signal.SIGINT, task.cancel)
    try:
        return await work
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        signal.signal(signal.SIGINT, before)
