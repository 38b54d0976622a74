"""A queue before several keys, and a clock on which time passes between any two looks."""

import asyncio
from typing import Any

from service.domain.failures import CallFailure, FailureKind
from service.domain.images import CallMade
from service.domain.rests import Rest
from service.gateway.queue.durations import Kind
from service.gateway.queue.queue import Bounds, CallQueue
from service.gateway.queue.turn import Turn
from service.gateway.queue.turns import Person
from service.gateway.routing.keys import BackendKey
from service.gateway.routing.route import Course
from tests.fakes.clock import FakeClock
from tests.fakes.routing import a_routing
from tests.fakes.telemetry import FakeTelemetry
from tests.fakes.values import a_call_made, a_failure

MODEL = "gpt-image-2"
MADE = a_call_made(b"image")
CALL_S = 4.0


class SlowClock(FakeClock):
    """The time of *clock*, on which each look takes a second."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._clock = clock

    def monotonic_s(self) -> float:
        self._clock.advance(1.0)
        return self._clock.monotonic_s()


class Keys:
    """A queue before *keys*; each call takes `CALL_S`, at a key in *hanging* for ever."""

    def __init__(self, clock: FakeClock, *keys: BackendKey) -> None:
        self.clock = clock
        self.began_s = clock.monotonic_s()
        self.telemetry = FakeTelemetry()
        self.told: list[Rest] = []
        self.routing = a_routing(clock, self.telemetry, *keys, share=self.told.append)
        self.queue = CallQueue(clock, self.telemetry, Bounds(), self.routing)
        self.sent: list[tuple[str, str, float]] = []
        self.hanging: set[str] = set()

    def turn(
        self, *, backends: tuple[str, ...] = (), left_s: float = 300.0, user: str = "user", images: int = 1
    ) -> Turn:
        """Return the turn of a call at one of *backends*."""
        return Turn(
            kind=Kind(MODEL, "generate", "high", 21, 0),
            route=self.routing.route((backends, MODEL)),
            owners=[Person("team", user)],
            images=images,
            deadline_s=self.clock.monotonic_s() + left_s,
        )

    async def order(self, name: str, **fields: Any) -> CallMade | CallFailure:
        """Make an order of one call, as `turn` has it."""
        turn = self.turn(**fields)
        refusal = self.queue.find_refusal([turn])
        return refusal if refusal is not None else await self._call(name, turn)

    async def _call(self, name: str, turn: Turn) -> CallMade | CallFailure:
        try:
            refusal = await self.queue.take_turn(turn)
            if refusal is not None or turn.course is None:
                assert refusal is not None
                return refusal
            began_s = self.clock.monotonic_s()
            key = turn.course.key.name.key
            self.sent.append((name, key, round(began_s - self.began_s, 2)))
            await asyncio.sleep(turn.deadline_s - began_s if key in self.hanging else CALL_S)
            self.queue.note(turn, MADE, began_s)
            return MADE
        finally:
            self.queue.end(turn)

    def throttle(self, key: BackendKey, for_s: float) -> None:
        failure = a_failure(kind=FailureKind.RATE_LIMITED, retry_after_s=for_s)
        self.routing.note(Course(key, 0, MODEL), failure, self.clock.monotonic_s())
