"""Hold the calls in flight: when each was sent, on which course, and which of them are overdue."""

import asyncio
from collections import Counter
from collections.abc import Callable, Container

from service.gateway.queue.durations import Durations, Kind
from service.gateway.queue.turn import Turn
from service.gateway.routing.keys import BackendKey
from service.gateway.routing.route import Course
from service.gateway.routing.routing import Routing
from service.ports.clock import Clock


class CallsInFlight:
    """The calls in flight at all keys; *pass_on* is called once a trial is overdue."""

    def __init__(
        self, clock: Clock, routing: Routing, durations: Durations, pass_on: Callable[[], None]
    ) -> None:
        self._clock = clock
        self._routing = routing
        self._durations = durations
        self._pass_on = pass_on
        self._began_s: dict[Turn, float] = {}
        self._kinds: Counter[Kind] = Counter()

    def begin(self, turn: Turn, course: Course) -> None:
        """Count the call of *turn*, which is sent now."""
        self._began_s[turn] = self._clock.monotonic_s()
        self._kinds[turn.kind] += 1
        self._take(turn, course)

    def change(self, turn: Turn, course: Course) -> None:
        """Let the call go on by another course, whose key answers for its own time only."""
        if turn.course is not None:
            self._routing.end(turn.course, turn)
        self._began_s[turn] = self._clock.monotonic_s()
        self._take(turn, course)

    def end(self, turn: Turn) -> bool:
        """Count the call no more; returns False if it was not in flight."""
        if self._began_s.pop(turn, None) is None:
            return False
        self._kinds[turn.kind] -= 1
        if not self._kinds[turn.kind]:
            del self._kinds[turn.kind]
        if turn.course is not None:
            self._routing.end(turn.course, turn)
        return True

    def has(self, kind: Kind) -> bool:
        """Tell if a call of this kind is in flight."""
        return self._kinds[kind] > 0

    def oldest_s(self) -> float:
        """Return the age of the oldest call; 0 without one."""
        now_s = self._clock.monotonic_s()
        return now_s - min(self._began_s.values(), default=now_s)

    def ages_at(self, keys: Container[BackendKey]) -> list[float]:
        """Return the ages of the calls at *keys*."""
        now_s = self._clock.monotonic_s()
        return [
            now_s - began_s
            for turn, began_s in self._began_s.items()
            if turn.course is not None and turn.course.key in keys
        ]

    def overdue(self) -> list[tuple[Turn, Course]]:
        """Return the calls that take twice as long as others did, while their key answers none, with their courses."""
        return [
            (turn, turn.course)
            for turn, began_s in self._began_s.items()
            if turn.course is not None
            and self._durations.is_overdue(turn.kind, began_s, turn.course.key.answered_s)
        ]

    def _take(self, turn: Turn, course: Course) -> None:
        turn.course = course
        patience_s = self._patience_s(turn) if course.is_trial else 0.0
        self._routing.begin(course, turn, patience_s=patience_s)
        if course.is_trial:
            # It may hang until its deadline.
            asyncio.get_running_loop().call_later(patience_s, self._pass_on)

    def _patience_s(self, turn: Turn) -> float:
        """Return how long others wait for *turn*, which tries a key: no longer than it lasts."""
        left_s = max(0.0, turn.deadline_s - self._clock.monotonic_s())
        return min(self._durations.patience_s(turn.kind), left_s)
