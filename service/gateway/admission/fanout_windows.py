"""Keep the windows of equal orders of this process while Redis is away; `domain/fanout_window.py` has their rule."""

from cachetools import LRUCache

from service.domain.fanout_window import FanoutWindow
from service.ports.admission import Ask
from service.ports.clock import Clock

MOST_WINDOWS = 10_000
"""Most windows to keep; the least recently used goes first."""


class FanoutWindows:
    """The windows of *window_s* from their first order, by user and pool."""

    def __init__(self, clock: Clock, window_s: float) -> None:
        self._clock = clock
        self._window_s = window_s
        self._windows: LRUCache[tuple[str, str], tuple[float, FanoutWindow]] = LRUCache(MOST_WINDOWS)

    def find(self, ask: Ask) -> FanoutWindow | None:
        """Return the window of *ask*, a new one if none is open; None if it has none."""
        if not ask.ticket.fans_out or ask.round or not self._window_s:
            return None
        ends_s, window = self._windows.get(_key(ask), (0.0, FanoutWindow()))
        return window if self._clock.monotonic_s() < ends_s else FanoutWindow()

    def note(self, ask: Ask, window: FanoutWindow, index: int) -> None:
        """Keep that *ask* got *index*, which is never ready here, in its *window*."""
        ends_s, _ = self._windows.get(_key(ask), (0.0, window))
        if not window.orders:
            ends_s = self._clock.monotonic_s() + self._window_s
        self._windows[_key(ask)] = (ends_s, window.after(index, was_ready=False))


def _key(ask: Ask) -> tuple[str, str]:
    return ask.ticket.caller.user, ask.ticket.pool or ""
