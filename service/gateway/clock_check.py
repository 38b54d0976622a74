"""Compare this process's clock with the one that all processes share, before anything is deleted by its age.

Failure behaviour: closed. Without an answer nothing is known of the clock, and nothing is deleted.
"""

from dataclasses import dataclass, field

from service.ports.clock import Clock, SharedTime
from service.ports.telemetry import ClockCompared, Telemetry

MOST_SKEW_S = 60.0
"""Well above the drift of a clock and the time of an answer, well below every age at which something is deleted."""


@dataclass(slots=True, kw_only=True)
class ClockCheck:
    """The check of the clock. *skew_s* is its last finding: the seconds by which this process is ahead."""

    clock: Clock
    shared: SharedTime
    telemetry: Telemetry
    skew_s: float = field(default=0.0, init=False)

    @property
    def is_off(self) -> bool:
        """Tell if the last comparison found the clocks too far apart to delete by age."""
        return abs(self.skew_s) > MOST_SKEW_S

    async def agrees(self) -> bool:
        """Compare the clocks now; returns False if nothing may be deleted by its age.

        Raises:
            StateUnavailable: the shared clock cannot be read.
        """
        shared_s = await self.shared.now_s()
        self.skew_s = self.clock.wall_s() - shared_s
        self.telemetry.record(ClockCompared(skew_s=self.skew_s, is_off=self.is_off))
        return not self.is_off
