import pytest

from service.domain.failures import Billing, FailureKind
from service.domain.rests import LONGEST_ASKED_S, RULES, RestReason
from service.gateway.routing.standing import Standing
from tests.fakes.values import a_failure

THROTTLE = a_failure(kind=FailureKind.RATE_LIMITED, retry_after_s=60.0)
OVERLOAD = a_failure(kind=FailureKind.OVERLOADED)
BLOCK = a_failure(kind=FailureKind.BLOCKED)
SILENCE = a_failure(kind=FailureKind.TIMED_OUT, billing=Billing.UNKNOWN)


def a_resting(reason: RestReason, now_s: float = 0.0) -> Standing:
    standing = Standing()
    standing.rest(reason, BLOCK, now_s)
    return standing


def test_a_key_rests_as_long_as_its_backend_asks_and_is_trusted_then() -> None:
    standing = Standing()

    assert standing.fail(RestReason.THROTTLED, THROTTLE, 10.0)
    assert standing.rests(69.9)
    assert not standing.is_trusted(69.9)
    assert standing.is_trusted(70.0)


def test_the_longest_pause_asked_for_counts_and_none_lasts_for_ever() -> None:
    standing = Standing()
    standing.fail(RestReason.THROTTLED, THROTTLE, 0.0)

    shorter = a_failure(kind=FailureKind.RATE_LIMITED, retry_after_s=5.0)
    assert not standing.fail(RestReason.THROTTLED, shorter, 10.0)
    assert standing.until_s == 60.0
    assert standing.fail(
        RestReason.THROTTLED, a_failure(kind=FailureKind.RATE_LIMITED, retry_after_s=1e5), 20.0
    )
    assert standing.until_s == 20.0 + LONGEST_ASKED_S


def test_an_answer_does_not_end_a_pause_that_was_asked_for() -> None:
    standing = Standing()
    standing.fail(RestReason.THROTTLED, THROTTLE, 0.0)

    assert not standing.note_answer(began_s=-5.0, now_s=1.0)
    assert standing.rests(59.0)


@pytest.mark.parametrize("reason", [RestReason.FAILING, RestReason.UNANSWERED])
def test_a_key_rests_after_failures_in_a_row(reason: RestReason) -> None:
    standing = Standing()
    first = [standing.fail(reason, OVERLOAD, 0.0) for _ in range(RULES[reason].in_a_row - 1)]
    standing.note_answer(0.0, 0.0)
    again = [standing.fail(reason, OVERLOAD, 0.0) for _ in range(RULES[reason].in_a_row)]

    assert not any(first)
    assert again == [False] * (RULES[reason].in_a_row - 1) + [True]


def test_failures_of_the_same_moment_begin_one_rest() -> None:
    standing = Standing()
    begun = [standing.fail(RestReason.FAILING, OVERLOAD, 1.0) for _ in range(64)]

    assert sum(begun) == 1
    assert standing.until_s == 1.0 + RULES[RestReason.FAILING].first_s


def test_a_trial_that_fails_doubles_the_rest() -> None:
    standing = a_resting(RestReason.BLOCKED)

    assert not standing.rests(60.0)
    assert standing.fail(RestReason.BLOCKED, BLOCK, 60.0)
    assert standing.until_s == 60.0 + 120.0


def test_one_call_tries_a_key_until_it_ends_or_is_overdue() -> None:
    standing, trial = a_resting(RestReason.FAILING), object()

    standing.begin_trial(trial, 15.0)
    assert standing.is_tried(14.9)
    assert not standing.is_tried(15.0)
    standing.end_trial(object())
    assert standing.is_tried(14.9)
    standing.end_trial(trial)
    assert not standing.is_tried(14.9)


def test_only_a_call_from_after_the_block_proves_that_it_is_over() -> None:
    standing = a_resting(RestReason.BLOCKED, now_s=10.0)

    assert not standing.note_answer(began_s=9.0, now_s=11.0)
    assert standing.note_answer(began_s=10.0, now_s=12.0)
    assert standing.is_trusted(12.0)


def test_any_answer_shows_that_a_key_answers() -> None:
    standing = a_resting(RestReason.UNANSWERED, now_s=10.0)

    assert standing.note_answer(began_s=1.0, now_s=11.0)


def test_a_known_failure_ends_a_row_of_unknown_ones() -> None:
    standing = Standing()
    for _ in range(RULES[RestReason.UNANSWERED].in_a_row - 1):
        standing.fail(RestReason.UNANSWERED, SILENCE, 0.0)
    standing.note_known()

    assert not standing.fail(RestReason.UNANSWERED, SILENCE, 0.0)


def test_the_news_of_others_are_observed() -> None:
    standing = Standing()
    standing.observe(RestReason.FAILING, 30.0, 0.0)
    standing.observe(RestReason.FAILING, 5.0, 1.0)
    assert standing.rests(29.0)

    standing.observe(RestReason.FAILING, 0.0, 2.0)
    assert standing.is_calm(2.0)


def test_a_pause_that_is_asked_for_replaces_any_other_rest() -> None:
    standing = a_resting(RestReason.FAILING)
    standing.until_s = 500.0

    assert standing.fail(RestReason.THROTTLED, THROTTLE, 10.0)
    assert (standing.reason, standing.until_s) == (RestReason.THROTTLED, 70.0)
    assert not standing.fail(RestReason.FAILING, OVERLOAD, 20.0)
    standing.observe(RestReason.FAILING, 300.0, 20.0)
    standing.observe(RestReason.FAILING, 0.0, 20.0)
    assert (standing.reason, standing.until_s) == (RestReason.THROTTLED, 70.0)


@pytest.mark.parametrize("asked_s", [0.0, 1e-3])
def test_a_pause_that_is_over_when_it_is_asked_for_lasts_all_the_same(asked_s: float) -> None:
    standing = Standing()

    assert standing.fail(
        RestReason.THROTTLED, a_failure(kind=FailureKind.RATE_LIMITED, retry_after_s=asked_s), 10.0
    )
    assert standing.until_s == 10.0 + RULES[RestReason.THROTTLED].first_s


def test_a_rest_of_others_is_forgotten_once_it_is_long_over() -> None:
    observed, own = Standing(), a_resting(RestReason.FAILING)
    observed.observe(RestReason.FAILING, 2.0, 0.0)

    for standing in (observed, own):
        standing.miss(30.0)
    assert not observed.is_trusted(30.0)
    for standing in (observed, own):
        standing.miss(99.0)
    assert (observed.is_trusted(99.0), own.is_trusted(99.0)) == (True, False)


def test_calls_that_may_be_paid_for_are_not_sent_as_those_that_only_fail() -> None:
    standing = a_resting(RestReason.FAILING)
    standing.until_s = 60.0
    begun = [standing.fail(RestReason.UNANSWERED, SILENCE, 1.0) for _ in range(5)]

    assert begun == [False] * 4 + [True]
    assert standing.reason is RestReason.UNANSWERED
    assert not standing.fail(RestReason.FAILING, OVERLOAD, 2.0)
