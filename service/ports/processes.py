"""What processes on the same state tell each other: that they live, what is news, whose turn it is.

Failure behaviour: open for news, which may be lost; all else raises `StateUnavailable`.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Protocol

from service.domain.callers import DeclaredNames


class Heartbeats(Protocol):
    """Signs of life of every gateway process."""

    async def beat(self) -> int:
        """Tell that this process lives, and return how many do; raises `StateUnavailable`."""
        ...


class Wakeups(Protocol):
    """News from other processes."""

    def listen(self) -> AsyncIterator[tuple[str, int]]:
        """Yield (pool, index) whenever one was made or given back anywhere; ends never.

        Loses news while disconnected: who waits must also ask now and then.
        """
        ...


@dataclass(frozen=True, slots=True)
class Round:
    """One walk through the whole store: when it was begun, and which part of it (0 to 255) comes next."""

    began_s: float
    part: int


class Turns(Protocol):
    """Who may do what one process at a time does. Raises `StateUnavailable`."""

    async def take(self, *, hold_s: float) -> bool:
        """Whether it is this process' turn, for *hold_s* from now on."""
        ...

    async def read_round(self) -> Round | None:
        """Return how far the walk through the store has come, whoever did it."""
        ...

    async def keep_round(self, round_: Round) -> None:
        """Keep how far it has come."""
        ...


class Notices(Protocol):
    """What a gateway leaves for others on the same state, such as commands. All of it raises `StateUnavailable`."""

    async def read_secret_check(self) -> str | None:
        """Return the check value of the secrets in use; None before any gateway has started."""
        ...

    async def put_secret_check(self, check: str) -> None:
        """Replace it."""
        ...

    async def read_declared(self) -> DeclaredNames:
        """Return what the configuration file of the gateway that started last declares."""
        ...

    async def put_declared(self, names: DeclaredNames) -> None:
        """Replace it."""
        ...
