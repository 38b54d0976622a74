"""Check the table of statuses: complete, and without retries that pay twice."""

import inspect
from dataclasses import replace

import orjson
import pytest

from service.domain import errors
from service.domain.errors import GatewayError, LimitState, OrderFailed
from service.domain.failures import Billing, CallFailure, FailureKind
from service.http.errors import INTERNAL, Problem, describe
from service.http.headers import limit_headers

LIMIT = LimitState(resource="images", scope="user", limit=2, remaining=0, reset_s=59.3)


def failure(
    kind: FailureKind, billing: Billing = Billing.NOT_BILLED, *, retry_after_s: float | None = None
) -> CallFailure:
    return CallFailure(kind=kind, billing=billing, message="Something failed.", retry_after_s=retry_after_s)


EXAMPLES: dict[type[GatewayError], tuple[GatewayError, int, str | None]] = {
    errors.InvalidOrder: (errors.InvalidOrder("No.", param="n", code="x"), 400, "x"),
    errors.Unauthenticated: (errors.Unauthenticated("Who?"), 401, "invalid_api_key"),
    errors.PermissionDenied: (errors.PermissionDenied("Not you."), 403, "insufficient_permissions"),
    errors.ModelNotAllowed: (errors.ModelNotAllowed("dall-e-3", "team"), 403, "model_not_found"),
    errors.PriceUnknown: (errors.PriceUnknown("dall-e-9"), 403, "model_unpriced"),
    errors.NotFound: (errors.NotFound("No such team."), 404, "not_found"),
    errors.Conflict: (errors.Conflict("In use."), 409, "conflict"),
    errors.RateLimited: (
        errors.RateLimited(LIMIT, retry_after_s=30.2, limits=(LIMIT,)),
        429,
        "rate_limit_exceeded",
    ),
    errors.BytesRefused: (errors.BytesRefused("total", 100), 503, "overloaded"),
    errors.IdempotencyMismatch: (errors.IdempotencyMismatch(), 422, "idempotency_key_reuse"),
    errors.OrderUnderWay: (errors.OrderUnderWay(), 409, "order_under_way"),
    errors.ImageGone: (errors.ImageGone(), 410, "image_gone"),
    errors.NotCached: (errors.NotCached("Not there."), 504, "not_cached"),
    errors.OrderFailed: (
        OrderFailed((failure(FailureKind.BROKEN, Billing.UNKNOWN),), kept=1),
        502,
        "partial_failure",
    ),
    errors.DeadlineExceeded: (errors.DeadlineExceeded(), 504, "deadline_exceeded"),
    errors.CutOff: (errors.CutOff(), 504, "cut_off"),
    errors.StateUnavailable: (errors.StateUnavailable("timeout"), 503, "state_unavailable"),
    errors.StoreUnavailable: (errors.StoreUnavailable(), 503, "store_unavailable"),
    errors.ImageMissing: (errors.ImageMissing(), 404, "image_not_found"),
    errors.ImageNotKept: (errors.ImageNotKept(), 410, "image_gone"),
    errors.LinkExpired: (errors.LinkExpired(), 410, "link_expired"),
    errors.LinkRefused: (errors.LinkRefused(), 403, "invalid_link"),
    errors.Draining: (errors.Draining(), 503, "draining"),
}


def all_errors() -> set[type[GatewayError]]:
    classes = {kind for _, kind in inspect.getmembers(errors, inspect.isclass)}
    return {kind for kind in classes if issubclass(kind, GatewayError) and kind is not GatewayError}


def test_every_error_of_the_tree_has_an_example_here() -> None:
    assert set(EXAMPLES) == all_errors()


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
def test_every_error_has_a_row(kind: type[GatewayError]) -> None:
    error, status, code = EXAMPLES[kind]

    problem = describe(error)

    assert (problem.status, problem.code) == (status, code)
    assert set(orjson.loads(problem.body())["error"]) >= {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("reason", "status", "may_retry"),
    [("body", 413, False), ("caller", 429, True), ("total", 503, True), ("disk", 503, True)],
)
def test_a_body_without_room_may_be_sent_again_unless_it_is_too_large(
    reason: errors.RefusedFor, status: int, may_retry: bool
) -> None:
    problem = describe(errors.BytesRefused(reason, 100))

    assert problem.status == status
    assert ("retry-after" in problem.headers) == may_retry


def test_an_unknown_error_is_a_500_without_details() -> None:
    problem = describe(ValueError("the password is swordfish"))

    assert problem is INTERNAL
    assert b"swordfish" not in problem.body()


OUTCOMES = {
    FailureKind.REFUSED: (400, False),
    FailureKind.INVALID: (400, False),
    FailureKind.MISCONFIGURED: (502, False),
    FailureKind.MODEL_MISSING: (502, False),
    FailureKind.BLOCKED: (502, False),
    FailureKind.RATE_LIMITED: (429, True),
    FailureKind.OVERLOADED: (503, True),
    FailureKind.UNREACHABLE: (502, True),
    FailureKind.NOT_SENT: (503, True),
    FailureKind.SHED: (503, True),
    FailureKind.TIMED_OUT: (504, False),
    FailureKind.BROKEN: (502, False),
    FailureKind.NOT_KEPT: (503, False),
}


