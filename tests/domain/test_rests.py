import pytest

from service.domain.failures import Billing, CallFailure, FailureKind
from service.domain.rests import RULES, RestReason, goes_elsewhere, reason_of
from tests.fakes.values import a_failure, a_refusal


@pytest.mark.parametrize("kind", FailureKind)
def test_a_failure_that_may_be_billed_counts_as_unanswered_and_never_crosses(kind: FailureKind) -> None:
    failure = a_failure(kind=kind, billing=Billing.UNKNOWN)

    assert reason_of(failure) is RestReason.UNANSWERED
    assert not goes_elsewhere(failure)


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        (a_failure(kind=FailureKind.RATE_LIMITED), RestReason.THROTTLED),
        (a_failure(kind=FailureKind.OVERLOADED), RestReason.FAILING),
        (a_failure(kind=FailureKind.OVERLOADED, retry_after_s=3.0), RestReason.THROTTLED),
        (a_failure(kind=FailureKind.UNREACHABLE), RestReason.FAILING),
        (a_failure(kind=FailureKind.BLOCKED), RestReason.BLOCKED),
        (a_failure(kind=FailureKind.MISCONFIGURED), RestReason.REFUSED),
        (a_failure(kind=FailureKind.MODEL_MISSING), RestReason.MISSING),
        (a_failure(kind=FailureKind.MISCONFIGURED, status=401), RestReason.REFUSED),
        (a_failure(kind=FailureKind.MISCONFIGURED, status=429), RestReason.REFUSED),
        # The account may not use this model, or the server has no such operation.
        (a_failure(kind=FailureKind.MISCONFIGURED, status=403), RestReason.MISSING),
        (a_failure(kind=FailureKind.MISCONFIGURED, status=404), RestReason.MISSING),
    ],
)
def test_a_failure_of_a_key_is_a_reason_to_rest_and_crosses(failure: CallFailure, reason: RestReason) -> None:
    assert reason_of(failure) is reason
    assert goes_elsewhere(failure)


@pytest.mark.parametrize("failure", [a_refusal(), a_failure(kind=FailureKind.INVALID)])
def test_a_failure_of_an_order_says_nothing_about_the_key(failure: CallFailure) -> None:
    assert reason_of(failure) is None
    assert not goes_elsewhere(failure)


@pytest.mark.parametrize("reason", RestReason)
def test_rests_double_up_to_their_bound(reason: RestReason) -> None:
    rule = RULES[reason]
    pauses_s = [rule.pause_s(repeats) for repeats in range(40)]

    assert pauses_s[0] == rule.first_s
    assert pauses_s == sorted(pauses_s)
    assert pauses_s[-1] == rule.longest_s
