"""What ends between two looks at the clock, or while a call waits for something else, is never missed."""

import asyncio
from dataclasses import replace

import pytest
from aiolimiter import AsyncLimiter

from service.domain.failures import Billing, FailureKind
from service.domain.rests import Rest, RestName, RestReason
from service.gateway.queue.durations import FEWEST
from service.gateway.queue.turn import Turn
from service.gateway.routing.route import Course
from tests.fakes.clock import FakeClock, until_idle
from tests.fakes.routing import a_key
from tests.fakes.values import a_failure
from tests.gateway.queue.keys import CALL_S, MADE, MODEL, Keys, SlowClock

TIMED_OUT = a_failure(kind=FailureKind.TIMED_OUT, billing=Billing.UNKNOWN)


@pytest.mark.parametrize("looks", range(1, 20))
async def test_a_call_is_woken_whenever_a_pause_ends(clock: FakeClock, looks: int) -> None:
    """Between any two looks at the clock: what seemed to rest at one may be open at the next."""
    key = a_key(name="one/a")
    keys = Keys(SlowClock(clock), key)
    keys.throttle(key, looks + 0.5)

    assert await keys.order("waits") is MADE
    assert keys.sent[0][2] < looks + 20


@pytest.mark.parametrize("looks", range(1, 20))
async def test_a_call_is_repeated_whenever_a_pause_ends(clock: FakeClock, looks: int) -> None:
    key = a_key(name="one/a")
    keys = Keys(SlowClock(clock), key)
    turn = keys.turn()
    assert await keys.queue.take_turn(turn) is None
    keys.throttle(key, looks + 0.5)

    assert await keys.queue.go_on(turn)


@pytest.mark.parametrize("looks", range(1, 20))
async def test_a_call_waits_on_if_a_long_pause_becomes_a_short_one(clock: FakeClock, looks: int) -> None:
    """Orders wait for a pause of less than 20 s: it gets so short while the queue looks at it."""
    key = a_key(name="one/a", most_calls=1)
    keys = Keys(SlowClock(clock), key)
    first, waiting = keys.turn(), keys.turn()
    assert await keys.queue.take_turn(first) is None
    async with asyncio.TaskGroup() as group:
        taken = group.create_task(keys.queue.take_turn(waiting))
        await until_idle()
        keys.throttle(key, 20.0 + looks)
        keys.queue.end(first)

    refusal = taken.result()
    assert (refusal is None) == (waiting.course is not None)
    assert refusal is None or refusal.kind is FailureKind.RATE_LIMITED


async def test_a_call_that_waits_goes_on_once_another_process_ends_a_rest(clock: FakeClock) -> None:
    key = a_key(name="one/a")
    keys = Keys(clock, key)
    rest = Rest(name=RestName(key.name, "gpt-image-2"), reason=RestReason.UNANSWERED, left_s=60.0)
    keys.routing.observe(rest)
    trial, waiting = keys.turn(), keys.turn()
    assert await keys.queue.take_turn(trial) is None
    async with asyncio.TaskGroup() as group:
        watch = group.create_task(keys.queue.watch_forever())
        taken = group.create_task(keys.queue.take_turn(waiting))
        await until_idle()
        assert waiting.is_waiting
        keys.routing.observe(replace(rest, left_s=0.0))
        assert await taken is None
        watch.cancel()

    assert clock.monotonic_s() - keys.began_s < 2.0


async def test_a_repeat_at_a_paced_key_wakes_those_that_wait_for_the_pace(clock: FakeClock) -> None:
    key = a_key(name="one/a", pace=AsyncLimiter(10, 10.0))
    keys = Keys(clock, key)
    repeated, waiting = keys.turn(images=10), keys.turn(images=5)
    assert await keys.queue.take_turn(repeated) is None
    async with asyncio.TaskGroup() as group:
        taken = group.create_task(keys.queue.take_turn(waiting))
        await until_idle()
        repeated.images = 1
        assert await keys.queue.go_on(repeated)
        await keys.queue.pass_pace(repeated)
        assert await taken is None

    assert clock.monotonic_s() - keys.began_s < 10.0