@pytest.mark.parametrize("kind", FailureKind)
def test_a_failed_call_invites_a_retry_only_if_not_billed(kind: FailureKind) -> None:
    status, may_retry = OUTCOMES[kind]

    problem = describe(OrderFailed((failure(kind),), kept=0))

    assert problem.status == status
    assert sdk_retries(problem) == may_retry


@pytest.mark.parametrize(("kept", "may_retry"), [(0, False), (2, True)])
def test_a_refusal_invites_a_retry_only_beside_finished_images(kept: int, may_retry: bool) -> None:
    failures = (failure(FailureKind.REFUSED), failure(FailureKind.OVERLOADED))

    assert sdk_retries(describe(OrderFailed(failures, kept=kept))) is may_retry


@pytest.mark.parametrize("billing", Billing)
def test_a_partial_failure_invites_a_retry_only_if_every_failed_call_was_free(billing: Billing) -> None:
    free = failure(FailureKind.OVERLOADED)

    problem = describe(OrderFailed((free, failure(FailureKind.OVERLOADED, billing)), kept=2))

    assert (problem.status, problem.code) == (502, "partial_failure")
    assert sdk_retries(problem) == (billing is Billing.NOT_BILLED)
    assert orjson.loads(problem.body())["error"]["images_kept"] == 2


def sdk_retries(problem: Problem) -> bool:
    """Return what the official SDKs do (contract: `_base_client.py`, `_should_retry`)."""
    advice = problem.headers.get("x-should-retry")
    if advice is not None:
        return advice == "true"
    return problem.status in {408, 409, 429} or problem.status >= 500


@pytest.mark.parametrize(
    ("advice_s", "whole", "exact"),
    [(None, "1", "1000"), (0.0004, "1", "1"), (0.534, "1", "534"), (1.2, "2", "1200"), (60.0, "60", "60000")],
)
def test_both_retry_headers_have_the_providers_delay(advice_s: float | None, whole: str, exact: str) -> None:
    limited = failure(FailureKind.RATE_LIMITED, retry_after_s=advice_s)

    problem = describe(OrderFailed((limited,), kept=0))

    assert (problem.headers["retry-after"], problem.headers["retry-after-ms"]) == (whole, exact)


@pytest.mark.parametrize("advice_s", [61.0, 3600.0, 1e9])
def test_no_delay_is_longer_than_sdks_wait(advice_s: float) -> None:
    problem = describe(OrderFailed((failure(FailureKind.RATE_LIMITED, retry_after_s=advice_s),), kept=0))

    assert problem.headers["retry-after"] == "60"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.0, "0ms"), (0.0121, "13ms"), (0.9995, "1s"), (1.0, "1s"), (59.3, "59.3s")]
)
def test_resets_have_the_format_of_openai(seconds: float, text: str) -> None:
    state = LimitState(resource="requests", scope="user", limit=9, remaining=3, reset_s=seconds)

    headers = limit_headers((state,), degraded=True)

    assert headers == {
        "x-ratelimit-limit-requests": "9",
        "x-ratelimit-remaining-requests": "3",
        "x-ratelimit-reset-requests": text,
        "x-ratelimit-degraded": "true",
    }


def a_state(scope: str, limit: int, remaining: int, resource: str = "requests") -> LimitState:
    return LimitState(resource=resource, scope=scope, limit=limit, remaining=remaining, reset_s=float(limit))


@pytest.mark.parametrize(
    ("states", "tightest"),
    [
        ([a_state("user", 9, 3), a_state("team", 90, 60)], (9, 3)),
        ([a_state("user", 9, 8), a_state("key", 20, 7), a_state("team", 90, 2)], (90, 2)),
        ([a_state("user", 90, 2), a_state("team", 9, 2)], (9, 2)),
        ([a_state("user", 9, 0)], (9, 0)),
    ],
)
def test_headers_show_the_tightest_scope(states: list[LimitState], tightest: tuple[int, int]) -> None:
    for ordered in (states, states[::-1]):
        headers = limit_headers(tuple(ordered), degraded=False)

        limit, remaining = tightest
        assert headers == {
            "x-ratelimit-limit-requests": str(limit),
            "x-ratelimit-remaining-requests": str(remaining),
            "x-ratelimit-reset-requests": f"{limit}s",
        }


def test_each_rate_has_its_own_tightest_scope() -> None:
    states = (
        a_state("user", 9, 1),
        a_state("team", 90, 80),
        a_state("user", 8, 7, "images"),
        a_state("team", 80, 2, "images"),
    )

    headers = limit_headers(states, degraded=False)

    assert headers["x-ratelimit-limit-requests"] == "9"
    assert headers["x-ratelimit-limit-images"] == "80"


