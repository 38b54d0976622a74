from hypothesis import given
from hypothesis import strategies as st

from service.domain.gcra import MINUTE_US, decide, emission_us
from tests.oracles import refund

LIMITS = st.integers(1, 5000)
STARTS_US = st.integers(0, 2**52)
STEPS = st.lists(st.tuples(st.integers(0, 90_000_000), st.integers(0, 12)), min_size=1, max_size=60)


@given(LIMITS, STARTS_US, STEPS)
def test_never_admits_more_than_the_burst_and_the_rate(
    limit: int, start_us: int, steps: list[tuple[int, int]]
) -> None:
    arrival_us, now_us, admitted = 0, start_us, 0

    for pause_us, weight in steps:
        now_us += pause_us
        decision = decide(arrival_us, now_us, weight, limit)
        arrival_us = decision.arrival_us
        admitted += weight if decision.allowed else 0
        assert admitted * MINUTE_US <= limit * MINUTE_US + limit * (now_us - start_us)


@given(LIMITS)
def test_units_never_come_free_faster_than_the_limit(limit: int) -> None:
    assert MINUTE_US <= emission_us(limit) * limit < MINUTE_US + limit


@given(LIMITS, STARTS_US, STEPS)
def test_the_remaining_units_are_exact(limit: int, start_us: int, steps: list[tuple[int, int]]) -> None:
    arrival_us, now_us = 0, start_us

    for pause_us, weight in steps:
        now_us += pause_us
        decision = decide(arrival_us, now_us, weight, limit)
        arrival_us = decision.arrival_us
        assert 0 <= decision.remaining <= limit
        assert decide(arrival_us, now_us, decision.remaining, limit).allowed
        assert not decide(arrival_us, now_us, decision.remaining + 1, limit).allowed
        assert decide(arrival_us, now_us + decision.reset_us, limit, limit).allowed


@given(LIMITS, STARTS_US, st.integers(0, 10**8), st.integers(1, 5000))
def test_retry_after_is_exact(limit: int, now_us: int, ahead_us: int, weight: int) -> None:
    weight = min(weight, limit)
    decision = decide(now_us + ahead_us, now_us, weight, limit)

    if decision.allowed:
        assert decision.retry_after_us == 0
    else:
        again_us = now_us + decision.retry_after_us
        assert decide(decision.arrival_us, again_us, weight, limit).allowed
        assert not decide(decision.arrival_us, again_us - 1, weight, limit).allowed


@given(LIMITS, STARTS_US)
def test_a_whole_burst_is_there_at_first_and_a_minute_later_again(limit: int, start_us: int) -> None:
    first = decide(0, start_us, limit, limit)
    later_us = start_us + emission_us(limit) * limit

    assert (first.allowed, first.remaining) == (True, 0)
    assert not decide(first.arrival_us, later_us - 1, limit, limit).allowed
    assert decide(first.arrival_us, later_us, limit, limit).allowed


@given(LIMITS, STARTS_US, st.integers(0, 10**8))
def test_a_refusal_takes_nothing(limit: int, now_us: int, ahead_us: int) -> None:
    before = decide(now_us + ahead_us, now_us, 0, limit)
    refused = decide(before.arrival_us, now_us, limit + 1, limit)

    assert not refused.allowed
    assert refused.retry_after_us > 0
    assert (refused.arrival_us, refused.remaining) == (before.arrival_us, before.remaining)


@given(LIMITS, STARTS_US)
def test_weight_zero_changes_nothing(limit: int, now_us: int) -> None:
    full = decide(0, now_us, limit, limit)
    looked = decide(full.arrival_us, now_us, 0, limit)

    assert looked.allowed
    assert (looked.arrival_us, looked.remaining) == (full.arrival_us, 0)


def test_a_clock_that_went_back_blocks_no_caller() -> None:
    decision = decide(2**52, 0, 0, 60)

    assert decision.reset_us == MINUTE_US
    assert decide(decision.arrival_us, MINUTE_US, 60, 60).allowed


@given(LIMITS, STARTS_US, st.integers(1, 5000), st.integers(0, 5000))
def test_refunded_units_can_be_taken_again(limit: int, now_us: int, weight: int, given_back: int) -> None:
    weight = min(weight, limit)
    given_back = min(given_back, weight)
    taken = decide(0, now_us, weight, limit)

    arrival_us = refund(taken.arrival_us, now_us, given_back, limit)

    assert decide(arrival_us, now_us, 0, limit).remaining == limit - weight + given_back


def test_a_late_refund_makes_no_burst_larger() -> None:
    taken = decide(0, 1_000, 3, 3)
    now_us = taken.arrival_us + 5 * MINUTE_US

    assert refund(taken.arrival_us, now_us, 3, 3) == now_us
