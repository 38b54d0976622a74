import asyncio
import math
from collections.abc import Callable
from typing import Any

import pytest
from aiolimiter import AsyncLimiter

from service.domain.failures import Billing, CallFailure, FailureKind
from service.domain.images import CallMade
from service.domain.retrying import RetryRule
from service.gateway.order.attempt import NOT_SENT, Attempts, Exposure
from service.gateway.queue.durations import Kind
from service.gateway.queue.queue import Bounds, CallQueue
from service.gateway.queue.turn import Turn
from service.gateway.queue.turns import Person
from service.ports.provider import Pace
from service.ports.telemetry import AttemptMade, CallCrossed
from tests.fakes.backend import FakeBackend, Held
from tests.fakes.clock import FakeClock, until_idle
from tests.fakes.routing import a_key, a_queue, a_routing
from tests.fakes.telemetry import FakeTelemetry
from tests.fakes.values import a_call, a_call_made, a_failure, a_refusal

RULE = RetryRule(attempts=3, base_s=0.5, cap_s=8.0, max_retry_after_s=20.0)


def attempts_at(
    backend: FakeBackend,
    clock: FakeClock,
    *,
    telemetry: FakeTelemetry | None = None,
    jitter: Callable[[], float] = lambda: 0.0,
    pace: Pace | None = None,
) -> Attempts:
    telemetry = telemetry or FakeTelemetry()
    queue = a_queue(clock, telemetry, backend, pace=pace)
    return Attempts(queue=queue, clock=clock, telemetry=telemetry, rule=RULE, jitter=jitter)


async def make(
    attempts: Attempts, clock: FakeClock, *, left_s: float = 100.0, send_within_s: float = math.inf
) -> CallMade | CallFailure:
    """Make a call whose turn has come."""
    queue, now_s = attempts.queue, clock.monotonic_s()
    turn = Turn(
        kind=Kind("gpt-image-2.6-flare", "generate", "auto", 21, 0),
        route=queue.routing.route(((), "gpt-image-2.6-flare")),
        owners=[Person("team", "user")],
        images=1,
        deadline_s=now_s + left_s,
    )
    try:
        assert await queue.take_turn(turn) is None
        turn.send_by_s = now_s + min(left_s, send_within_s)
        return await attempts.make([a_call()], turn, Exposure())
    finally:
        queue.end(turn)


async def test_a_call_that_succeeds_is_sent_once(clock: FakeClock) -> None:
    made, backend, telemetry = a_call_made(b"one", b"two"), FakeBackend(), FakeTelemetry()
    backend.script.append(made)

    result = await make(attempts_at(backend, clock, telemetry=telemetry), clock)

    assert result is made
    assert backend.calls == [a_call()]
    assert telemetry.facts == [
        AttemptMade(
            backend="fake",
            model="gpt-image-2.6-flare",
            outcome="made",
            billing="billed",
            duration_s=0.0,
            images=2,
            is_retry=False,
            key="key-1",
        ),
    ]


async def test_unbilled_failures_are_retried(clock: FakeClock) -> None:
    made, telemetry = a_call_made(), FakeTelemetry()
    backend = FakeBackend(a_failure(), a_failure(kind=FailureKind.RATE_LIMITED), made)

    result = await make(attempts_at(backend, clock, telemetry=telemetry), clock)

    assert result is made
    told = [(fact.outcome, fact.billing, fact.is_retry) for fact in telemetry.of(AttemptMade)]
    assert told == [
        ("overloaded", "not_billed", False),
        ("rate_limited", "not_billed", True),
        ("made", "billed", True),
    ]


@pytest.mark.parametrize(
    "failure",
    [
        a_failure(billing=Billing.UNKNOWN),
        a_failure(billing=Billing.BILLED),
        a_failure(kind=FailureKind.BROKEN, billing=Billing.UNKNOWN),
        a_failure(kind=FailureKind.MISCONFIGURED),
        a_refusal(),
    ],
)
async def test_billed_and_permanent_failures_are_not_retried(clock: FakeClock, failure: CallFailure) -> None:
    backend = FakeBackend(failure)

    result = await make(attempts_at(backend, clock), clock)

    assert result is failure
    assert backend.attempts == 1


async def test_the_last_failure_is_the_answer(clock: FakeClock) -> None:
    last = a_failure(message="last")
    backend = FakeBackend(a_failure(), a_failure(), last)

    result = await make(attempts_at(backend, clock), clock)

    assert result is last
    assert backend.attempts == 3


