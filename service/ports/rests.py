"""Share the rests of backend keys between processes that use the same state.

Failure behaviour: open for news, which may be lost; all else raises `StateUnavailable`.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from service.domain.rests import Rest, RestName


class SharedRests(Protocol):
    """The rests that all processes observe."""

    async def put(self, rest: Rest) -> None:
        """Let *rest* begin for all processes, unless a longer one of its name lasts; one that is over ends for all."""

    async def read(self, names: Sequence[RestName]) -> list[Rest]:
        """Return the rests of *names* that last."""

    def listen(self) -> AsyncIterator[Rest]:
        """Yield what any other process puts; never ends, and loses news while disconnected."""
