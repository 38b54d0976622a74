import asyncio
import math
from collections.abc import Callable

import pytest
from aiolimiter import AsyncLimiter

from service.domain.failures import Billing, CallFailure, FailureKind
from service.domain.images import CallMade
from service.domain.retrying import RetryRule
from service.gateway.order.attempt import NOT_SENT, Attempts, Exposure
from service.gateway.queue.durations import Kind
from service.gateway.queue.turn import Turn
from service.gateway.queue.turns import Person
from service.ports.provider import Pace
from service.ports.telemetry import AttemptMade
from tests.fakes.backend import FakeBackend, Held
from tests.fakes.clock import FakeClock, until_idle
from tests.fakes.routing import a_queue
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
