from collections import Counter

import pytest
from aiolimiter import AsyncLimiter

from service.domain.failures import Billing, CallFailure, FailureKind
from service.domain.rests import RULES, Rest, RestName, RestReason
from service.gateway.routing.keys import BackendKey
from service.gateway.routing.route import Course, Route
from service.gateway.routing.routing import Routing
from service.ports.telemetry import KeyBack, KeyRested
from tests.fakes.clock import FakeClock
from tests.fakes.routing import a_key, a_routing
from tests.fakes.telemetry import FakeTelemetry
from tests.fakes.values import a_call_made, a_failure, a_refusal

MODEL = "gpt-image-2"
THROTTLE = a_failure(kind=FailureKind.RATE_LIMITED, retry_after_s=15.0)
OVERLOAD = a_failure(kind=FailureKind.OVERLOADED)
UNKNOWN = a_failure(kind=FailureKind.BROKEN, billing=Billing.UNKNOWN)
BLOCK = a_failure(kind=FailureKind.BLOCKED)
PATIENCE_S = 10.0


class House:
    """A routing, what it tells other processes, and calls by it."""

    def __init__(self, clock: FakeClock, *keys: BackendKey) -> None:
        self.clock = clock
        self.told: list[Rest] = []
        self.telemetry = FakeTelemetry()
        self.routing: Routing = a_routing(clock, self.telemetry, *keys, share=self.told.append)
        self.route: Route = self.routing.route(((), MODEL))

    def send(self, route: Route | None = None) -> Course | None:
        """Begin a call, if a key has room; it is its own trial."""
        course = self.routing.find(route or self.route, 1)
        if course is not None:
            self.routing.begin(course, course, patience_s=PATIENCE_S)
        return course

    def used(self) -> str:
        """Return the key that a call would use now."""
        course = self.routing.find(self.route, 1)
        return course.key.name.key if course else ""

    def fail(self, key: BackendKey, failure: CallFailure, times: int = 1) -> None:
        for _ in range(times):
            self.routing.note(Course(key, 0, MODEL), failure, self.clock.monotonic_s())

    def answer(self, key: BackendKey) -> None:
        self.routing.note(Course(key, 0, MODEL), a_call_made(), self.clock.monotonic_s())


def a_pair(clock: FakeClock) -> tuple[House, BackendKey, BackendKey]:
    first, second = a_key(name="one/first", priority=1), a_key(name="two/second", priority=2)
    return House(clock, first, second), first, second


async def test_keys_of_the_lowest_priority_with_room_come_first(clock: FakeClock) -> None:
    first, second = a_key(name="one/first", most_calls=2), a_key(name="two/second", priority=2)
    house = House(clock, second, first)

    sent = [house.send() for _ in range(3)]

    assert [course.key.name.key for course in sent if course] == ["first", "first", "second"]
    house.routing.end(Course(first, 0, MODEL), None)
    assert house.used() == "first"


async def test_keys_of_one_priority_share_by_weight(clock: FakeClock) -> None:
    keys = [a_key(name=f"one/{weight}", weight=weight, most_calls=999) for weight in (5, 2, 1)]
    house = House(clock, *keys)

    sent = [course.key.weight for _ in range(80) if (course := house.send())]

    assert Counter(sent) == {5: 50, 2: 20, 1: 10}
    # Never many in a row, as by chance.
    assert Counter(sent[:8]) == {5: 5, 2: 2, 1: 1}


async def test_calls_of_other_routes_do_not_change_the_shares(clock: FakeClock) -> None:
    keys = [a_key(name=f"azure/{name}", most_calls=999) for name in "ab"]
    house = House(clock, *keys, a_key(name="openai/c", most_calls=999))
    own, other = house.routing.route((("azure",), "gpt-image-1")), house.routing.route((("openai",), MODEL))

    sent = []
    for _ in range(20):
        course = house.send(own)
        assert course is not None
        sent.append(course.key)
        for _ in range(4):
            house.send(other)

    assert [sent.count(key) for key in keys] == [10, 10]


async def test_a_model_that_the_account_may_not_use_leaves_the_others(clock: FakeClock) -> None:
    house, first, second = a_pair(clock)
    forbidden = a_failure(kind=FailureKind.MISCONFIGURED, status=403)
    for key in (first, second):
        house.routing.note(Course(key, 0, "gpt-image-1"), forbidden, clock.monotonic_s())

    sent = [house.send() for _ in range(10)]
    assert {course.key for course in sent if course} == {first}
    assert not any(course.is_trial for course in sent if course)


async def test_a_key_that_comes_back_does_not_get_all_calls(clock: FakeClock) -> None:
    one, other = (a_key(name=f"one/{name}", most_calls=999) for name in "ab")
    house = House(clock, one, other)
    house.fail(one, THROTTLE)
    for _ in range(100):
        house.send()
    clock.advance(15.0)

    sent = [course.key for _ in range(20) if (course := house.send())]

    assert 9 <= sent.count(one) <= 12


