"""Share heartbeats, wake-ups, leases and facts between processes that use the same state.

Failure behaviour: open for wake-ups, which may be lost; all else raises `StateUnavailable`.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from service.domain.callers import DeclaredNames


class Heartbeats(Protocol):
    """Heartbeats of every gateway process."""

    async def beat(self) -> int:
        """Report this process alive, and return the number of live processes."""


class Predecessors(Protocol):
    """The dead processes that worked in the same data directory."""

    def names(self) -> list[str]:
        """Return their names."""

    def forget(self, name: str) -> None:
        """Forget one whose orders are released."""


class Wakeups(Protocol):
    """Messages about images from other processes."""

    def listen(self) -> AsyncIterator[tuple[str, int]]:
        """Yield (pool, index) whenever any process makes an image or releases an index; never ends.

        Loses messages while disconnected, so waiters must also poll now and then.
        """


@dataclass(frozen=True, slots=True)
class Round:
    """One walk through the whole store: its start time and its next part (0 to 255)."""

    began_s: float
    part: int


class SweepLease(Protocol):
    """The right to sweep the store, held by one process at a time, and the progress of the sweep."""

    async def take(self, *, hold_s: float) -> bool:
        """Take or extend the lease for *hold_s* from now on; returns False while another process has it."""

    async def read_round(self) -> Round | None:
        """Return the progress of the walk through the store."""

    async def keep_round(self, round_: Round) -> None:
        """Store the progress."""


class SecretChecks(Protocol):
    """The check value of a gateway's secrets, for other processes with the same state."""

    async def read_secret_check(self) -> str | None:
        """Return the check value of the secrets in use; None before any gateway has started."""

    async def put_secret_check(self, check: str) -> None:
        """Replace the check value."""


class Declarations(Protocol):
    """The names that a gateway's configuration file declares, for other processes with the same state."""

    async def read_declared(self) -> DeclaredNames:
        """Return the names declared by the gateway that started last."""

    async def put_declared(self, names: DeclaredNames) -> None:
        """Replace the declared names."""
