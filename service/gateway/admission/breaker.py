"""A circuit breaker: after enough failures in a row, stop asking for a while.

While open, it lets one probe through each *pause_s*; a successful probe closes the
breaker again. Not for errors that concern the request rather than the server.
"""

from service.ports.clock import Clock

FAILURES_TO_OPEN = 3
PAUSE_S = 1.0


class Breaker:
    """One breaker for one dependency of one process; *is_open*: the dependency counts as gone."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.failures = 0
        self.is_open = False
        self._probe_at_s = 0.0
        self._failed_at_s = 0.0

    def allows(self) -> bool:
        """Tell if a call may be tried now; while open this books the one probe of the pause."""
        if not self.is_open:
            return True
        now_s = self._clock.monotonic_s()
        if now_s < self._probe_at_s:
            return False
        self._probe_at_s = now_s + PAUSE_S
        return True

    def succeed(self) -> None:
        """Count a success: the breaker closes."""
        self.failures = 0
        self.is_open = False

    def fail(self, since_s: float) -> None:
        """Count a failure of a call that began at *since_s*; each failure postpones the next probe.

        Calls that began before the last known failure belong to it: a crowd that failed
        together counts as one failure.
        """
        now_s = self._clock.monotonic_s()
        if since_s >= self._failed_at_s:
            self.failures += 1
            self.is_open = self.failures >= FAILURES_TO_OPEN
            self._failed_at_s = now_s
        self._probe_at_s = now_s + PAUSE_S
