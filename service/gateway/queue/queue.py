"""Queue the calls to all backends: in fair turns, bounded, and no longer than an answer is still possible.

One queue stands before the keys of all backends. An order asks it before its calls, and each call takes a turn: the first whose
route has a key with room. Failure behaviour: what cannot be answered in time, or finds the queue full, is refused before it is sent.
"""

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from service.domain.failures import CallFailure, FailureKind
from service.domain.images import CallMade
from service.gateway.queue.durations import Durations
from service.gateway.queue.forecast import Forecast
from service.gateway.queue.in_flight import CallsInFlight
from service.gateway.queue.judge import Judge
from service.gateway.queue.line import Line
from service.gateway.queue.passing import Passing
from service.gateway.queue.refusals import LEFT
from service.gateway.queue.turn import PoolIndex, Turn
from service.gateway.queue.turns import Person
from service.gateway.routing.keys import BackendKey
from service.gateway.routing.route import Course, has_trusted
from service.gateway.routing.routing import Routing
from service.ports.clock import Clock
from service.ports.telemetry import CallQueued, Telemetry

_WHOLE = 0.9
"""The share of the gateway's deadline that is the whole of it: an order is read and checked before its calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The most calls that wait, and the most bytes of their inputs and prompts.

    *deadline_s* is the time of an order whose caller did not shorten it.
    """

    waiting: int = 1000
    waiting_bytes: int = 2**30
    deadline_s: float = 300.0