async def test_attempts_are_spread_by_jitter(clock: FakeClock) -> None:
    started_s = clock.monotonic_s()
    backend = FakeBackend(a_failure(), a_failure())

    await make(attempts_at(backend, clock, jitter=lambda: 0.5), clock)

    assert clock.monotonic_s() - started_s == pytest.approx(0.5 * 0.5 + 1.0 * 0.5)


async def test_retry_after_is_respected(clock: FakeClock) -> None:
    started_s = clock.monotonic_s()
    backend = FakeBackend(a_failure(retry_after_s=7.0))

    assert isinstance(await make(attempts_at(backend, clock), clock), CallMade)
    assert clock.monotonic_s() - started_s == pytest.approx(7.0)


async def test_no_retry_begins_too_late_for_the_deadline(clock: FakeClock) -> None:
    failure = a_failure(retry_after_s=7.0)
    started_s = clock.monotonic_s()
    backend = FakeBackend(failure)

    assert await make(attempts_at(backend, clock), clock, left_s=7.0) is failure
    assert clock.monotonic_s() == started_s


async def test_a_deadline_before_sending_costs_nothing(clock: FakeClock) -> None:
    telemetry = FakeTelemetry()
    backend = FakeBackend(Held(is_sent=False))
    started_s = clock.monotonic_s()

    attempts = attempts_at(backend, clock, telemetry=telemetry)

    result = await make(attempts, clock, left_s=5.0)

    assert result is NOT_SENT
    assert result.billing is Billing.NOT_BILLED
    assert backend.calls == []
    assert clock.monotonic_s() - started_s == pytest.approx(5.0)
    [told] = telemetry.of(AttemptMade)
    assert told.outcome == "not_sent"
    assert told.duration_s == pytest.approx(5.0)
    assert attempts.in_flight == 0


async def test_a_deadline_after_sending_leaves_the_bill_unknown(clock: FakeClock) -> None:
    telemetry = FakeTelemetry()
    backend = FakeBackend(Held())

    attempts = attempts_at(backend, clock, telemetry=telemetry)

    result = await make(attempts, clock, left_s=5.0)

    assert isinstance(result, CallFailure)
    assert (result.kind, result.billing) == (FailureKind.TIMED_OUT, Billing.UNKNOWN)
    assert backend.attempts == 1
    [told] = telemetry.of(AttemptMade)
    assert (told.outcome, told.failure) == ("timed_out", result)
    assert "GATEWAY_DEADLINE_S" in result.advice
    assert attempts.in_flight == 0


async def test_a_deadline_cuts_a_retry_as_well(clock: FakeClock) -> None:
    backend = FakeBackend(a_failure(retry_after_s=3.0), Held())
    started_s = clock.monotonic_s()

    result = await make(attempts_at(backend, clock), clock, left_s=5.0)

    assert isinstance(result, CallFailure)
    assert result.kind is FailureKind.TIMED_OUT
    assert clock.monotonic_s() - started_s == pytest.approx(5.0)


async def test_nothing_is_sent_once_the_deadline_has_passed(clock: FakeClock) -> None:
    backend = FakeBackend(Held())

    result = await make(attempts_at(backend, clock), clock, left_s=-1.0)

    assert result is NOT_SENT
    assert backend.calls == []


async def test_retries_are_kept_to_a_share_of_the_calls(clock: FakeClock) -> None:
    backend = FakeBackend(*[a_failure()] * 1000)
    attempts = attempts_at(backend, clock)

    for _ in range(200):
        await make(attempts, clock)

    assert 25 <= backend.attempts - 200 <= 30


async def test_time_spent_in_the_pace_is_not_measured(clock: FakeClock) -> None:
    telemetry, paced = FakeTelemetry(), Held(is_sent=False)
    attempts = attempts_at(FakeBackend(paced), clock, telemetry=telemetry)
    async with asyncio.TaskGroup() as group:
        group.create_task(make(attempts, clock))
        await paced.arrived.wait()
        clock.advance(5.0)
        paced.release()

    assert telemetry.of(AttemptMade)[0].duration_s == 0.0


async def test_an_attempt_lasts_from_sending_to_its_end(clock: FakeClock) -> None:
    telemetry, held = FakeTelemetry(), Held()
    attempts = attempts_at(FakeBackend(held), clock, telemetry=telemetry)
    async with asyncio.TaskGroup() as group:
        group.create_task(make(attempts, clock))
        await held.arrived.wait()
        assert attempts.in_flight == 1
        clock.advance(5.0)
        held.release()

    assert telemetry.of(AttemptMade)[0].duration_s == 5.0


