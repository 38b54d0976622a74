import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.failures import Billing, CallFailure, FailureKind
from service.domain.retrying import RetryBudget, RetryRule, delay_before_retry_s
from tests.fakes.values import a_failure

RULE = RetryRule(attempts=5, base_s=0.5, cap_s=3.0, max_retry_after_s=20.0)
RETRIED = {FailureKind.RATE_LIMITED, FailureKind.OVERLOADED, FailureKind.UNREACHABLE}


def delay(
    failure: CallFailure, *, attempt: int = 1, rest_s: float = 0.0, left_s: float = 100.0, jitter: float = 1.0
) -> float | None:
    return delay_before_retry_s(RULE, failure, attempt=attempt, rest_s=rest_s, left_s=left_s, jitter=jitter)


@pytest.mark.parametrize("billing", Billing)
@pytest.mark.parametrize("kind", FailureKind)
def test_only_unbilled_transient_failures_are_retried(kind: FailureKind, billing: Billing) -> None:
    is_retried = delay(a_failure(kind=kind, billing=billing)) is not None

    assert is_retried is (kind in RETRIED and billing is Billing.NOT_BILLED)


@pytest.mark.parametrize(
    ("attempt", "delay_s"), [(1, 0.5), (2, 1.0), (3, 2.0), (4, 3.0), (5, None), (6, None)]
)
def test_delays_double_up_to_the_cap_and_end_with_the_attempts(attempt: int, delay_s: float | None) -> None:
    assert delay(a_failure(), attempt=attempt) == delay_s


def test_jitter_spreads_the_whole_delay() -> None:
    assert delay(a_failure(), attempt=3, jitter=0.0) == 0.0
    assert delay(a_failure(), attempt=3, jitter=0.25) == 0.5


def test_a_provider_is_never_asked_earlier_than_it_said() -> None:
    assert delay(a_failure(), rest_s=7.0, jitter=0.0) == 7.0
    assert delay(a_failure(), rest_s=7.0, jitter=1.0) == 7.5
    assert delay(a_failure(), rest_s=20.0, jitter=0.0) == 20.0
    assert delay(a_failure(), rest_s=0.0, jitter=0.5) == 0.25


def test_a_long_pause_ends_the_retries() -> None:
    assert delay(a_failure(), rest_s=20.1) is None


def test_no_retry_begins_at_or_after_the_deadline() -> None:
    assert delay(a_failure(), left_s=0.51) == 0.5
    assert delay(a_failure(), left_s=0.5) is None
    assert delay(a_failure(), left_s=-1.0, jitter=0.0) is None


def test_a_budget_is_spent_and_earned_back_slowly() -> None:
    budget = RetryBudget(share=0.25, most=2.0, saved=2.0)

    assert [budget.spend() for _ in range(3)] == [True, True, False]
    for _ in range(3):
        budget.earn()
    assert not budget.spend()
    budget.earn()
    assert budget.spend()
    assert not budget.spend()


@given(st.lists(st.booleans(), max_size=300))
def test_retries_stay_a_tenth_of_the_calls(is_retry_wanted: list[bool]) -> None:
    budget = RetryBudget()
    retries = 0

    for calls, wanted in enumerate(is_retry_wanted, start=1):
        budget.earn()
        retries += wanted and budget.spend()
        assert retries <= 10 + calls * 0.1


def test_a_quiet_day_saves_up_no_storm() -> None:
    budget = RetryBudget()
    for _ in range(1000):
        budget.earn()

    assert sum(budget.spend() for _ in range(1000)) == 10