class CallQueue:
    """The calls in flight and waiting, at all backends that *routing* knows."""

    def __init__(self, clock: Clock, telemetry: Telemetry, bounds: Bounds, routing: Routing) -> None:
        self.routing = routing
        self._clock = clock
        self._telemetry = telemetry
        self._bounds = bounds
        self._line = Line(bounds.waiting, bounds.waiting_bytes)
        self._by_image: dict[PoolIndex, Turn] = {}
        self._durations = Durations(clock)
        self._in_flight = CallsInFlight(clock, routing, self._durations, self._pass_on)
        self._forecast = Forecast(routing, self._line, self._in_flight, self._durations)
        self._judge = Judge(
            clock, telemetry, routing, self._line, self._in_flight, self._durations, self._forecast
        )
        self._waker: asyncio.TimerHandle | None = None

    @property
    def length(self) -> int:
        """The number of calls that wait."""
        return self._line.length

    @property
    def is_full(self) -> bool:
        """Tell if no more calls may wait."""
        return self._line.is_full

    @property
    def overdue(self) -> list[BackendKey]:
        """The keys of the calls in flight that take twice as long as others did, while their key answers none."""
        return [course.key for _, course in self._in_flight.overdue()]

    def find_refusal(self, turns: Sequence[Turn]) -> CallFailure | None:
        """Return the reason to refuse the order that makes *turns*, the largest first, before it has joined the queue."""
        return self._judge.find_refusal(turns)

    async def take_turn(self, turn: Turn) -> CallFailure | None:
        """Wait until the call of *turn* is to be sent on its course; returns the reason if it must not be. `end` follows always."""
        self._by_image.update(dict.fromkeys(turn.pool_indices, turn))
        turn.waited_s = await self._join_and_wait(turn)
        if turn.refusal is None and turn.course is not None and turn.course.key.pace is not None:
            try:
                async with self._clock.timeout_at(turn.deadline_s):
                    await self.pass_pace(turn)
            except TimeoutError:
                turn.refusal = self._judge.refuse("late", self._forecast.wait_s([turn]))
        return turn.refusal if turn.is_wanted() else LEFT

    async def pass_pace(self, turn: Turn) -> None:
        """Take the place of *turn* in the pace of its key, which keeps others waiting meanwhile."""
        if turn.course is not None:
            await self.routing.pass_pace(turn.course, turn, turn.images)
            self._pass_on()

    def end(self, turn: Turn) -> None:
        """Give the turn back."""
        for image in turn.pool_indices:
            # A successor may make the image of a call that was taken for dead.
            if self._by_image.get(image) is turn:
                del self._by_image[image]
        was_waiting = turn.is_waiting
        if was_waiting:
            self._line.remove(turn)
            turn.settle(LEFT)
        if self._in_flight.end(turn) or was_waiting:
            self._pass_on()

    def note(
        self, turn: Turn, result: CallMade | CallFailure, began_s: float, *, is_cut_off: bool = False
    ) -> None:
        """Learn from the *result* of an attempt of the call, which was sent at *began_s*; *is_cut_off* by the deadline of its turn."""
        if turn.course is None:
            return
        if turn.course.is_trial:
            self.routing.end_trial(turn.course, turn)
        now_s = self._clock.monotonic_s()
        age_s = now_s - began_s
        if isinstance(result, CallMade):
            turn.course.key.answered_s = now_s
            self._durations.note_answer(turn.kind, turn.route, age_s, is_probe=turn.is_probe)
        elif result.kind is FailureKind.TIMED_OUT:
            self._durations.note_silence(turn.kind, turn.route, age_s, is_probe=turn.is_probe)
            due_s = min(self._durations.due_s(turn.kind), _WHOLE * self._bounds.deadline_s)
            if is_cut_off and age_s < due_s:
                # Its caller was in a hurry, or it waited long: that says nothing about the backend.
                return
        self.routing.note(turn.course, result, began_s)
        self._pass_on()

    def cross(self, turn: Turn, but_not: Collection[BackendKey]) -> bool:
        """Let the call go on at another key that works and has room, none of *but_not*; returns False if there is none."""
        return self._change_course(turn, self.routing.find_other(turn.route, turn.images, but_not))

    async def wait_for_others(self, turn: Turn, but_not: Collection[BackendKey]) -> bool:
        """Let the call, which failed, give its place back and take another turn at the keys of its route that are none of *but_not*.

        Returns False if none of those works. Its owner's other calls wait behind it.
        """
        others = turn.route.without(but_not)
        if not has_trusted(others, self._clock.monotonic_s()):
            return False
        self._in_flight.end(turn)
        turn.route, turn.course = others, None
        await self._join_and_wait(turn, is_first=True)
        return True

    async def go_on(self, turn: Turn) -> bool:
        """Wait until the call may be sent again, by its key or another that has room; returns False if it comes too late."""
        held = turn.course.key if turn.course else None
        while True:
            # Asked before the look: a rest that ends between the two is open at the look, and one that lasts is waited for.
            wait_s = self.routing.wait_s(turn.route, turn.images, held=held)
            if self._change_course(turn, self.routing.find(turn.route, turn.images, held=held)):
                return True
            if not 0 < wait_s < turn.send_by_s - self._clock.monotonic_s():
                return False
            await asyncio.sleep(wait_s)

    def drop_unwanted(self, turns: Iterable[Turn]) -> None:
        """Refuse those of *turns* that no order waits for any more."""
        unwanted = [turn for turn in turns if turn.is_waiting and not turn.is_wanted()]
        for turn in unwanted:
            self._line.remove(turn)
            turn.settle(LEFT)
        if unwanted:
            self._pass_on()

    def share_turns(self, images: Iterable[PoolIndex], owner: Person, deadline_s: float) -> None:
        """Let the calls for *images* take the turn of *owner*, who waits for them too, if it comes sooner, and its time."""
        for image in images:
            turn = self._by_image.get(image)
            if turn is not None:
                # Never longer than the whole deadline: with ever new orders behind it, a call that hangs would keep all of them from its image.
                turn.extend(min(deadline_s, turn.joined_s + self._bounds.deadline_s))
                if turn.is_waiting:
                    self._line.share(turn, owner)

    def rest_silent_keys(self) -> None:
        """Let keys rest whose calls are overdue, where others make the same."""
        for turn, course in self._in_flight.overdue():
            self.routing.rest_if_others_work(turn.route, course)

    async def watch_forever(self, pause_s: float = 1.0) -> None:
        """Look for keys that have fallen silent, for rests that another process has ended, and for the end of all trouble."""
        while True:
            await asyncio.sleep(pause_s)
            self.rest_silent_keys()
            self._pass_on()
            self.routing.calm_down()

    async def _join_and_wait(self, turn: Turn, *, is_first: bool = False) -> float:
        """Take a free slot for *turn*, or wait for its turn; returns the time that it waited."""
        self._join(turn, is_first=is_first)
        if not turn.is_waiting:
            return 0.0
        began_s = self._clock.monotonic_s()
        if not await turn.until_settled(self._clock):
            turn.refusal = self._judge.refuse("late", self._forecast.wait_s([turn]))
        waited_s = self._clock.monotonic_s() - began_s
        if turn.refusal is None:
            self._telemetry.record(CallQueued(waited_s=waited_s))
        return waited_s

    def _join(self, turn: Turn, *, is_first: bool) -> None:
        """Take a free slot for *turn*, or put it into the line, unless it is refused."""
        # Another turn of a call is no reason for more time.
        turn.joined_s = turn.joined_s or self._clock.monotonic_s()
        turn.judge()
        if not (turn.is_probe or self._line.length):
            course = self.routing.find(turn.route, turn.images)
            if course is not None and not course.is_trial:
                self._in_flight.begin(turn, course)
                return
        self._line.add(turn, is_first=is_first)
        self._pass_on()
        if turn.is_waiting:
            surplus = self._line.find_surplus(turn.owners[0])
            for each in [turn] if surplus is None else surplus:
                self._line.remove(each)
                each.settle(self._judge.refuse("full", self._forecast.wait_s([each])))
            self._pass_on()

    def _change_course(self, turn: Turn, course: Course | None) -> bool:
        if course is None:
            return False
        self._in_flight.change(turn, course)
        self._pass_on()
        return True

    def _pass_on(self) -> None:
        """Give free slots to the calls whose turn it is, and refuse those whose keys all pause for long."""
        routing = self.routing
        while self._line.length:
            # Asked before the look, as in `go_on`: else a rest that ends between the two would wake nobody.
            wait_s = self._forecast.wait_for_keys_s()
            kinds = {kind for kind in self._line.kinds if routing.find(*kind) or routing.is_shut(kind[0])}
            passing = Passing(routing, kinds)
            found = self._line.take(passing.may_go) if kinds else None
            if found is None:
                self._wake_after(wait_s)
                return
            turn, owner = found
            refusal = self._judge.find_refusal_at_turn(turn)
            course = None if refusal else routing.find(turn.route, turn.images, saved=passing.saved)
            if course is not None:
                self._line.charge(owner, turn.images)
                self._in_flight.begin(turn, course)
            elif refusal is None:
                # A rest ended between two looks at the clock: the call waits on.
                self._line.add(turn, is_first=True)
                continue
            turn.settle(refusal)

    def _wake_after(self, wait_s: float) -> None:
        """Pass slots on again once a pace or the end of a rest may allow it: no call ends then. With 0, neither will."""
        if self._waker is not None:
            self._waker.cancel()
            self._waker = None
        if wait_s > 0:
            self._waker = asyncio.get_running_loop().call_later(wait_s, self._pass_on)
