"""Bound the connections of clients, so that the process keeps files for its own work.

A connection beyond the bound takes the place of the one that has been idle for longest; while all have requests, it is refused.
"""

import logging
import math
import time
from collections.abc import Callable, Collection
from typing import Protocol

_PAUSE_S = 60.0
_ADVICE = "Raise the limit of open files (ulimit -n, LimitNOFILE, nofile), or bound the connections of an address in a proxy."
_log = logging.getLogger(__name__)


class Connection(Protocol):
    """A connection of a client."""

    @property
    def is_closing(self) -> bool:
        """Tell if it is about to end."""

    @property
    def idle_since_s(self) -> float:
        """The instant since which no request runs on it; infinity while one does."""

    def close(self) -> None:
        """End it."""


class ConnectionBound:
    """At most *most* connections; *now_s* is a monotonic clock."""

    def __init__(self, most: float = math.inf, *, now_s: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._now_s = now_s
        self._logged_s = -math.inf

    def makes_room(self, connections: Collection[Connection], newcomer: Connection) -> bool:
        """Close an idle one of *connections* if they are too many with *newcomer*; returns False if none is idle."""
        if len(connections) <= self._most:
            return True
        living = [each for each in connections if not each.is_closing]
        if len(living) <= self._most:
            return True
        self._warn()
        oldest = min(living, key=lambda each: math.inf if each is newcomer else each.idle_since_s)
        if oldest is newcomer or oldest.idle_since_s == math.inf:
            return False
        oldest.close()
        return True

    def _warn(self) -> None:
        """Log once a minute that connections are closed or refused."""
        if self._now_s() - self._logged_s >= _PAUSE_S:
            self._logged_s = self._now_s()
            _log.warning("connections full", extra={"most": self._most, "advice": _ADVICE})


UNBOUNDED = ConnectionBound()
