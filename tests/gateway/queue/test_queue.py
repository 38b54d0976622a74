"""The queue before a provider, on held time: each call takes as long as the test says."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiolimiter import AsyncLimiter

from service.domain.failures import Billing, CallFailure, FailureKind
from service.domain.images import CallMade
from service.domain.rests import RULES, RestReason
from service.gateway.queue.durations import FEWEST, WINDOW_S, Kind
from service.gateway.queue.queue import Bounds
from service.gateway.queue.turn import Turn
from service.gateway.queue.turns import Person
from service.ports.provider import Pace
from service.ports.telemetry import CallQueued, CallRefused
from tests.fakes.backend import FakeBackend
from tests.fakes.clock import FakeClock, until_idle
from tests.fakes.routing import a_queue
from tests.fakes.telemetry import FakeTelemetry
from tests.fakes.values import a_call_made, a_failure

IN_A_ROW = RULES[RestReason.UNANSWERED].in_a_row
KIND = Kind("gpt-image-2", "generate", "high", 21, 0)
TIMED_OUT = a_failure(kind=FailureKind.TIMED_OUT, billing=Billing.UNKNOWN)
BROKEN = a_failure(kind=FailureKind.BROKEN, billing=Billing.UNKNOWN)
UNBILLED = a_failure(kind=FailureKind.OVERLOADED, billing=Billing.NOT_BILLED)
MADE = a_call_made(b"image")


def a_judged(provider: "Provider", *, left_s: float) -> Turn:
    """Return the turn of an order that was not refused, for the first image of a pool."""
    turn = provider.turn(left_s=left_s, pool_indices=(("pool", 0),))
    turn.needed_s = 5.0
    return turn


@dataclass
class Provider:
    """Answers each call after *call_s*, with *result*; a call that lasts to its deadline times out."""

    clock: FakeClock
    in_flight: int = 2
    pace: Pace | None = None
    bounds: dict[str, int] = field(default_factory=dict)
    call_s: float = 4.0
    result: CallMade | CallFailure = MADE
    telemetry: FakeTelemetry = field(default_factory=FakeTelemetry)
    sent: list[str] = field(default_factory=list)
    sent_at_s: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.began_s = self.clock.monotonic_s()
        self.queue = a_queue(
            self.clock,
            self.telemetry,
            FakeBackend(),
            bounds=Bounds(deadline_s=30.0, **self.bounds),
            most_calls=self.in_flight,
            pace=self.pace,
        )

    def turn(self, *, user: str = "user", team: str = "team", left_s: float = 30.0, **fields: Any) -> Turn:
        deadline_s = self.clock.monotonic_s() + left_s
        owners, route = [Person(team, user)], self.queue.routing.route(((), KIND.model))
        given: dict[str, Any] = {
            "kind": KIND,
            "route": route,
            "owners": owners,
            "images": 1,
            "deadline_s": deadline_s,
        }
        return Turn(**(given | fields))

    def end(self, turn: Turn, result: CallMade | CallFailure, began_s: float) -> None:
        self.queue.note(turn, result, began_s)
        self.queue.end(turn)

    async def call(self, name: str, turn: Turn) -> CallMade | CallFailure:
        """Take the turn and make the call, as `make.py` does."""
        try:
            refusal = await self.queue.take_turn(turn)
            if refusal is not None:
                self.refused.append(name)
                return refusal
            self.sent.append(name)
            self.sent_at_s.append(round(self.clock.monotonic_s() - self.began_s, 3))
            began_s, is_cut_off = self.clock.monotonic_s(), False
            try:
                async with self.clock.timeout_at(turn.deadline_s) as turn.timeout:
                    await asyncio.sleep(self.call_s)
                result = self.result
            except TimeoutError:
                result, is_cut_off = TIMED_OUT, True
            self.queue.note(turn, result, began_s, is_cut_off=is_cut_off)
            return result
        finally:
            self.queue.end(turn)

    async def order(self, name: str, **fields: Any) -> CallMade | CallFailure:
        """Make an order of one call, unless the queue refuses it."""
        turn = self.turn(**fields)
        return self.queue.find_refusal([turn]) or await self.call(name, turn)

    async def orders(self, name: str, number: int) -> list[CallMade | CallFailure]:
        """Make so many orders at once."""
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self.order(name)) for _ in range(number)]
        return [task.result() for task in tasks]

    async def learn(self, calls: int = FEWEST) -> None:
        for _ in range(calls):
            await self.order("learnt")
        self.sent.clear()
        self.sent_at_s.clear()
        self.began_s = self.clock.monotonic_s()


def message_of(result: CallMade | CallFailure) -> str:
    assert isinstance(result, CallFailure)
    assert (result.code, result.billing) == ("overloaded", Billing.NOT_BILLED)
    return result.message


async def test_a_free_slot_is_taken_without_waiting(clock: FakeClock) -> None:
    provider = Provider(clock)
    turn = provider.turn()

    step = provider.queue.take_turn(turn)
    with pytest.raises(StopIteration) as ended:
        step.send(None)

    assert ended.value.value is None


async def test_calls_in_flight_are_bounded_and_callers_take_turns(clock: FakeClock) -> None:
    provider = Provider(clock)
    async with asyncio.TaskGroup() as group:
        for number in range(6):
            group.create_task(provider.order(f"many {number}", user="many"))
        group.create_task(provider.order("few", user="few"))

    assert provider.sent == ["many 0", "many 1", "many 2", "few", "many 3", "many 4", "many 5"]
    assert provider.sent_at_s == [0, 0, 4, 4, 8, 8, 12]
    assert provider.queue.length == 0
    waits = [fact.waited_s for fact in provider.telemetry.of(CallQueued)]
    assert waits == [4.0, 4.0, 8.0, 8.0, 12.0]


async def test_an_order_that_cannot_be_answered_in_time_is_refused_at_once(clock: FakeClock) -> None:
    provider = Provider(clock)
    await provider.learn()
    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(provider.order(str(number)))
        await until_idle()
        result = await provider.order("late", left_s=20.0)
        in_time = group.create_task(provider.order("in time", left_s=30.0))

    assert "others wait" in message_of(result)
    assert isinstance(result, CallFailure)
    assert result.retry_after_s == pytest.approx(16.0, abs=0.1)
    assert in_time.result() is MADE
    assert "late" not in provider.sent
    assert provider.telemetry.of(CallRefused) == [CallRefused(reason="late")]


async def test_all_calls_of_an_order_must_be_answered_in_time(clock: FakeClock) -> None:
    provider = Provider(clock)
    await provider.learn()

    assert provider.queue.find_refusal([provider.turn(left_s=20.0) for _ in range(10)]) is not None
    assert provider.queue.find_refusal([provider.turn(left_s=20.0) for _ in range(4)]) is None


async def test_a_caller_with_much_in_the_queue_is_refused_before_others(clock: FakeClock) -> None:
    provider = Provider(clock)
    await provider.learn()
    async with asyncio.TaskGroup() as group:
        for number in range(12):
            group.create_task(provider.order(str(number), user="many", left_s=500.0))
        await until_idle()

        assert provider.queue.find_refusal([provider.turn(user="many", left_s=20.0)]) is not None
        assert provider.queue.find_refusal([provider.turn(user="few", left_s=20.0)]) is None


async def test_nothing_is_refused_by_estimate_before_enough_is_known(clock: FakeClock) -> None:
    provider = Provider(clock)
    await provider.learn(FEWEST - 1)
    async with asyncio.TaskGroup() as group:
        for number in range(20):
            group.create_task(provider.order(str(number), left_s=500.0))
        await until_idle()

        assert provider.queue.find_refusal([provider.turn(left_s=1.0)]) is None


async def test_no_call_is_sent_with_less_time_than_it_needs(clock: FakeClock) -> None:
    provider = Provider(clock, in_flight=1)
    await provider.learn()
    turn, hurried = provider.turn(), provider.turn(left_s=8.0)
    async with asyncio.TaskGroup() as group:
        group.create_task(provider.call("first", turn))
        await until_idle()
        # As if others had their turn sooner than it seemed.
        hurried.needed_s = 4.4
        late = group.create_task(provider.call("late", hurried))
        started_s = clock.monotonic_s()
        await asyncio.wait({late})
        waited_s = clock.monotonic_s() - started_s

    assert waited_s == pytest.approx(8.0 - 4.4, abs=0.01)
    assert "others wait" in message_of(late.result())
    assert provider.sent == ["first"]


async def test_a_call_whose_time_ran_out_at_its_turn_is_not_sent(clock: FakeClock) -> None:
    provider = Provider(clock, in_flight=1)
    first, second = provider.turn(), provider.turn(left_s=5.0)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(provider.call("first", first))
        late = group.create_task(provider.call("second", second))
        await until_idle()
        clock.advance(6.0)
        task.cancel()

    assert "others wait" in message_of(late.result())
    assert provider.sent == ["first"]


async def test_a_full_queue_refuses_the_next(clock: FakeClock) -> None:
    provider = Provider(clock, in_flight=1, bounds={"waiting": 2, "waiting_bytes": 100})
    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(provider.order(str(number), held_bytes=40))
        await until_idle()
        assert provider.queue.length == 2
        many = await provider.order("one more")
        at_its_turn = await provider.call("one more", provider.turn())

    assert "Too many" in message_of(many)
    assert "Too many" in message_of(at_its_turn)
    assert isinstance(many, CallFailure)
    assert many.is_shared
    async with asyncio.TaskGroup() as group:
        group.create_task(provider.order("first", held_bytes=1000))
        group.create_task(provider.order("small", held_bytes=10))
        await until_idle()
        assert "Too many" in message_of(await provider.order("large", held_bytes=91))


@pytest.mark.parametrize("other", [{"team": "other"}, {"user": "other"}])
async def test_who_holds_most_of_a_full_queue_gives_way(clock: FakeClock, other: dict[str, Any]) -> None:
    provider = Provider(clock, in_flight=1, bounds={"waiting": 4})
    async with asyncio.TaskGroup() as group:
        crowd = [group.create_task(provider.order(f"many {number}", left_s=99.0)) for number in range(5)]
        await until_idle()
        one_more = await provider.order("many 5")
        few = [
            group.create_task(provider.order(f"few {number}", left_s=99.0, **other)) for number in range(2)
        ]
        await until_idle()
        assert provider.queue.length == 4
        as_many = provider.queue.find_refusal([provider.turn(**other)])

    # Its newest calls are refused, up to as many for each.
    assert "Too many" in message_of(one_more)
    assert "Too many" in message_of(crowd[4].result())
    assert "Too many" in message_of(crowd[3].result())
    assert as_many is not None
    assert [task.result() for task in (*crowd[:3], *few)] == [MADE] * 5
    assert provider.telemetry.of(CallRefused) == [CallRefused(reason="full")] * 4


async def test_who_holds_most_bytes_of_a_full_queue_gives_way(clock: FakeClock) -> None:
    provider = Provider(clock, in_flight=1, bounds={"waiting": 10, "waiting_bytes": 100})
    async with asyncio.TaskGroup() as group:
        group.create_task(provider.order("first"))
        await until_idle()
        small = [group.create_task(provider.order("small", team="small", left_s=99.0)) for _ in range(4)]
        large = [group.create_task(provider.order("large", held_bytes=30, left_s=99.0)) for _ in range(3)]
        await until_idle()
        other = group.create_task(provider.order("other", team="other", held_bytes=50, left_s=99.0))
        await until_idle()
        too_large = await provider.order("too large", team="third", held_bytes=101)

    assert "Too many" in message_of(too_large)
    assert [isinstance(task.result(), CallFailure) for task in large] == [False, True, True]
    assert [task.result() for task in (*small, other)] == [MADE] * 5


async def test_a_full_queue_of_a_new_gateway_says_to_come_back_after_as_long_as_calls_take(
    clock: FakeClock,
) -> None:
    provider = Provider(clock, in_flight=1, bounds={"waiting": 1}, call_s=29.0)
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            group.create_task(provider.order("first"))
        await asyncio.sleep(20.0)
        refused = await provider.order("refused")

    assert isinstance(refused, CallFailure)
    assert refused.retry_after_s == pytest.approx(20.0)


async def test_who_leaves_is_not_sent(clock: FakeClock) -> None:
    provider, wanted = Provider(clock, in_flight=1), {"is": True}
    turn, other = provider.turn(is_wanted=lambda: wanted["is"]), provider.turn()
    async with asyncio.TaskGroup() as group:
        group.create_task(provider.order("first"))
        await until_idle()
        leaver = group.create_task(provider.call("leaver", turn))
        group.create_task(provider.call("other", other))
        await until_idle()
        provider.queue.drop_unwanted([turn, other])
        assert provider.queue.length == 2
        wanted["is"] = False
        provider.queue.drop_unwanted([turn, other])
        assert provider.queue.length == 1

    assert "left" in message_of(leaver.result())
    assert provider.sent == ["first", "other"]


async def test_who_has_left_at_its_turn_is_not_sent(clock: FakeClock) -> None:
    provider, wanted = Provider(clock, in_flight=1), {"is": True}
    async with asyncio.TaskGroup() as group:
        group.create_task(provider.order("first"))
        await until_idle()
        leaver = group.create_task(provider.call("leaver", provider.turn(is_wanted=lambda: wanted["is"])))
        await until_idle()
        wanted["is"] = False

    assert "left" in message_of(leaver.result())
    assert provider.sent == ["first"]


async def test_a_call_takes_the_best_turn_of_those_who_wait_for_it(clock: FakeClock) -> None:
    provider = Provider(clock, in_flight=1)
    async with asyncio.TaskGroup() as group:
        for number in range(5):
            group.create_task(provider.order(str(number), user="many", pool_indices=(("pool", number),)))
        await until_idle()
        provider.queue.share_turns([("pool", 4), ("pool", 99)], Person("team", "few"), 0.0)
        provider.queue.share_turns([("pool", 4)], Person("team", "few"), 0.0)

    assert provider.sent == ["0", "1", "4", "2", "3"]


async def test_a_call_waits_in_the_time_of_the_most_patient_of_those_who_wait_for_it(
    clock: FakeClock,
) -> None:
    """Its order alone would have given up after a second: a call needs 5 s, as known."""
    provider = Provider(clock, in_flight=1)
    await provider.learn()
    provider.sent.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(provider.order("first"))
        await until_idle()
        hurried = group.create_task(provider.call("shared", a_judged(provider, left_s=6.0)))
        await until_idle()
        provider.queue.share_turns([("pool", 0)], Person("team", "patient"), clock.monotonic_s() + 20.0)

    assert hurried.result() is MADE
    assert provider.sent == ["first", "shared"]


async def test_a_call_that_is_long_enough_for_another_is_no_probe(clock: FakeClock) -> None:
    provider = Provider(clock, in_flight=1)
    await provider.learn()
    probe = a_judged(provider, left_s=4.5)
    async with asyncio.TaskGroup() as group:
        group.create_task(provider.order("first"))
        await until_idle()
        group.create_task(provider.call("shared", probe))
        await until_idle()
        assert probe.is_probe
        provider.queue.share_turns([("pool", 0)], Person("team", "patient"), clock.monotonic_s() + 20.0)
        assert not probe.is_probe


async def test_a_call_may_be_extended_between_two_waits(clock: FakeClock) -> None:
    provider = Provider(clock)
    turn = provider.turn(left_s=6.0, pool_indices=(("pool", 0),))
    assert await provider.queue.take_turn(turn) is None

    provider.queue.share_turns([("pool", 0)], Person("team", "patient"), clock.monotonic_s() + 20.0)

    assert turn.deadline_s == clock.monotonic_s() + 20.0
    provider.end(turn, MADE, clock.monotonic_s())


async def test_the_end_of_a_call_leaves_that_of_its_successor(clock: FakeClock) -> None:
    """A call that was taken for dead ends after another has begun to make its image."""
    provider = Provider(clock)
    dead, successor = (provider.turn(left_s=6.0, pool_indices=(("pool", 0),)) for _ in range(2))
    for turn in (dead, successor):
        await provider.queue.take_turn(turn)
    provider.end(dead, TIMED_OUT, clock.monotonic_s())
    patient_s = clock.monotonic_s() + 20.0

    provider.queue.share_turns([("pool", 0)], Person("team", "patient"), patient_s)

    assert (dead.deadline_s == patient_s, successor.deadline_s == patient_s) == (False, True)
    provider.end(successor, MADE, clock.monotonic_s())


async def test_a_slower_provider_gets_one_probe_at_a_time_until_it_recovers(clock: FakeClock) -> None:
    provider = Provider(clock)
    await provider.learn()
    provider.call_s = 40.0
    for _ in range(IN_A_ROW - 1):
        await provider.orders("slow", 2)
    sent = len(provider.sent)
    async with asyncio.TaskGroup() as group:
        probes = [group.create_task(provider.order("probe")) for _ in range(5)]
    assert len(provider.sent) == sent + 1
    assert [message_of(probe.result()) for probe in probes[1:]]

    provider.call_s = 4.0
    while isinstance(await provider.order("again"), CallFailure):
        pass
    for _ in range(3):
        await provider.order("again")
    assert await provider.orders("many", 8) == [MADE] * 8


async def test_an_order_with_too_little_time_for_any_call_is_no_probe(clock: FakeClock) -> None:
    provider = Provider(clock)
    await provider.learn()

    result = await provider.order("hurried", left_s=2.0)

    assert "takes longer" in message_of(result)
    assert provider.sent == []


@pytest.mark.parametrize("is_hurried", [True, False])
async def test_a_caller_in_a_hurry_is_a_reason_of_its_own(clock: FakeClock, is_hurried: bool) -> None:
    provider = Provider(clock)
    await provider.learn()

    await provider.order("hurried", left_s=2.0, is_hurried=is_hurried)

    assert provider.telemetry.of(CallRefused) == [CallRefused(reason="hurried" if is_hurried else "slow")]


@pytest.mark.parametrize("known", [0, FEWEST])
async def test_hurried_callers_do_not_make_a_provider_look_broken(clock: FakeClock, known: int) -> None:
    provider = Provider(clock)
    await provider.learn(known)
    for _ in range(2 * FEWEST):
        turn = provider.turn(left_s=3.0)
        assert await provider.call("hurried", turn) is TIMED_OUT

    assert await provider.orders("many", 2) == [MADE] * 2


async def test_hurried_callers_do_not_make_a_broken_provider_look_well(clock: FakeClock) -> None:
    provider = Provider(clock)
    provider.result = BROKEN
    for _ in range(IN_A_ROW):
        await provider.order("broken")
    assert await provider.order("hurried", left_s=3.0) is TIMED_OUT
    async with asyncio.TaskGroup() as group:
        group.create_task(provider.order("trial"))
        await until_idle()
        refused = await provider.order("refused")

    assert "breaks calls off" in message_of(refused)


async def test_a_provider_that_is_silent_for_the_whole_deadline_is_not_trusted(clock: FakeClock) -> None:
    provider = Provider(clock)
    provider.call_s = 99.0
    for _ in range(IN_A_ROW):
        await provider.order("silent")
    async with asyncio.TaskGroup() as group:
        group.create_task(provider.order("trial"))
        await until_idle()
        refused = await provider.order("refused")

    assert "breaks calls off" in message_of(refused)


async def test_unknown_outcomes_in_a_row_leave_one_trial_at_a_time(clock: FakeClock) -> None:
    provider = Provider(clock, in_flight=3)
    provider.result = BROKEN
    async with asyncio.TaskGroup() as group:
        for number in range(IN_A_ROW + 4):
            group.create_task(provider.order(str(number), left_s=99.0))
        await asyncio.sleep(8.5)
        # Two rounds of three, and a seventh as soon as the fourth had ended.
        assert len(provider.sent) == 7 + 1
        refused = await provider.order("refused")

    assert "breaks calls off" in message_of(refused)
    assert isinstance(refused, CallFailure)
    assert refused.is_shared
    # Who waited keeps the place.
    assert provider.refused == []
    assert provider.sent_at_s == [0, 0, 0, 4, 4, 4, 8, 8, 12]

    provider.result = UNBILLED
    await provider.order("known")
    provider.result = MADE
    assert await provider.orders("many", 3) == [MADE] * 3


async def a_broken_queue(provider: Provider, *, hanging: int = 1) -> list[Turn]:
    """Have so many calls hang, and others end with an unknown outcome."""
    older = [provider.turn(left_s=300.0) for _ in range(hanging)]
    for turn in older:
        assert await provider.queue.take_turn(turn) is None
    provider.result = BROKEN
    for _ in range(IN_A_ROW):
        await provider.order("broken", left_s=300.0)
    provider.result = MADE
    provider.sent.clear()
    return older


async def test_a_call_that_hangs_since_before_does_not_hold_the_trials_back(clock: FakeClock) -> None:
    provider = Provider(clock)
    await a_broken_queue(provider)

    assert await provider.order("trial") is MADE
    assert await provider.order("next") is MADE


async def test_an_answer_to_an_older_call_ends_the_trials(clock: FakeClock) -> None:
    provider = Provider(clock, in_flight=3)
    [older, oldest] = await a_broken_queue(provider, hanging=2)
    provider.call_s = 200.0
    async with asyncio.TaskGroup() as group:
        group.create_task(provider.order("trial", left_s=300.0))
        await until_idle()
        waiting = [group.create_task(provider.call("waits", provider.turn(left_s=300.0))) for _ in range(2)]
        await until_idle()
        assert provider.sent == ["trial"]
        provider.end(older, MADE, clock.monotonic_s())
        provider.end(oldest, MADE, clock.monotonic_s())
        await until_idle()
        assert provider.sent == ["trial", "waits", "waits"]

    assert [task.result() for task in waiting] == [MADE] * 2


async def test_a_trial_from_before_an_answer_does_not_count_as_one_later(clock: FakeClock) -> None:
    provider = Provider(clock, in_flight=3)
    [older] = await a_broken_queue(provider)
    assert await provider.queue.take_turn(provider.turn(left_s=300.0)) is None
    provider.end(older, MADE, clock.monotonic_s())
    provider.result = BROKEN
    for _ in range(IN_A_ROW):
        await provider.order("broken", left_s=300.0)
    provider.result = MADE

    assert await provider.order("trial") is MADE


async def test_a_trial_that_is_cut_off_is_followed_by_the_next(clock: FakeClock) -> None:
    provider = Provider(clock)
    await a_broken_queue(provider, hanging=0)
    async with asyncio.TaskGroup() as group:
        trial = group.create_task(provider.call("trial", provider.turn()))
        await until_idle()
        following = group.create_task(provider.call("next", provider.turn()))
        await until_idle()
        assert provider.sent == ["trial"]
        trial.cancel()

    assert following.result() is MADE


async def test_a_trial_that_hangs_is_followed_by_one_each_time_that_such_a_call_needs_twice(
    clock: FakeClock,
) -> None:
    provider = Provider(clock, in_flight=9)
    provider.call_s = 20.0
    await provider.learn()
    await a_broken_queue(provider, hanging=0)
    # Its last answer is so long ago that it limits no order.
    await asyncio.sleep(WINDOW_S)
    provider.began_s = clock.monotonic_s()
    provider.sent_at_s.clear()
    provider.call_s = 999.0
    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(provider.order("trial", left_s=300.0))
            await until_idle()
            for left_s in (40.0, 1.0):
                refused = await provider.order("refused", left_s=300.0)
                assert isinstance(refused, CallFailure)
                assert refused.retry_after_s == pytest.approx(left_s, abs=0.1)
                await asyncio.sleep(left_s - 1.0)
            await asyncio.sleep(1.1)
        assert provider.sent_at_s == pytest.approx([0, 40, 80, 120], abs=1)
        provider.call_s = 20.0
        group.create_task(provider.order("mended", left_s=300.0))
        await asyncio.sleep(20.1)
        assert await provider.order("next", left_s=300.0) is MADE

    assert provider.sent == ["trial"] * 4 + ["mended", "next"]


@pytest.mark.parametrize("is_paced", [False, True], ids=["at once", "paced"])
async def test_an_order_that_waits_becomes_the_trial_after_one_that_hangs(
    clock: FakeClock, is_paced: bool
) -> None:
    provider = Provider(clock, pace=AsyncLimiter(100, 1.0) if is_paced else None)
    await provider.learn()
    await a_broken_queue(provider, hanging=0)
    provider.began_s = clock.monotonic_s()
    async with asyncio.TaskGroup() as group:
        hanging = group.create_task(
            provider.call("hangs", provider.turn(left_s=300.0, is_wanted=lambda: True))
        )
        provider.call_s = 999.0
        await until_idle()
        following = group.create_task(provider.call("next", provider.turn()))
        provider.call_s = 4.0
        await until_idle()
        await asyncio.sleep(9.9)
        assert provider.sent == ["hangs"]
        await asyncio.sleep(0.2)
        assert provider.sent == ["hangs", "next"]
        assert await following is MADE
        hanging.cancel()


@pytest.mark.parametrize("how", ["leaves", "is late"])
async def test_a_trial_that_is_not_sent_is_followed_by_the_next(clock: FakeClock, how: str) -> None:
    provider = Provider(clock, pace=AsyncLimiter(IN_A_ROW, 250.0))
    await a_broken_queue(provider, hanging=0)
    is_wanted = {"leaves": True}
    turn = provider.turn(left_s=20.0 if how == "is late" else 200.0, is_wanted=lambda: is_wanted["leaves"])
    async with asyncio.TaskGroup() as group:
        trial = group.create_task(provider.call("trial", turn))
        await until_idle()
        following = group.create_task(provider.call("next", provider.turn(left_s=200.0)))
        await until_idle()
        is_wanted["leaves"] = how != "leaves"

    assert ("left" if how == "leaves" else "others wait") in message_of(trial.result())
    assert following.result() is MADE
    assert provider.sent == ["next"]


async def test_who_waits_while_the_provider_is_tried_waits_no_longer_than_there_is_time(
    clock: FakeClock,
) -> None:
    provider = Provider(clock)
    await a_broken_queue(provider, hanging=0)
    provider.call_s = 20.0
    async with asyncio.TaskGroup() as group:
        group.create_task(provider.order("trial"))
        await until_idle()
        late = await provider.call("late", provider.turn(left_s=5.0))

    assert "others wait" in message_of(late)
    assert provider.sent == ["trial"]


async def test_the_pace_is_a_part_of_the_queue(clock: FakeClock) -> None:
    provider = Provider(clock, in_flight=8, pace=AsyncLimiter(2, 10.0))
    await provider.learn()
    await asyncio.sleep(10.0)
    provider.began_s = clock.monotonic_s()
    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(provider.order(f"many {number}", user="many", left_s=60.0))
        await until_idle()
        group.create_task(provider.order("few", user="few"))
        await until_idle()
        late = await provider.order("late", user="third", left_s=15.0)
        large = group.create_task(provider.order("large", user="third", images=5, left_s=99.0))

    assert "others wait" in message_of(late)
    assert provider.sent == ["many 0", "many 1", "many 2", "few", "large", "many 3"]
    assert provider.sent_at_s == [0, 0, 5, 10, 20, 25]
    assert large.result() is MADE


async def test_the_wait_for_the_pace_is_no_part_of_a_call(clock: FakeClock) -> None:
    provider = Provider(clock, pace=AsyncLimiter(1, 10.0))
    await provider.learn()
    turn = provider.turn()

    assert provider.queue.find_refusal([turn]) is None
    assert turn.needed_s == pytest.approx(5.0)


async def test_a_call_that_waits_for_the_pace_has_not_begun(clock: FakeClock) -> None:
    provider = Provider(clock, pace=AsyncLimiter(1, 2.0), call_s=12.0)
    await provider.learn()
    async with asyncio.TaskGroup() as group:
        for name in ("sent", "paced", "waits"):
            group.create_task(provider.order(name, left_s=99.0))
        await asyncio.sleep(1.0)
        refused = await provider.order("refused", left_s=30.0)

    assert isinstance(refused, CallFailure)
    # The slot of the paced call is free 12 s after it is sent, not after it came.
    assert refused.retry_after_s == pytest.approx(12.0, abs=0.1)


async def test_a_call_cancelled_in_the_pace_leaves_it_to_the_next(clock: FakeClock) -> None:
    provider = Provider(clock, in_flight=8, pace=AsyncLimiter(1, 10.0))
    async with asyncio.TaskGroup() as group:
        group.create_task(provider.order("first"))
        await until_idle()
        cancelled = group.create_task(provider.order("cancelled"))
        group.create_task(provider.order("next"))
        await until_idle()
        cancelled.cancel()

    assert provider.sent == ["first", "next"]
    assert provider.sent_at_s == [0, 10]


async def test_a_call_cancelled_as_its_turn_comes_passes_it_on(clock: FakeClock) -> None:
    provider = Provider(clock, in_flight=1)
    async with asyncio.TaskGroup() as group:
        first = provider.turn()
        await provider.queue.take_turn(first)
        cancelled = group.create_task(provider.order("cancelled"))
        group.create_task(provider.order("next"))
        await until_idle()
        provider.end(first, MADE, clock.monotonic_s())
        cancelled.cancel()

    assert provider.sent == ["next"]
