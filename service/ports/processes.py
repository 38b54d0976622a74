"""Let processes with the same state share signs of life, news and turns.

Failure behaviour: open for news, which may be lost; all else raises `StateUnavailable`.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from service.domain.callers import DeclaredNames


class Heartbeats(Protocol):
    """Signs of life of every gateway process."""

    async def beat(self) -> int:
        """Report that this process lives, and return the number of live ones; raises `StateUnavailable`."""
        ...


class Wakeups(Protocol):
    """News from other processes."""

    def listen(self) -> AsyncIterator[tuple[str, int]]:
        """Yield (pool, index) whenever an image was made or an index given back in any process; never ends.

        Loses news while disconnected: waiters must also ask now and then.
        """
        ...


@dataclass(frozen=True, slots=True)
class Round:
    """One walk through the whole store: the time it began, and its next part (0 to 255)."""

    began_s: float
    part: int


class SweepLease(Protocol):
    """The right to do work that one process at a time does. Raises `StateUnavailable`."""

    async def take(self, *, hold_s: float) -> bool:
        """Take the turn for *hold_s* from now on; returns False while another process has it."""
        ...

    async def read_round(self) -> Round | None:
        """Return the progress of the walk through the store, for all processes."""
        ...

    async def keep_round(self, round_: Round) -> None:
        """Store its progress."""
        ...


class SecretChecks(Protocol):
    """The check value of a gateway's secrets, for others with the same state. Raises `StateUnavailable`."""

    async def read_secret_check(self) -> str | None:
        """Return the check value of the secrets in use; None before any gateway has started."""
        ...

    async def put_secret_check(self, check: str) -> None:
        """Replace it."""
        ...


class Declarations(Protocol):
    """The names that a gateway's file declares, for others with the same state. Raises `StateUnavailable`."""

    async def read_declared(self) -> DeclaredNames:
        """Return the declarations in the configuration file of the gateway that started last."""
        ...

    async def put_declared(self, names: DeclaredNames) -> None:
        """Replace it."""
        ...