async def test_a_place_in_the_pace_is_for_the_call_that_is_about_to_take_it(clock: FakeClock) -> None:
    """Another that ends at the key in the same moment does not give it to a third."""
    key = a_key(name="one/a", pace=AsyncLimiter(1, 60.0))
    routing = Keys(clock, key).routing
    course = Course(key, 0, MODEL)
    routing.begin(course, "ending", patience_s=0.0)
    await routing.pass_pace(course, "ending", 1)
    await asyncio.sleep(60.0)
    routing.begin(course, "taking", patience_s=0.0)

    routing.end(course, "ending")
    assert not key.has_room(1)
    await routing.pass_pace(course, "taking", 1)

    assert key.free == key.most_calls - 1


async def test_those_behind_a_large_call_go_at_once_as_it_leaves(clock: FakeClock) -> None:
    key = a_key(name="one/a", pace=AsyncLimiter(10, 60.0))
    keys = Keys(clock, key)
    assert await keys.queue.take_turn(keys.turn(images=8)) is None
    large, small = keys.turn(images=10), keys.turn(images=1)
    async with asyncio.TaskGroup() as group:
        leaving = group.create_task(keys.queue.take_turn(large))
        await until_idle()
        taken = group.create_task(keys.queue.take_turn(small))
        await until_idle()
        assert small.is_waiting
        keys.queue.end(large)
        assert await taken is None
        assert await leaving is not None

    assert clock.monotonic_s() - keys.began_s < 1.0


async def test_a_key_does_not_answer_for_the_time_of_a_call_at_another(clock: FakeClock) -> None:
    slow, other = a_key(name="one/a"), a_key(name="two/b", priority=2)
    keys = Keys(clock, slow, other)
    for _ in range(FEWEST):
        await keys.order("usual")
    turn = keys.turn()
    assert await keys.queue.take_turn(turn) is None
    await asyncio.sleep(10 * CALL_S)
    assert keys.queue.overdue == [slow]

    assert keys.queue.cross(turn, [slow])
    await asyncio.sleep(CALL_S / 2)

    assert keys.queue.overdue == []


async def test_a_repeat_waits_for_a_trial_that_may_end_at_any_time(clock: FakeClock) -> None:
    key = a_key(name="one/a")
    keys = Keys(clock, key)
    repeated = keys.turn(left_s=60.0)
    assert await keys.queue.take_turn(repeated) is None
    trial = await take_trial(keys, left_s=300.0)
    began_s = clock.monotonic_s()
    async with asyncio.TaskGroup() as group:
        going_on = group.create_task(keys.queue.go_on(repeated))
        await asyncio.sleep(8.0)
        keys.queue.note(trial, MADE, began_s)
        keys.queue.end(trial)
        assert await going_on

    assert clock.monotonic_s() - began_s < 10.0


async def test_others_wait_no_longer_for_a_hurried_trial_than_it_lasts(clock: FakeClock) -> None:
    key = a_key(name="one/a")
    keys = Keys(clock, key)

    await take_trial(keys, left_s=5.0)

    assert [rest.left_s for rest in keys.told] == [5.0]


async def take_trial(keys: Keys, *, left_s: float) -> Turn:
    """Let the only key rest, as other processes tell, and send the call that tries it."""
    name = RestName(keys.routing.keys[0].name, MODEL)
    keys.routing.observe(Rest(name=name, reason=RestReason.UNANSWERED, left_s=0.5))
    await asyncio.sleep(0.5)
    turn = keys.turn(left_s=left_s)
    assert await keys.queue.take_turn(turn) is None
    assert turn.course is not None
    assert turn.course.is_trial
    return turn


@pytest.mark.parametrize("known", [0, FEWEST])
async def test_a_deadline_that_strikes_early_is_no_silence_of_the_key(clock: FakeClock, known: int) -> None:
    """Timers of the event loop may strike a millisecond before their instant."""
    key = a_key(name="one/a")
    keys = Keys(clock, key)
    for _ in range(known):
        await keys.order("usual")
    for _ in range(20):
        turn = keys.turn(left_s=5.0)
        assert await keys.queue.take_turn(turn) is None
        began_s = clock.monotonic_s()
        await asyncio.sleep(3.9)
        keys.queue.note(turn, TIMED_OUT, began_s, is_cut_off=True)
        keys.queue.end(turn)

    assert list(keys.routing.resting()) == []