async def test_a_key_out_of_pace_is_passed_over(clock: FakeClock) -> None:
    pace = AsyncLimiter(2, 60.0)
    house = House(clock, a_key(name="one/paced", pace=pace), a_key(name="two/other", priority=2))
    await pace.acquire(1)
    assert house.used() == "paced"
    await pace.acquire(1)

    assert house.used() == "other"
    assert house.routing.find_other(house.route, 1, house.routing.keys[1:]) is None
    clock.advance(30.0)
    assert house.used() == "paced"


async def test_a_throttled_key_gets_no_call_until_its_pause_is_over(clock: FakeClock) -> None:
    house, first, second = a_pair(clock)
    house.fail(first, THROTTLE)

    assert house.used() == "second"
    house.fail(second, THROTTLE)
    assert house.used() == ""
    obstacle = house.routing.find_obstacle(house.route)
    assert obstacle is not None
    assert (obstacle.reason, obstacle.left_s) == (RestReason.THROTTLED, 15.0)
    assert obstacle.as_failure().message == THROTTLE.message
    assert house.routing.wait_s(house.route, 1) == 15.0
    clock.advance(15.0)
    assert house.used() == "first"


async def test_a_rest_concerns_one_model_and_a_block_all(clock: FakeClock) -> None:
    house, first, _ = a_pair(clock)
    other = house.routing.route(((), "gpt-image-1"))

    def key_for_other() -> str:
        course = house.routing.find(other, 1)
        assert course is not None
        return course.key.name.key

    house.fail(first, THROTTLE)
    assert (house.used(), key_for_other()) == ("second", "first")
    house.fail(first, BLOCK)
    assert (house.used(), key_for_other()) == ("second", "second")


async def test_after_a_rest_one_call_tries_the_key(clock: FakeClock) -> None:
    house, first, _ = a_pair(clock)
    house.fail(first, OVERLOAD, RULES[RestReason.FAILING].in_a_row)
    assert house.used() == "second"
    clock.advance(RULES[RestReason.FAILING].first_s)

    trial = house.send()
    assert trial is not None
    assert (trial.key, trial.is_trial) == (first, True)
    assert house.used() == "second"
    house.answer(first)
    house.routing.end(trial, trial)
    assert house.used() == "first"
    assert [fact.rest.reason for fact in house.telemetry.of(KeyBack)] == [RestReason.FAILING]


async def test_a_trial_that_hangs_is_followed_by_another(clock: FakeClock) -> None:
    house, first, _ = a_pair(clock)
    house.fail(first, OVERLOAD, RULES[RestReason.FAILING].in_a_row)
    clock.advance(RULES[RestReason.FAILING].first_s)
    house.send()

    clock.advance(PATIENCE_S)

    trial = house.send()
    assert trial is not None
    assert (trial.key, trial.is_trial) == (first, True)


async def test_if_all_keys_fail_calls_go_on_as_ever(clock: FakeClock) -> None:
    house, *keys = a_pair(clock)
    for key in keys:
        house.fail(key, OVERLOAD, RULES[RestReason.FAILING].in_a_row)

    sent = [house.send() for _ in range(10)]

    assert {course.key.name.key for course in sent if course} == {"first"}
    assert not any(course.is_trial for course in sent if course)


@pytest.mark.parametrize("failure", [UNKNOWN, BLOCK])
async def test_if_no_key_can_be_trusted_one_call_at_a_time_tries(
    clock: FakeClock, failure: CallFailure
) -> None:
    house, *keys = a_pair(clock)
    for key in keys:
        house.fail(key, failure, RULES[RestReason.UNANSWERED].in_a_row)

    sent = [house.send() for _ in range(4)]

    assert [course.key.name.key if course else "" for course in sent] == ["first", "second", "", ""]
    obstacle = house.routing.find_obstacle(house.route)
    assert obstacle is not None
    assert obstacle.left_s == PATIENCE_S
    assert house.routing.is_untrusted is (failure is UNKNOWN)


async def test_if_no_key_can_be_trusted_they_are_tried_in_turn(clock: FakeClock) -> None:
    """A key that works again is found, whatever its priority."""
    house, *keys = a_pair(clock)
    for key in keys:
        house.fail(key, BLOCK)

    tried = []
    for _ in range(4):
        clock.advance(1.0)
        trial = house.send()
        assert trial is not None
        tried.append(trial.key.name.key)
        house.routing.note(trial, BLOCK, clock.monotonic_s())
        house.routing.end(trial, trial)

    assert tried == ["first", "second", "first", "second"]


async def test_a_refused_prompt_says_that_the_key_works(clock: FakeClock) -> None:
    house, first, _ = a_pair(clock)
    house.fail(first, OVERLOAD, RULES[RestReason.FAILING].in_a_row - 1)
    house.fail(first, a_refusal())
    house.fail(first, OVERLOAD, RULES[RestReason.FAILING].in_a_row - 1)

    assert house.used() == "first"


