"""Queue the calls to a provider: in fair turns, bounded, and no longer than an answer is still possible.

One queue stands before a provider's calls in flight and its pace. An order asks it before its calls, and each call takes a
turn. Failure behaviour: what cannot be answered in time, or finds the queue full, is refused before it is sent.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from service.domain.failures import Billing, CallFailure, FailureKind
from service.domain.images import CallMade
from service.gateway.queue.durations import Durations, Kind
from service.gateway.queue.estimate import wait_for_pace_s, wait_for_slot_s
from service.gateway.queue.line import Line
from service.gateway.queue.outcomes import UnknownOutcomes
from service.gateway.queue.refusals import LEFT, refuse
from service.gateway.queue.trial import Trial
from service.gateway.queue.turn import PoolIndex, Turn
from service.gateway.queue.turns import Person
from service.ports.clock import Clock
from service.ports.provider import Pace
from service.ports.telemetry import CallQueued, CallRefused, QueueRefusal, Telemetry

_CAUTION = 1.5
"""A wait may become longer than it seems: some who come later have their turn earlier."""
_WHOLE = 0.9
"""The share of the gateway's deadline that is the whole of it: an order is read and checked before its calls."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """The most calls in flight, and the most that wait for them: calls, and bytes of their inputs and prompts.

    *deadline_s* is the time of an order whose caller did not shorten it.
    """

    in_flight: int
    waiting: int = 1000
    waiting_bytes: int = 2**30
    deadline_s: float = 300.0


class CallQueue:
    """The calls in flight and waiting at one provider."""

    def __init__(self, clock: Clock, telemetry: Telemetry, bounds: Bounds, pace: Pace | None = None) -> None:
        self._clock = clock
        self._telemetry = telemetry
        self._bounds = bounds
        self._pace = pace
        self._line = Line(bounds.waiting, bounds.waiting_bytes)
        self._in_flight: dict[Turn, float] = {}
        self._by_image: dict[PoolIndex, Turn] = {}
        self._kinds: Counter[Kind] = Counter()
        self._pacing: Turn | None = None
        self._trial = Trial(clock, self._pass_on)
        self._durations = Durations(clock)
        self._outcomes = UnknownOutcomes()

    @property
    def length(self) -> int:
        """The number of calls that wait."""
        return self._line.length

    @property
    def is_full(self) -> bool:
        """Tell if no more calls may wait."""
        return self._line.is_full

    @property
    def is_untrusted(self) -> bool:
        """Tell if single calls try the provider, as too many in a row ended without a known outcome."""
        return self._outcomes.is_open

    @property
    def overdue(self) -> int:
        """The number of calls in flight that take twice as long as others did, while the provider answers none."""
        sent = ((turn.kind, at_s) for turn, at_s in self._in_flight.items() if turn is not self._pacing)
        return self._durations.count_overdue(sent)

    def find_refusal(self, turns: Sequence[Turn]) -> CallFailure | None:
        """Return the reason to refuse the order that makes *turns*, the largest first, before it has joined the queue.

        Judged by its own deadline: another that waits for its images makes them itself, if it has more time.
        """
        turn, now_s = turns[0], self._clock.monotonic_s()
        if self._trial.turn is not None:
            return self._refuse("untrusted", self._trial.left_s)
        left_s = turn.deadline_s - now_s
        needed_s = self._durations.needed_s(turn.kind, left_s)
        for each in turns:
            each.needed_s = needed_s
        if needed_s is not None and left_s < needed_s:
            is_hopeless = self._kinds[turn.kind] > 0 or self._durations.is_hopeless(turn.kind, left_s)
            reason: QueueRefusal = "hurried" if turn.is_hurried else "slow"
            return self._refuse(reason, needed_s) if is_hopeless else None
        if len(turns) <= self._free:
            return None
        wait_s = self._wait_s(turns, now_s)
        if self._line.find_surplus(turn.owners[0], turns, free=self._free) is None:
            return self._refuse_as_full(wait_s, now_s)
        is_late = needed_s is not None and left_s < needed_s + wait_s * _CAUTION
        return self._refuse("late", wait_s) if is_late else None

    async def take_turn(self, turn: Turn) -> CallFailure | None:
        """Wait until the call of *turn* is to be sent; returns the reason if it must not be. `end` follows always."""
        self._by_image.update(dict.fromkeys(turn.pool_indices, turn))
        if self._may_go_at_once(turn):
            return None
        if turn.is_waiting or self._pacing is turn:
            try:
                async with self._clock.timeout_at(turn.send_by_s) as turn.timeout:
                    await self._wait(turn)
            except TimeoutError:
                turn.refusal = self._refuse("late", self._wait_s([turn], self._clock.monotonic_s()))
            finally:
                turn.timeout = None
            turn.waited_s = self._clock.monotonic_s() - turn.joined_s
            if turn.refusal is None:
                self._telemetry.record(CallQueued(waited_s=turn.waited_s))
        return turn.refusal if turn.is_wanted() else LEFT

    def end(self, turn: Turn, result: CallMade | CallFailure | None) -> None:
        """Give the turn back after its *result*; None is a call that was not sent, or was cut off."""
        for image in turn.pool_indices:
            # A successor may make the image of a call that was taken for dead.
            if self._by_image.get(image) is turn:
                del self._by_image[image]
        if turn.is_waiting:
            self._line.remove(turn)
            turn.settle(LEFT)
        started_s = self._in_flight.pop(turn, None)
        if started_s is None:
            return
        self._kinds -= Counter([turn.kind])
        if self._trial.turn is turn:
            self._trial.turn = None
        if result is not None:
            self._note(turn, result, started_s)
        self._go_on_after_pacing(turn)

    def drop_unwanted(self, turns: Iterable[Turn]) -> None:
        """Refuse those of *turns* that no order waits for any more."""
        for turn in turns:
            if turn.is_waiting and not turn.is_wanted():
                self._line.remove(turn)
                turn.settle(LEFT)

    def share_turns(self, images: Iterable[PoolIndex], owner: Person, deadline_s: float) -> None:
        """Let the calls for *images* take the turn of *owner*, who waits for them too, if it comes sooner, and its time."""
        for image in images:
            turn = self._by_image.get(image)
            if turn is not None:
                self._extend(turn, deadline_s)
                if turn.is_waiting:
                    self._line.share(turn, owner)

    @property
    def _free(self) -> int:
        """The calls that may be sent at once; none while others wait."""
        if self._line.length or self._pacing is not None:
            return 0
        return self._bounds.in_flight - len(self._in_flight)

    def _may_go_at_once(self, turn: Turn) -> bool:
        """Take a free slot for *turn*, or put it into the line; returns False if it must wait or is refused."""
        now_s = self._clock.monotonic_s()
        turn.joined_s = now_s
        _judge(turn)
        if self._free > 0 and self._pace is None and not (turn.is_probe or self._outcomes.is_open):
            self._in_flight[turn] = now_s
            self._kinds[turn.kind] += 1
            return True
        self._line.add(turn)
        self._pass_on()
        if turn.is_waiting:
            surplus = self._line.find_surplus(turn.owners[0])
            for each in [turn] if surplus is None else surplus:
                self._line.remove(each)
                each.settle(self._refuse_as_full(self._wait_s([each], now_s), now_s))
        return False

    def _extend(self, turn: Turn, deadline_s: float) -> None:
        """Let *turn* last until *deadline_s*, unless it is over.

        It never lasts longer than the gateway's whole deadline: with ever new orders behind it, a call that hangs would
        keep all of them from its image.
        """
        deadline_s = min(deadline_s, turn.joined_s + self._bounds.deadline_s)
        timeout = turn.timeout
        if deadline_s <= turn.deadline_s or (timeout is not None and timeout.expired()):
            return
        ended_s = self._end_of(turn)
        turn.deadline_s = deadline_s
        _judge(turn)
        if timeout is not None:
            timeout.reschedule((timeout.when() or 0.0) + self._end_of(turn) - ended_s)

    def _end_of(self, turn: Turn) -> float:
        """Return the instant at which the time-out of *turn* strikes: of its wait, or of its call."""
        return turn.send_by_s if turn.is_waiting or self._pacing is turn else turn.deadline_s

    async def _wait(self, turn: Turn) -> None:
        if turn.is_waiting:
            turn.news = asyncio.get_running_loop().create_future()
            await turn.news
        if self._pacing is turn and self._pace is not None:
            # The bucket never holds more.
            await self._pace.acquire(min(turn.images, self._pace.max_rate))
            self._in_flight[turn] = self._clock.monotonic_s()
            if self._trial.turn is turn:
                self._trial.bound(self._durations.patience_s(turn.kind))
            self._go_on_after_pacing(turn)

    def _go_on_after_pacing(self, turn: Turn) -> None:
        if self._pacing is turn:
            self._pacing = None
        self._pass_on()

    def _pass_on(self) -> None:
        """Give free slots to the calls whose turn it is."""
        while self._line.length and self._may_pass_on():
            turn, owner = self._line.take()
            refusal = self._find_reason_not_to_send(turn)
            if refusal is None:
                self._line.charge(owner, turn.images)
                self._in_flight[turn] = self._clock.monotonic_s()
                self._kinds[turn.kind] += 1
                self._pacing = turn if self._pace is not None else None
                if self._outcomes.is_open:
                    self._trial.turn = turn
                    if self._pacing is None:
                        self._trial.bound(self._durations.patience_s(turn.kind))
            turn.settle(refusal)

    def _may_pass_on(self) -> bool:
        is_held = self._pacing is not None or self._trial.turn is not None
        return not is_held and len(self._in_flight) < self._bounds.in_flight

    def _find_reason_not_to_send(self, turn: Turn) -> CallFailure | None:
        if not turn.is_wanted():
            return LEFT
        now_s = self._clock.monotonic_s()
        needed_s = self._durations.needed_s(turn.kind, turn.deadline_s - turn.joined_s) or 0.0
        left_s = turn.deadline_s - now_s
        is_probing = turn.is_probe and not self._kinds[turn.kind] and left_s > 0
        return None if left_s > needed_s or is_probing else self._refuse("late", self._wait_s([turn], now_s))

    def _refuse(self, reason: QueueRefusal, retry_after_s: float | None) -> CallFailure:
        self._telemetry.record(CallRefused(reason=reason))
        return refuse(reason, retry_after_s or 0.0)

    def _refuse_as_full(self, wait_s: float, now_s: float) -> CallFailure:
        # Before it is known how long calls take: at least as long as those that still run.
        return self._refuse("full", wait_s or now_s - min(self._in_flight.values(), default=now_s))

    def _wait_s(self, turns: Sequence[Turn], now_s: float) -> float:
        """Estimate the wait of the last of *turns*, which have not joined; 0 if nothing is known."""
        calls, images = self._line.count_ahead(turns)
        call_s = self._durations.mean_s()
        pacing = self._pacing.images if self._pacing else 0
        pace_s = wait_for_pace_s(self._pace, images + 1 + pacing)
        if call_s is None:
            return pace_s
        ages_s = (
            0.0 if each is self._pacing else now_s - began_s for each, began_s in self._in_flight.items()
        )
        free = self._bounds.in_flight - len(self._in_flight)
        return max(pace_s, wait_for_slot_s(ages_s, free=free, ahead=calls, call_s=call_s))

    def _note(self, turn: Turn, result: CallMade | CallFailure, started_s: float) -> None:
        """Learn from the result of a call that was sent."""
        age_s = self._clock.monotonic_s() - started_s
        if isinstance(result, CallMade):
            self._durations.note_answer(turn.kind, age_s, is_probe=turn.is_probe)
        elif result.kind is FailureKind.TIMED_OUT:
            self._durations.note_silence(turn.kind, age_s, is_probe=turn.is_probe)
            due_s = min(self._durations.due_s(turn.kind), _WHOLE * self._bounds.deadline_s)
            if turn.deadline_s - started_s < due_s:
                # Its caller was in a hurry, or it waited long: that says nothing about the provider.
                return
        is_unknown = isinstance(result, CallFailure) and result.billing is Billing.UNKNOWN
        if is_unknown or self._outcomes.in_a_row:
            self._outcomes.note(is_unknown=is_unknown)
        if not self._outcomes.is_open:
            self._trial.turn = None


def _judge(turn: Turn) -> None:
    """Tell until when the call of *turn* may be sent, and if only against the odds."""
    needed_s = turn.needed_s
    turn.is_probe = needed_s is not None and turn.deadline_s - turn.joined_s < needed_s
    turn.send_by_s = turn.deadline_s - (0.0 if needed_s is None or turn.is_probe else needed_s)