def test_only_rates_have_ratelimit_headers() -> None:
    quotas = ("images_per_day", "images_in_flight", "budget_per_month")

    assert limit_headers(tuple(a_state("user", 9, 3, name) for name in quotas), degraded=False) == {}


@pytest.mark.parametrize(
    ("refused", "shown"),
    [
        (a_state("team", 5, 0, "images_per_day"), ("5", "0", "4000s")),
        (replace(a_state("key", 4, 1, "images_in_flight"), reset_s=0.0), ("4", "1", "4000s")),
        (a_state("team", 5000, 4, "images"), ("5000", "4", "5000s")),
        (a_state("team", 5, 0, "budget_per_month"), ("120", "3", "120s")),
    ],
)
def test_a_refusal_shows_the_limit_that_refused(refused: LimitState, shown: tuple[str, ...]) -> None:
    """The tightest rate would hide it; money has no such headers."""
    rate = a_state("user", 120, 3, "images")

    problem = describe(errors.RateLimited(refused, retry_after_s=4000.0, limits=(rate, refused)))

    names = ("limit", "remaining", "reset")
    assert tuple(problem.headers[f"x-ratelimit-{name}-images"] for name in names) == shown


@pytest.mark.parametrize("resource", ["images_per_day", "budget_per_month"])
def test_an_exhausted_quota_is_insufficient_quota_without_a_retry(resource: str) -> None:
    rate = a_state("user", 9, 3)
    error = errors.RateLimited(a_state("team", 5, 0, resource), retry_after_s=4000.0, limits=(rate,))

    problem = describe(error)

    assert (problem.status, problem.type, problem.code) == (429, "insufficient_quota", "insufficient_quota")
    assert not sdk_retries(problem)
    assert "retry-after" not in problem.headers
    assert problem.headers["x-ratelimit-limit-requests"] == "9"


def test_too_many_images_in_flight_invite_a_retry() -> None:
    error = errors.RateLimited(a_state("user", 5, 0, "images_in_flight"), retry_after_s=1.0, limits=())

    problem = describe(error)

    assert (problem.type, problem.code) == ("images_in_flight", "rate_limit_exceeded")
    assert (problem.headers["retry-after"], problem.headers["retry-after-ms"]) == ("1", "1000")
    assert sdk_retries(problem)


def test_missing_credentials_are_a_401_that_names_the_scheme() -> None:
    assert describe(errors.Unauthenticated("Who?")).headers == {"www-authenticate": "Bearer"}


def test_provider_details_never_replace_the_four_fields() -> None:
    problem = Problem(
        400, "Ours.", code="ours", details={"message": "theirs", "moderation_details": {"a": 1}}
    )

    error = orjson.loads(problem.body())["error"]

    assert error["message"] == "Ours."
    assert error["moderation_details"] == {"a": 1}


@pytest.mark.parametrize("error", [errors.DeadlineExceeded, errors.CutOff])
def test_an_order_that_ran_out_of_time_counts_its_kept_images(
    error: type[errors.DeadlineExceeded | errors.CutOff],
) -> None:
    with_images = describe(error(kept=2))

    assert orjson.loads(with_images.body())["error"]["images_kept"] == 2
    assert "images_kept" not in orjson.loads(describe(error()).body())["error"]


@pytest.mark.parametrize("kind", EXAMPLES, ids=lambda kind: kind.__name__)
def test_no_error_of_an_order_that_would_be_paid_again_invites_a_retry(kind: type[GatewayError]) -> None:
    error = EXAMPLES[kind][0]
    before, error.pays_again = error.pays_again, True
    problem = describe(error)
    error.pays_again = before

    assert problem.status == EXAMPLES[kind][1]
    assert not sdk_retries(problem)
    assert not [name for name in problem.headers if name.startswith("retry-after")]


@pytest.mark.parametrize(
    ("error", "invites"),
    [(errors.DeadlineExceeded(), True), (errors.Draining(), True), (errors.CutOff(), False)],
)
def test_an_order_that_ran_out_of_time_unpaid_invites_a_retry(error: GatewayError, invites: bool) -> None:
    assert sdk_retries(describe(error)) is invites


@pytest.mark.parametrize(("kept", "lost"), [(3, 0), (0, 3), (2, 1)])
def test_a_partial_failure_promises_only_kept_images(kept: int, lost: int) -> None:
    problem = describe(OrderFailed((failure(FailureKind.OVERLOADED),), kept=kept, lost=lost))

    assert problem.message.startswith("1 of 4 images failed (overloaded).")
    assert orjson.loads(problem.body())["error"]["images_kept"] == kept
    assert sdk_retries(problem) is (lost == 0)
    assert ("pay only for the missing ones" in problem.message) is (lost == 0)
    assert (f"pays again for {lost} finished images" in problem.message) is (lost > 0)


def test_failures_of_several_kinds_without_an_image_promise_nothing() -> None:
    problem = describe(OrderFailed((failure(FailureKind.OVERLOADED), failure(FailureKind.RATE_LIMITED))))

    assert problem.message == "2 of 2 images failed (overloaded, rate_limited)."
    assert sdk_retries(problem)
