"""Read the system's clocks."""

import asyncio
import time
from datetime import UTC, date, datetime


class SystemClock:
    """Implements `ports.clock.Clock` and `ports.clock.Calendar`.

    An order reads the time some twenty times, so both clocks are the C functions themselves.
    """

    wall_s = staticmethod(time.time)  # noqa: TID251 - behind the port
    monotonic_s = staticmethod(time.monotonic)

    def today(self) -> date:
        return datetime.now(UTC).date()

    def timeout_at(self, deadline_s: float) -> asyncio.Timeout:
        # uvloop's loop time has its own origin, so the instant is passed as a distance.
        return asyncio.timeout(deadline_s - time.monotonic())
