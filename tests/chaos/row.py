"""Keep the table's rows: what is tried, in words, and the coroutine that tries it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.chaos.finding import Finding
from tests.chaos.ground import Ground


class NotTried(Exception):
    """This machine lacks what a row needs; the message names it."""


Trial = Callable[[Ground, Finding], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Row:
    """One row; *name* is what the command line takes, *tried* what the table says was done, *covers* its faults.

    A row that *waits* passes most of a minute with little to do, so that it can run beside all others.
    """

    name: str
    tried: str
    trial: Trial
    covers: tuple[str, ...] = ()
    waits: bool = False


@dataclass(slots=True)
class Rows:
    """The rows of one module."""

    rows: list[Row]

    def add(
        self, name: str, tried: str, *, covers: str = "", waits: bool = False
    ) -> Callable[[Trial], Trial]:
        """Return a decorator that makes a coroutine a row; *covers* are the names of faults (`faults.py`)."""

        def keep(trial: Trial) -> Trial:
            self.rows.append(Row(name, tried, trial, tuple(covers.split()), waits))
            return trial

        return keep
