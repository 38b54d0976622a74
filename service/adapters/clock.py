"""The real clock."""

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from datetime import UTC, date, datetime


class SystemClock:
    """Implements `ports.clock.Clock` and `ports.clock.Calendar`; monotonic instants are those of the running event loop."""

    def wall_s(self) -> float:
        """Implement `Clock.wall_s`."""
        return datetime.now(UTC).timestamp()

    def today(self) -> date:
        """Implement `Calendar.today`."""
        return datetime.now(UTC).date()

    def monotonic_s(self) -> float:
        """Implement `Clock.monotonic_s`; CPython's loops all count `time.monotonic`."""
        return time.monotonic()

    def timeout_at(self, deadline_s: float) -> AbstractAsyncContextManager[object]:
        """Implement `Clock.timeout_at`."""
        # uvloop's loop time has its own origin, so the instant is handed over as a distance.
        return asyncio.timeout(deadline_s - time.monotonic())