async def test_a_cancelled_call_is_not_in_flight_any_more(clock: FakeClock) -> None:
    telemetry = FakeTelemetry()
    attempts = attempts_at(FakeBackend(Held()), clock, telemetry=telemetry)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(make(attempts, clock))
        await until_idle()
        task.cancel()

    assert attempts.in_flight == 0


async def test_a_bug_in_a_backend_is_no_call_failure(clock: FakeClock) -> None:
    attempts = attempts_at(FakeBackend(ZeroDivisionError()), clock)

    with pytest.raises(ZeroDivisionError):
        await make(attempts, clock)


async def test_delays_are_random_by_default(clock: FakeClock) -> None:
    delays_s: set[float] = set()
    for _ in range(5):
        started_s = clock.monotonic_s()
        telemetry = FakeTelemetry()
        queue = a_queue(clock, telemetry, FakeBackend(a_failure()))
        attempts = Attempts(queue=queue, clock=clock, telemetry=telemetry, rule=RULE)
        await make(attempts, clock, left_s=9e9)
        delays_s.add(clock.monotonic_s() - started_s)

    assert len(delays_s) > 1
    assert max(delays_s) < RULE.base_s


async def test_a_retry_waits_for_the_pace(clock: FakeClock) -> None:
    pace = AsyncLimiter(1, 10.0)
    started_s = clock.monotonic_s()
    attempts = attempts_at(FakeBackend(a_failure()), clock, pace=pace)

    assert isinstance(await make(attempts, clock), CallMade)
    assert clock.monotonic_s() - started_s == pytest.approx(10.0)


async def test_no_retry_is_sent_too_late_for_an_answer(clock: FakeClock) -> None:
    failure = a_failure(retry_after_s=6.0)
    backend = FakeBackend(failure)

    result = await make(attempts_at(backend, clock), clock, left_s=10.0, send_within_s=5.0)

    assert result is failure
    assert len(backend.calls) == 1


class Plural:
    """Calls at two keys of two backends."""

    def __init__(self, clock: FakeClock, first: FakeBackend, second: FakeBackend, **fields: Any) -> None:
        self.clock = clock
        self.telemetry = FakeTelemetry()
        keys = [a_key(first, "one/a", priority=1, **fields), a_key(second, "two/b", priority=2, **fields)]
        self.routing = a_routing(clock, self.telemetry, *keys)
        queue = CallQueue(clock, self.telemetry, Bounds(), self.routing)
        self.attempts = Attempts(
            queue=queue, clock=clock, telemetry=self.telemetry, rule=RULE, jitter=lambda: 0.0
        )

    @property
    def crossings(self) -> list[tuple[str, str]]:
        return [(str(fact.left), str(fact.to)) for fact in self.telemetry.of(CallCrossed)]


@pytest.mark.parametrize(
    "failure",
    [
        a_failure(),
        a_failure(kind=FailureKind.RATE_LIMITED, retry_after_s=60.0),
        a_failure(kind=FailureKind.UNREACHABLE),
        a_failure(kind=FailureKind.MISCONFIGURED),
        a_failure(kind=FailureKind.BLOCKED),
        a_failure(kind=FailureKind.MODEL_MISSING),
    ],
)
async def test_a_call_that_was_not_billed_crosses_at_once(clock: FakeClock, failure: CallFailure) -> None:
    first, second = FakeBackend(failure), FakeBackend()
    plural, started_s = Plural(clock, first, second), clock.monotonic_s()

    assert isinstance(await make(plural.attempts, clock), CallMade)
    assert (first.attempts, second.attempts) == (1, 1)
    assert clock.monotonic_s() == started_s
    assert plural.crossings == [("one/a", "two/b")]


@pytest.mark.parametrize(
    "failure",
    [
        a_failure(billing=Billing.UNKNOWN),
        a_failure(kind=FailureKind.TIMED_OUT, billing=Billing.UNKNOWN),
        a_refusal(),
        a_failure(kind=FailureKind.INVALID),
    ],
)
async def test_what_may_be_billed_and_what_is_refused_never_crosses(
    clock: FakeClock, failure: CallFailure
) -> None:
    second = FakeBackend()
    plural = Plural(clock, FakeBackend(failure), second)

    assert await make(plural.attempts, clock) is failure
    assert (second.attempts, plural.crossings) == (0, [])


