"""Give memory back once a process is idle."""

import asyncio
from collections.abc import Callable

from service import malloc

_QUIET_S = 10
"""Shorter pauses are those of a busy gateway, which needs the memory again."""
_BUSY_S = 60
"""A gateway without a pause gives back what a burst left it, too."""


async def trim_when_idle(
    is_busy: Callable[[], bool], *, trim: Callable[[], object] = malloc.trim, look_s: float = 1.0
) -> None:
    """Trim the heaps after each busy time, once *is_busy* was false for `_QUIET_S` looks in a row, and at each `_BUSY_S`th true one."""
    quiet = busy = 0
    while True:
        await asyncio.sleep(look_s)
        quiet, busy = (0, busy + 1) if is_busy() else (quiet + 1, busy)
        if quiet == _QUIET_S or busy == _BUSY_S:
            busy = 0
            # In a thread, as it walks all heaps; who wants memory from the one that it walks waits for some milliseconds.
            await asyncio.to_thread(trim)
