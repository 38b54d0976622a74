"""Break the circuit to a dependency: after enough failures in a row, stop asking for a while.

While open, the breaker lets one probe through each `PAUSE_S`; a successful probe closes it again. Not for
errors that concern the request rather than the server.
"""

from service.ports.clock import Clock

FAILURES_TO_OPEN = 3
PAUSE_S = 1.0


class Breaker:
    """Implements `ports.circuits.Circuit` for one dependency in one process; while *is_open* the dependency counts as gone."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.failures = 0
        self.is_open = False
        self._probe_at_s = 0.0
        self._failed_at_s = 0.0

    def allows(self) -> bool:
        """Tell if a call may be tried now; while open, books the one probe of the pause."""
        if not self.is_open:
            return True
        now_s = self._clock.monotonic_s()
        if now_s < self._probe_at_s:
            return False
        self._probe_at_s = now_s + PAUSE_S
        return True

    def allow_another(self) -> None:
        """Let the next call be the probe: this one proved nothing."""
        self._probe_at_s = self._clock.monotonic_s()

    def open(self) -> None:
        """Count the dependency as gone at once; the next call is the probe."""
        self.failures, self.is_open = FAILURES_TO_OPEN, True

    def succeed(self) -> None:
        """Count a success, which closes the breaker."""
        self.failures = 0
        self.is_open = False

    def fail(self, since_s: float) -> None:
        """Count a failure of a call that began at *since_s*; each failure postpones the next probe.

        Calls that began before the last counted failure belong to it, so that a burst counts once.
        """
        now_s = self._clock.monotonic_s()
        if since_s >= self._failed_at_s:
            self.failures += 1
            self.is_open = self.failures >= FAILURES_TO_OPEN
            self._failed_at_s = now_s
        self._probe_at_s = now_s + PAUSE_S