async def test_the_first_crossing_of_a_call_spends_no_retry(clock: FakeClock) -> None:
    first, second = FakeBackend(*[a_failure()] * 1000), FakeBackend()
    plural = Plural(clock, first, second)

    made = [await make(plural.attempts, clock) for _ in range(200)]

    assert all(isinstance(each, CallMade) for each in made)
    assert plural.attempts.budget.saved == plural.attempts.budget.most
    # It is soon passed over, and tried now and then.
    assert first.attempts < 10


async def test_a_call_leaves_each_key_that_is_at_fault_alone_for_nothing(clock: FakeClock) -> None:
    """The first backend fails, and one of two keys of the second is throttled, in one burst."""
    throttle = a_failure(kind=FailureKind.RATE_LIMITED, retry_after_s=60.0)
    backends = [FakeBackend(*[a_failure()] * 99), FakeBackend(*[throttle] * 99), FakeBackend()]
    names = ("one/a", "two/b", "two/c")
    keys = [
        a_key(each, name, priority=number)
        for number, (each, name) in enumerate(zip(backends, names, strict=True))
    ]
    telemetry = FakeTelemetry()
    queue = CallQueue(clock, telemetry, Bounds(), a_routing(clock, telemetry, *keys))
    attempts = Attempts(queue=queue, clock=clock, telemetry=telemetry, rule=RULE, jitter=lambda: 0.0)

    async with asyncio.TaskGroup() as group:
        made = [group.create_task(make(attempts, clock)) for _ in range(30)]

    assert all(isinstance(each.result(), CallMade) for each in made)


@pytest.mark.parametrize(
    "failure", [a_failure(kind=FailureKind.RATE_LIMITED, retry_after_s=60.0), a_failure()]
)
async def test_a_call_reaches_the_one_key_that_works_past_any_number(
    clock: FakeClock, failure: CallFailure
) -> None:
    """More keys fail it than a call has attempts: all of one backend are throttled, or several backends fail."""
    is_throttled = failure.kind is FailureKind.RATE_LIMITED
    backends = [*[FakeBackend(*[failure] * 99) for _ in range(5)], FakeBackend()]
    keys = [
        a_key(each, f"{'one' if is_throttled and number < 5 else number}/{number}", priority=number)
        for number, each in enumerate(backends)
    ]
    telemetry = FakeTelemetry()
    queue = CallQueue(clock, telemetry, Bounds(), a_routing(clock, telemetry, *keys))
    attempts = Attempts(queue=queue, clock=clock, telemetry=telemetry, rule=RULE, jitter=lambda: 0.0)

    assert isinstance(await make(attempts, clock), CallMade)
    assert [each.attempts for each in backends] == [1] * 6
    assert attempts.budget.saved == attempts.budget.most


async def test_each_further_backend_is_tried_for_nothing(clock: FakeClock) -> None:
    backends = [FakeBackend(*[a_failure()] * 500), FakeBackend(*[a_failure()] * 500), FakeBackend()]
    keys = [a_key(each, f"{number}/key", priority=number + 1) for number, each in enumerate(backends)]
    telemetry = FakeTelemetry()
    queue = CallQueue(clock, telemetry, Bounds(), a_routing(clock, telemetry, *keys))
    attempts = Attempts(queue=queue, clock=clock, telemetry=telemetry, rule=RULE, jitter=lambda: 0.0)

    async with asyncio.TaskGroup() as group:
        made = [group.create_task(make(attempts, clock)) for _ in range(30)]

    assert all(isinstance(each.result(), CallMade) for each in made)
    assert attempts.budget.saved == attempts.budget.most


async def test_if_all_backends_fail_retries_stay_within_one_crossing_and_the_budget(clock: FakeClock) -> None:
    first, second = FakeBackend(*[a_failure()] * 2000), FakeBackend(*[a_failure()] * 2000)
    plural = Plural(clock, first, second)

    for _ in range(200):
        assert isinstance(await make(plural.attempts, clock), CallFailure)

    assert first.attempts + second.attempts <= 2 * 200 + 30


