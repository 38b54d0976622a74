"""Read the time through a port, so that tests can stop it; only reading the shared clock may fail."""

from contextlib import AbstractAsyncContextManager
from datetime import date
from typing import Protocol


class Timeout(Protocol):
    """A running time-out, as `asyncio.Timeout` is: its instants are those of the event loop."""

    def when(self) -> float | None:
        """Return the instant at which it strikes."""

    def reschedule(self, when: float | None) -> None:
        """Let it strike at another instant; it must run, and not have struck."""

    def expired(self) -> bool:
        """Tell if it has struck."""


class Clock(Protocol):
    """Instants and deadlines."""

    def wall_s(self) -> float:
        """Seconds since the epoch, for values that leave the process."""

    def monotonic_s(self) -> float:
        """Seconds on a clock that never jumps; deadlines are its instants."""

    def timeout_at(self, deadline_s: float) -> AbstractAsyncContextManager[Timeout]:
        """Raise `TimeoutError` inside the block once *deadline_s* has passed."""


class SharedTime(Protocol):
    """The one clock that all processes with the same state can read."""

    async def now_s(self) -> float:
        """Return the seconds since the epoch; raises `StateUnavailable`."""


class Calendar(Protocol):
    """The day, for the retirement of models and for the ledger."""

    def today(self) -> date:
        """The day in UTC."""
