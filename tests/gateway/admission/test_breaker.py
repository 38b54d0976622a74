from service.gateway.admission.breaker import FAILURES_TO_OPEN, PAUSE_S, Breaker
from tests.fakes.clock import FakeClock


def a_breaker(clock: FakeClock, *, failures: int) -> Breaker:
    breaker = Breaker(clock)
    for _ in range(failures):
        breaker.fail(clock.monotonic_s())
    return breaker


def test_a_few_failures_are_no_outage() -> None:
    breaker = a_breaker(FakeClock(), failures=FAILURES_TO_OPEN - 1)

    assert not breaker.is_open
    assert breaker.allows()
    assert breaker.allows()


def test_enough_failures_in_a_row_open_it() -> None:
    breaker = a_breaker(FakeClock(), failures=FAILURES_TO_OPEN)

    assert breaker.is_open
    assert not breaker.allows()


def test_a_success_in_between_starts_the_count_anew() -> None:
    clock = FakeClock()
    breaker = a_breaker(clock, failures=FAILURES_TO_OPEN - 1)

    breaker.succeed()
    breaker.fail(clock.monotonic_s())

    assert not breaker.is_open


def test_one_probe_is_let_through_each_pause() -> None:
    clock = FakeClock()
    breaker = a_breaker(clock, failures=FAILURES_TO_OPEN)

    clock.advance(PAUSE_S - 0.01)
    assert not breaker.allows()
    clock.advance(0.01)
    assert [breaker.allows(), breaker.allows()] == [True, False]
    clock.advance(PAUSE_S)
    assert breaker.allows()


def test_a_probe_that_succeeds_closes_it() -> None:
    clock = FakeClock()
    breaker = a_breaker(clock, failures=FAILURES_TO_OPEN + 5)
    clock.advance(PAUSE_S)
    assert breaker.allows()

    breaker.succeed()

    assert not breaker.is_open
    assert [breaker.allows(), breaker.allows()] == [True, True]


def test_each_failure_pushes_the_next_probe_away() -> None:
    clock = FakeClock()
    breaker = a_breaker(clock, failures=FAILURES_TO_OPEN)
    clock.advance(PAUSE_S)
    assert breaker.allows()
    clock.advance(PAUSE_S / 2)

    breaker.fail(clock.monotonic_s())

    clock.advance(PAUSE_S * 0.9)
    assert not breaker.allows()
    clock.advance(PAUSE_S * 0.1)
    assert breaker.allows()


def test_a_crowd_that_failed_together_is_one_failure() -> None:
    clock = FakeClock()
    breaker = Breaker(clock)
    started_s = clock.monotonic_s()
    clock.advance(0.3)

    for _ in range(50):
        breaker.fail(started_s)

    assert not breaker.is_open
    for _ in range(FAILURES_TO_OPEN - 1):
        breaker.fail(clock.monotonic_s())
    assert breaker.is_open


def test_one_that_is_opened_lets_the_first_call_probe() -> None:
    breaker = Breaker(FakeClock())

    breaker.open()

    assert breaker.is_open
    assert [breaker.allows(), breaker.allows()] == [True, False]
    breaker.succeed()
    assert not breaker.is_open
