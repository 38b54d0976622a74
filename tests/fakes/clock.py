"""Held time: it stands still until the test moves it, or until nothing else could happen.

`FakeClock` implements `ports.clock.Clock` and `ports.clock.Calendar`. `HeldLoop` is an event loop on such a clock:
when every task waits and only timers are left, time jumps to the next of them, so
that tests with minutes of waiting take no time, and always the same course.
"""

import asyncio
import selectors
from datetime import UTC, date, datetime

from service.gateway.clock_check import ClockCheck
from service.ports.telemetry import Telemetry

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
"""When tests begin: DALL·E is retired, gpt-image-1.5 is not yet."""


class FakeClock:
    """Implements `ports.clock.Clock` and `ports.clock.Calendar`; starts at an odd instant, so that none is mistaken for a duration."""

    def __init__(self) -> None:
        self._now_s = 1000.0
        self._wall_offset_s = NOON.timestamp() - self._now_s

    def wall_s(self) -> float:
        return self._wall_offset_s + self._now_s

    def today(self) -> date:
        return datetime.fromtimestamp(self.wall_s(), UTC).date()

    def monotonic_s(self) -> float:
        return self._now_s

    def timeout_at(self, deadline_s: float) -> asyncio.Timeout:
        """Needs the `HeldLoop` of this very clock."""
        return asyncio.timeout_at(deadline_s)

    def advance(self, duration_s: float) -> None:
        """Let time pass; timers that are due fire as soon as the test awaits something."""
        self._now_s += duration_s

    def jump(self, duration_s: float) -> None:
        """Set the wall clock on or back, while no time passes."""
        self._wall_offset_s += duration_s


class FakeSharedTime:
    """Implements `ports.clock.SharedTime`: the time of *clock* when it was made, which no jump of that clock changes."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._offset_s = clock.wall_s() - clock.monotonic_s()

    async def now_s(self) -> float:
        return self._offset_s + self._clock.monotonic_s()


def a_clock_check(clock: FakeClock, telemetry: Telemetry) -> ClockCheck:
    """Return the check of *clock*, which is right until it jumps."""
    return ClockCheck(clock=clock, shared=FakeSharedTime(clock), telemetry=telemetry)


class NothingWillHappen(RuntimeError):
    """Every task waits for something that no other will do: the test would hang."""


class HeldLoop(asyncio.SelectorEventLoop):
    """An event loop whose time is a `FakeClock`'s."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        super().__init__(_JumpingSelector(self.clock))

    def time(self) -> float:
        return self.clock.monotonic_s()


async def until_idle() -> None:
    """Return once everybody waits: the loop lets time pass only when nothing else can happen."""
    await asyncio.sleep(1e-6)


class _JumpingSelector(selectors.SelectSelector):
    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready:
            return ready
        if timeout is None:
            raise NothingWillHappen
        self._clock.advance(timeout)
        return []
