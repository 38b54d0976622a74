"""Give the gateway and its Valkey one core, and the load and the provider another, where the system can."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

CoreSet = frozenset[int]
"""Numbers of cores; none: the system chooses."""
ANY: CoreSet = frozenset()


@dataclass(frozen=True, slots=True)
class Cores:
    """The core of what is measured, that of what measures, and both."""

    measured: CoreSet = ANY
    load: CoreSet = ANY
    both: CoreSet = ANY

    @property
    def words(self) -> str:
        """Say where the processes run."""
        if not self.measured:
            return "NOT PINNED: this system has one core or cannot pin, so load and provider take time from the gateway"
        return f"gateway, Valkey and peers on core {min(self.measured)}, load and provider on core {min(self.load)}"


def choose_cores() -> Cores:
    """Return two cores of those that this process may use."""
    if not hasattr(os, "sched_getaffinity"):
        return Cores()
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        return Cores()
    return Cores(frozenset(allowed[:1]), frozenset(allowed[1:2]), frozenset(allowed[:2]))


@contextmanager
def on_cores(cores: CoreSet) -> Iterator[None]:
    """Run on *cores*, and start processes there: a child inherits the cores of the thread that starts it."""
    if not cores:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
