"""How Azure OpenAI says the same things: refusals in two shapes and in words alone, and a blocked account."""

from typing import Any

import pytest

from service.adapters.openai.failures import classify_answer
from service.domain.failures import Billing, FailureKind

RESULTS = {"violence": {"filtered": True, "severity": "high"}}
REJECTED = "Your request was rejected as a result of our safety system."
BLOCKED = "Your resource has been temporarily blocked because we detected behavior that may violate our content policy"
MANAGED = (
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. "
    "Please modify your prompt and retry."
)


def envelope(message: str = REJECTED, **fields: Any) -> dict[str, Any]:
    return {"error": {"message": message, **fields}}


@pytest.mark.parametrize("name", ["inner_error", "innererror"])
@pytest.mark.parametrize("code", ["content_policy_violation", "contentFilter", None])
def test_a_refusal_is_known_by_its_inner_error(name: str, code: str | None) -> None:
    inner: dict[str, Any] = {"code": "ResponsibleAIPolicyViolation", "content_filter_results": RESULTS}
    fields: dict[str, Any] = {"code": code, "type": "invalid_request_error", name: inner}

    failure = classify_answer(400, {}, envelope(**fields))

    assert (failure.kind, failure.billing) == (FailureKind.REFUSED, Billing.NOT_BILLED)
    assert failure.details == {name: inner}
    assert failure.param is None


@pytest.mark.parametrize("inner", [None, "text", [], {}, {"code": "Other"}])
def test_another_inner_error_is_not_a_refusal(inner: object) -> None:
    failure = classify_answer(400, {}, envelope("no", inner_error=inner))

    assert failure.kind is FailureKind.INVALID


def test_the_older_shape_is_read_beside_an_empty_newer_one() -> None:
    inner = {"code": "ResponsibleAIPolicyViolation"}

    failure = classify_answer(400, {}, envelope("no", inner_error=None, innererror=inner))

    assert failure.kind is FailureKind.REFUSED


@pytest.mark.parametrize("message", [MANAGED, "This request has been blocked by our content filters."])
def test_a_refusal_may_have_no_code_of_its_own(message: str) -> None:
    failure = classify_answer(400, {}, envelope(message, code=None, type=None))

    assert (failure.kind, failure.message) == (FailureKind.REFUSED, message)


def test_the_same_words_in_an_outage_are_no_refusal() -> None:
    assert classify_answer(500, {}, envelope(MANAGED)).kind is FailureKind.OVERLOADED


@pytest.mark.parametrize(("status", "code"), [(403, "Forbidden"), (403, None), (400, None), (429, "429")])
def test_a_blocked_account_is_neither_refusal_nor_misconfiguration(status: int, code: str | None) -> None:
    failure = classify_answer(status, {}, envelope(BLOCKED, code=code))

    assert (failure.kind, failure.billing) == (FailureKind.BLOCKED, Billing.NOT_BILLED)
    assert "violate" not in failure.message
    assert "detected" not in failure.message


def test_any_other_403_is_a_misconfiguration_of_the_gateway() -> None:
    failure = classify_answer(403, {}, envelope("Access denied.", code="Forbidden"))

    assert failure.kind is FailureKind.MISCONFIGURED


def test_a_missing_deployment_is_a_missing_model() -> None:
    assert (
        classify_answer(404, {}, envelope("x", code="DeploymentNotFound")).kind is FailureKind.MODEL_MISSING
    )


@pytest.mark.parametrize(
    ("code", "kept"), [("429", None), ("430", "430"), ("RateLimitReached", "RateLimitReached")]
)
def test_a_code_that_repeats_the_status_is_none(code: str, kept: str | None) -> None:
    assert classify_answer(429, {}, envelope(code=code)).code == kept


def test_unknown_fields_are_passed_on() -> None:
    body = envelope(code="moderation_blocked", moderation_details={"a": [1]}, content_filter_results=RESULTS)

    failure = classify_answer(400, {}, body)

    assert failure.details == {"moderation_details": {"a": [1]}, "content_filter_results": RESULTS}
