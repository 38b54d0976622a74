"""Handle Ctrl-C while resources are open: an embedded Valkey, a server, a connection.

Failure behaviour: the running work is cancelled and closes its resources; then `KeyboardInterrupt` ends
the command with exit code 130.
"""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")


def run_interruptible(runner: asyncio.Runner, work: Coroutine[Any, Any, Result]) -> Result:
    """Return the result of *work*; Ctrl-C cancels it.

    Before and after, Ctrl-C keeps its usual effect: an exception within the start or end of the
    loop itself would leave it half done.

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
