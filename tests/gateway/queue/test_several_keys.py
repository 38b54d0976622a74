"""The queue before several keys, on held time."""

import asyncio

import pytest
from aiolimiter import AsyncLimiter

from service.domain.failures import Billing, CallFailure, FailureKind
from service.domain.rests import RestReason
from service.gateway.routing.route import Course
from tests.fakes.clock import FakeClock, until_idle
from tests.fakes.routing import a_key
from tests.fakes.values import a_failure
from tests.gateway.queue.keys import CALL_S, MADE, Keys


async def test_calls_spread_over_all_keys_before_any_waits(clock: FakeClock) -> None:
    keys = Keys(clock, a_key(name="one/a", most_calls=1), a_key(name="two/b", most_calls=1, priority=2))
    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(keys.order(str(number)))

    assert keys.sent == [("0", "a", 0.0), ("1", "b", 0.0), ("2", "a", CALL_S)]


async def test_a_call_for_a_busy_backend_does_not_hold_up_those_for_others(clock: FakeClock) -> None:
    keys = Keys(clock, a_key(name="slow/a", most_calls=1), a_key(name="other/b", most_calls=1))
    keys.hanging = {"a"}
    async with asyncio.TaskGroup() as group:
        for number in range(3):
            group.create_task(keys.order(f"slow {number}", backends=("slow",), left_s=20.0))
        await until_idle()
        for number in range(2):
            group.create_task(keys.order(f"other {number}", backends=("other",)))

    assert [(name, at_s) for name, key, at_s in keys.sent if key == "b"] == [
        ("other 0", 0),
        ("other 1", CALL_S),
    ]
    assert [name for name, key, _ in keys.sent if key == "a"] == ["slow 0"]


async def test_callers_take_turns_over_all_keys(clock: FakeClock) -> None:
    keys = Keys(clock, a_key(name="one/a", most_calls=1), a_key(name="one/b", most_calls=1))
    async with asyncio.TaskGroup() as group:
        for number in range(8):
            group.create_task(keys.order(f"many {number}", user="many"))
        await until_idle()
        for number in range(2):
            group.create_task(keys.order(f"few {number}", user="few"))

    names = [name.split()[0] for name, _, _ in keys.sent]
    assert names == ["many", "many", "many", "few", "many", "few", "many", "many", "many", "many"]


async def test_a_call_for_many_images_is_not_passed_over_for_ever(clock: FakeClock) -> None:
    """Two images a second: those for one would take the pace each time, before there is enough for ten."""
    keys = Keys(clock, a_key(name="one/a", pace=AsyncLimiter(10, 5.0)))
    async with asyncio.TaskGroup() as group:
        for number in range(40):
            group.create_task(keys.order(f"one {number}", user="many", left_s=300.0))
        await until_idle()
        large = group.create_task(keys.order("large", user="few", images=10, left_s=300.0))

    assert large.result() is MADE
    names = [name for name, _, _ in keys.sent]
    assert names.index("large") == 11


async def test_a_call_that_waits_for_pace_leaves_other_keys_to_others(clock: FakeClock) -> None:
    paced = a_key(name="one/a", pace=AsyncLimiter(10, 10.0))
    keys = Keys(clock, paced, a_key(name="two/b", most_calls=1))
    async with asyncio.TaskGroup() as group:
        group.create_task(keys.order("first", backends=("one",), images=10))
        await until_idle()
        group.create_task(keys.order("large", backends=("one",), images=10))
        await until_idle()
        group.create_task(keys.order("small", user="other", backends=("one",)))
        group.create_task(keys.order("elsewhere", user="other", backends=("two",)))

    assert {name: at_s for name, _, at_s in keys.sent} == {
        "first": 0.0,
        "elsewhere": 0.0,
        "large": 10.0,
        "small": 11.0,
    }


async def test_calls_wait_for_the_end_of_a_short_pause(clock: FakeClock) -> None:
    key = a_key(name="one/a")
    keys = Keys(clock, key)
    keys.throttle(key, 15.0)

    assert await keys.order("waits") is MADE
    assert keys.sent == [("waits", "a", 15.0)]


@pytest.mark.parametrize(("pause_s", "left_s"), [(60.0, 300.0), (15.0, 10.0)])
async def test_orders_are_told_of_a_pause_that_is_too_long(
    clock: FakeClock, pause_s: float, left_s: float
) -> None:
    key = a_key(name="one/a")
    keys = Keys(clock, key)
    keys.throttle(key, pause_s)
    await asyncio.sleep(1.0)

    refused = await keys.order("refused", left_s=left_s)

    assert isinstance(refused, CallFailure)
    assert (refused.kind, refused.billing) == (FailureKind.RATE_LIMITED, Billing.NOT_BILLED)
    assert refused.retry_after_s == pytest.approx(pause_s - 1.0)
    assert keys.sent == []


async def test_calls_that_wait_are_told_too_once_all_keys_pause_for_long(clock: FakeClock) -> None:
    one, other = a_key(name="one/a", most_calls=1), a_key(name="two/b", most_calls=1)
    keys = Keys(clock, one, other)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(keys.order(str(number))) for number in range(5)]
        await until_idle()
        for key in (one, other):
            failure = a_failure(kind=FailureKind.RATE_LIMITED, retry_after_s=60.0)
            keys.routing.note(Course(key, 0, "gpt-image-2"), failure, clock.monotonic_s())

    ends = [task.result() for task in tasks]
    assert ends[:2] == [MADE, MADE]
    for end in ends[2:]:
        assert isinstance(end, CallFailure)
        assert end.kind is FailureKind.RATE_LIMITED
        assert end.retry_after_s == pytest.approx(60.0 - CALL_S)
    assert len(keys.sent) == 2
    assert clock.monotonic_s() - keys.began_s == pytest.approx(CALL_S)


async def test_a_call_that_waits_takes_the_key_whose_pause_ends_first(clock: FakeClock) -> None:
    one, other = a_key(name="one/a", most_calls=1), a_key(name="two/b")
    keys = Keys(clock, one, other)
    keys.throttle(other, 2.0)
    async with asyncio.TaskGroup() as group:
        group.create_task(keys.order("first"))
        group.create_task(keys.order("second"))

    assert keys.sent == [("first", "a", 0.0), ("second", "b", 2.0)]


async def test_a_key_that_falls_silent_is_passed_over_while_another_answers(clock: FakeClock) -> None:
    silent = a_key(name="one/silent")
    keys = Keys(clock, silent, a_key(name="two/other", priority=2))
    await keys.order("known")
    keys.hanging = {"silent"}
    async with asyncio.TaskGroup() as group:
        watch = group.create_task(keys.queue.watch_forever())
        hangs = group.create_task(keys.order("hangs"))
        # Twice the time of such a call, and never less than ten seconds.
        await asyncio.sleep(11.5)
        await keys.order("passed over")
        watch.cancel()
        hangs.cancel()

    assert [key for _, key, _ in keys.sent] == ["silent", "silent", "other"]
    [rest] = keys.routing.resting()
    assert (rest.name.key, rest.reason) == (silent.name, RestReason.UNANSWERED)