@pytest.mark.parametrize(
    ("failure", "asked"),
    [
        (a_failure(), (1, 0, 1)),
        (a_failure(kind=FailureKind.UNREACHABLE), (1, 0, 1)),
        (a_failure(kind=FailureKind.RATE_LIMITED), (1, 1, 0)),
        (a_failure(kind=FailureKind.MISCONFIGURED), (1, 1, 0)),
    ],
)
async def test_a_call_leaves_a_backend_that_fails_and_a_key_that_is_refused(
    clock: FakeClock, failure: CallFailure, asked: tuple[int, ...]
) -> None:
    backends = [FakeBackend(failure), FakeBackend(), FakeBackend()]
    keys = [
        a_key(each, name, priority=number)
        for number, (each, name) in enumerate(zip(backends, ("one/a", "one/b", "two/c"), strict=True))
    ]
    telemetry = FakeTelemetry()
    queue = CallQueue(clock, telemetry, Bounds(), a_routing(clock, telemetry, *keys))
    attempts = Attempts(queue=queue, clock=clock, telemetry=telemetry, rule=RULE, jitter=lambda: 0.0)

    assert isinstance(await make(attempts, clock), CallMade)
    assert tuple(each.attempts for each in backends) == asked


async def test_a_call_that_failed_waits_for_room_at_a_key_that_works(clock: FakeClock) -> None:
    failing, busy = Held(), Held()
    first, second = FakeBackend(failing), FakeBackend(busy)
    plural = Plural(clock, first, second, most_calls=1)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(make(plural.attempts, clock)) for _ in range(2)]
        await until_idle()
        failing.release(a_failure())
        await until_idle()
        # Its place is given back meanwhile, and it is not sent again.
        assert (first.attempts, second.attempts) == (1, 1)
        assert [key.in_flight for key in plural.routing.keys] == [0, 1]
        busy.release()

    assert all(isinstance(task.result(), CallMade) for task in tasks)
    assert (first.attempts, second.attempts) == (1, 2)
    assert plural.crossings == [("one/a", "two/b")]
    assert plural.attempts.budget.saved == plural.attempts.budget.most


async def test_a_call_that_waits_for_another_key_too_long_is_refused_as_overload(clock: FakeClock) -> None:
    failing, busy = Held(), Held()
    plural = Plural(clock, FakeBackend(failing), FakeBackend(busy), most_calls=1)
    async with asyncio.TaskGroup() as group:
        one = group.create_task(make(plural.attempts, clock, left_s=10.0))
        other = group.create_task(make(plural.attempts, clock, left_s=100.0))
        await until_idle()
        failing.release(a_failure(kind=FailureKind.MISCONFIGURED))
        result = await one
        busy.release()

    assert isinstance(result, CallFailure)
    assert (result.kind, result.code, result.billing) == (
        FailureKind.NOT_SENT,
        "overloaded",
        Billing.NOT_BILLED,
    )
    assert isinstance(other.result(), CallMade)
    assert plural.crossings == []


async def test_no_call_crosses_too_late_for_an_answer(clock: FakeClock) -> None:
    second = FakeBackend()
    plural = Plural(clock, FakeBackend(a_failure()), second)

    await make(plural.attempts, clock, left_s=10.0, send_within_s=0.0)

    assert second.attempts == 0


async def test_a_call_is_made_in_the_form_of_the_key_that_makes_it(clock: FakeClock) -> None:
    first, second = FakeBackend(a_failure(kind=FailureKind.BLOCKED)), FakeBackend()
    plural = Plural(clock, first, second)
    queue = plural.attempts.queue
    own, bridged = a_call(model="gpt-image-1"), a_call(model="gpt-image-2")
    turn = Turn(
        kind=Kind("gpt-image-1", "generate", "auto", 21, 0),
        route=queue.routing.route((("one",), own.model), (("two",), bridged.model)),
        owners=[Person("team", "user")],
        images=1,
        deadline_s=clock.monotonic_s() + 9.0,
    )
    assert await queue.take_turn(turn) is None

    assert isinstance(await plural.attempts.make([own, bridged], turn, Exposure()), CallMade)
    assert (first.calls, second.calls) == ([own], [bridged])


async def test_a_trial_that_fails_at_no_cost_is_repeated_as_any_call(clock: FakeClock) -> None:
    """It must not wait until it is itself overdue."""
    refused = a_failure(kind=FailureKind.MISCONFIGURED, status=401)
    attempts = attempts_at(FakeBackend(refused, a_failure(), a_failure()), clock)
    assert await make(attempts, clock) is refused
    started_s = clock.monotonic_s()

    assert isinstance(await make(attempts, clock), CallMade)
    assert clock.monotonic_s() - started_s < 1.0
