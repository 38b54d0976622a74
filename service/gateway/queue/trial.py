"""Try a provider that is not trusted: one call holds all others back, until it ends or is overdue."""

import asyncio
from collections.abc import Callable

from service.gateway.queue.turn import Turn
from service.ports.clock import Clock


class Trial:
    """The call that tries the provider is that of *turn*, if one does; *pass_on* is called once it is overdue."""

    def __init__(self, clock: Clock, pass_on: Callable[[], None]) -> None:
        self.turn: Turn | None = None
        self._clock = clock
        self._pass_on = pass_on
        self._overdue_at_s = 0.0

    @property
    def left_s(self) -> float:
        """The time after which another call may be sent."""
        return self._overdue_at_s - self._clock.monotonic_s()

    def bound(self, patience_s: float) -> None:
        """Let the call, which is sent now, be overdue after *patience_s*: it may hang until its deadline."""
        self._overdue_at_s = self._clock.monotonic_s() + patience_s
        asyncio.get_running_loop().call_later(patience_s, self._give_up, self.turn)

    def _give_up(self, turn: Turn | None) -> None:
        if self.turn is turn:
            self.turn = None
            self._pass_on()
