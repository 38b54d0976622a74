"""Say what was proved, line by line, and when."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.container.shell import Failed


@dataclass(slots=True)
class Proofs:
    """The checks that held; each is printed at once."""

    _began_s: float = field(default_factory=time.monotonic)
    count: int = 0

    @contextmanager
    def section(self, title: str) -> Iterator[None]:
        """Print the *title* of the checks that follow, and their duration."""
        began_s = time.monotonic()
        print(f"\n{title}", flush=True)
        yield
        print(f"  ({time.monotonic() - began_s:.0f} s)", flush=True)

    def hold(self, holds: bool, claim: str, seen: object = "") -> None:
        """Print *claim* if it *holds*; otherwise raise `Failed` with what was *seen*."""
        if not holds:
            raise Failed(f"{claim}: {seen}" if seen != "" else claim)
        self.count += 1
        print(f"  ok    {claim}", flush=True)

    @property
    def lasted_s(self) -> float:
        return time.monotonic() - self._began_s
