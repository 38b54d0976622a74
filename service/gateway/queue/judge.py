"""Judge if an order, or a call at its turn, can be answered in time; refuse it otherwise, before anything is spent."""

from collections.abc import Sequence
from dataclasses import dataclass

from service.domain.failures import CallFailure
from service.domain.rests import LONGEST_WAITED_S, RestReason
from service.gateway.queue.durations import Durations
from service.gateway.queue.forecast import Forecast
from service.gateway.queue.in_flight import CallsInFlight
from service.gateway.queue.line import Line
from service.gateway.queue.refusals import LEFT, refuse
from service.gateway.queue.turn import Turn
from service.gateway.routing.route import Course
from service.gateway.routing.routing import Routing
from service.ports.clock import Clock
from service.ports.telemetry import CallRefused, QueueRefusal, Telemetry

_CAUTION = 1.5
"""A wait may become longer than it seems: some who come later have their turn earlier."""


@dataclass(frozen=True, slots=True)
class Judge:
    """The judge of a queue, by its parts."""

    clock: Clock
    telemetry: Telemetry
    routing: Routing
    line: Line
    in_flight: CallsInFlight
    durations: Durations
    forecast: Forecast

    def find_refusal(self, turns: Sequence[Turn]) -> CallFailure | None:
        """Return the reason to refuse the order that makes *turns*, the largest first, before it has joined the queue.

        Judged by its own deadline: another that waits for its images makes them itself, if it has more time.
        """
        turn, now_s = turns[0], self.clock.monotonic_s()
        left_s = turn.deadline_s - now_s
        courses = self.routing.courses(turn.route)
        if not courses and (obstacle := self._find_obstacle(turn, left_s)):
            return obstacle
        needed_s = self.durations.needed_s(turn.kind, left_s)
        for each in turns:
            each.needed_s = needed_s
        if needed_s is not None and left_s < needed_s:
            is_hopeless = self.in_flight.has(turn.kind) or self.durations.is_hopeless(turn.kind, left_s)
            reason: QueueRefusal = "hurried" if turn.is_hurried else "slow"
            return self.refuse(reason, needed_s) if is_hopeless else None
        free = self._count_free(turn, courses)
        if len(turns) <= free:
            return None
        wait_s = self.forecast.wait_s(turns)
        if self.line.find_surplus(turn.owners[0], turns, free=free) is None:
            return self.refuse("full", wait_s)
        is_late = needed_s is not None and left_s < needed_s + wait_s * _CAUTION
        return self.refuse("late", wait_s) if is_late else None

    def refuse(self, reason: QueueRefusal, retry_after_s: float | None) -> CallFailure:
        """Return a refusal for *reason*, and count it."""
        self.telemetry.record(CallRefused(reason=reason))
        if reason == "full" and not retry_after_s:
            # Before it is known how long calls take: at least as long as those that still run.
            retry_after_s = self.in_flight.oldest_s()
        return refuse(reason, retry_after_s or 0.0)

    def find_refusal_at_turn(self, turn: Turn) -> CallFailure | None:
        """Return the reason not to send the call of *turn*, whose turn has come."""
        if not turn.is_wanted():
            return LEFT
        now_s = self.clock.monotonic_s()
        needed_s = self.durations.needed_s(turn.kind, turn.deadline_s - turn.joined_s) or 0.0
        left_s = turn.deadline_s - now_s
        if self.routing.is_shut(turn.route):
            return self._find_obstacle(turn, left_s)
        is_probing = turn.is_probe and not self.in_flight.has(turn.kind) and left_s > 0
        return None if left_s > needed_s or is_probing else self.refuse("late", self.forecast.wait_s([turn]))

    def _find_obstacle(self, turn: Turn, left_s: float) -> CallFailure | None:
        """Return the reason to refuse an order whose keys get no calls now."""
        obstacle = self.routing.find_obstacle(turn.route)
        if obstacle is None:
            return None
        if obstacle.reason is RestReason.THROTTLED and obstacle.left_s < min(left_s, LONGEST_WAITED_S):
            return None
        if obstacle.reason is RestReason.UNANSWERED:
            return self.refuse("untrusted", obstacle.left_s)
        return obstacle.as_failure()

    def _count_free(self, turn: Turn, courses: Sequence[Course]) -> int:
        """Return how many calls like that of *turn* may be sent at once; none while others wait for the same keys."""
        if self.line.length and any(route is turn.route for route, _ in self.line.kinds):
            return 0
        return sum(
            1 if course.is_trial else course.key.free
            for course in courses
            if course.key.has_room(turn.images)
        )