async def test_the_bridged_form_is_made_only_while_all_keys_of_the_model_rest(clock: FakeClock) -> None:
    own, other = a_key(name="azure/own", most_calls=1), a_key(name="openai/other")
    house = House(clock, own, other)
    route = house.routing.route((("azure",), "gpt-image-1"), (("openai",), MODEL))

    first = house.send(route)
    assert first is not None
    assert (first.key, first.rank, first.model) == (own, 0, "gpt-image-1")
    # A busy key is worth the wait.
    assert house.send(route) is None
    house.routing.note(first, THROTTLE, clock.monotonic_s())
    second = house.send(route)
    assert second is not None
    assert (second.key, second.rank, second.model) == (other, 1, MODEL)


async def test_a_failed_call_goes_on_by_a_trusted_key_alone(clock: FakeClock) -> None:
    house, first, second = a_pair(clock)

    def other_than(*keys: BackendKey) -> str:
        course = house.routing.find_other(house.route, 1, keys)
        return course.key.name.key if course else ""

    assert other_than(first) == "second"
    assert other_than(first, second) == ""
    house.fail(second, OVERLOAD, RULES[RestReason.FAILING].in_a_row)
    clock.advance(RULES[RestReason.FAILING].first_s)
    # It may be tried, but not by a call that has failed once.
    assert other_than(first) == ""


async def test_a_call_that_failed_at_all_keys_of_its_model_goes_on_by_the_bridge(clock: FakeClock) -> None:
    own, other = a_key(name="azure/own"), a_key(name="openai/other")
    house = House(clock, own, other)
    route = house.routing.route((("azure",), "gpt-image-1"), (("openai",), MODEL))

    course = house.routing.find_other(route, 1, [own])
    assert course is not None
    assert (course.key, course.rank, course.model) == (other, 1, MODEL)


async def test_a_busy_key_of_the_model_is_worth_the_wait(clock: FakeClock) -> None:
    own, busy, other = (
        a_key(name="azure/own"),
        a_key(name="azure/busy", most_calls=0),
        a_key(name="openai/other"),
    )
    house = House(clock, own, busy, other)
    route = house.routing.route((("azure",), "gpt-image-1"), (("openai",), MODEL))

    assert house.routing.find_other(route, 1, [own]) is None


async def test_rests_are_told_once_for_a_burst(clock: FakeClock) -> None:
    house, first, _ = a_pair(clock)
    house.fail(first, OVERLOAD, 64)

    name = RestName(first.name, MODEL)
    assert house.told == [Rest(name=name, reason=RestReason.FAILING, left_s=2.0)]
    assert [fact.rest for fact in house.telemetry.of(KeyRested)] == house.told
    assert list(house.routing.resting()) == house.told


async def test_a_trial_and_its_answer_are_told_too(clock: FakeClock) -> None:
    house, first, _ = a_pair(clock)
    house.fail(first, OVERLOAD, RULES[RestReason.FAILING].in_a_row)
    clock.advance(2.0)
    house.told.clear()
    trial = house.send()
    assert trial is not None
    house.routing.note(trial, a_call_made(), clock.monotonic_s())

    assert [(rest.reason, rest.left_s) for rest in house.told] == [
        (RestReason.FAILING, PATIENCE_S),
        (RestReason.FAILING, 0.0),
    ]


async def test_what_another_process_tells_is_observed_and_not_told_on(clock: FakeClock) -> None:
    house, first, second = a_pair(clock)
    rest = Rest(name=RestName(first.name, MODEL), reason=RestReason.THROTTLED, left_s=30.0)
    house.routing.observe(rest)

    assert house.used() == "second"
    assert house.told == []
    house.fail(second, THROTTLE)
    obstacle = house.routing.find_obstacle(house.route)
    assert obstacle is not None
    assert obstacle.as_failure().kind is FailureKind.RATE_LIMITED
    clock.advance(30.0)
    assert house.used() == "first"


async def test_standings_are_looked_at_until_nothing_counts(clock: FakeClock) -> None:
    house, first, _ = a_pair(clock)
    house.fail(first, THROTTLE)
    house.routing.calm_down()
    assert house.used() == "second"
    clock.advance(15.0)
    house.answer(first)
    house.routing.calm_down()
    assert house.used() == "first"
    assert list(house.routing.resting()) == []


async def test_the_end_of_a_call_of_a_key_that_rested_meanwhile_frees_its_place(clock: FakeClock) -> None:
    house, first, _ = a_pair(clock)
    course = house.send()
    assert course is not None
    house.fail(first, THROTTLE)
    house.routing.end(course, course)

    assert first.in_flight == 0


async def test_a_silent_key_rests_only_where_others_work(clock: FakeClock) -> None:
    house, first, second = a_pair(clock)
    house.routing.rest_if_others_work(house.route, Course(first, 0, MODEL))
    assert house.used() == "second"

    house.routing.rest_if_others_work(house.route, Course(second, 1, MODEL))
    assert house.used() == "second"
