import inspect
import re

import pytest

from service.domain import errors
from service.domain.errors import (
    CutOff,
    DeadlineExceeded,
    Draining,
    GatewayError,
    IdempotencyMismatch,
    ImageGone,
    ImageMissing,
    ImageNotKept,
    InvalidOrder,
    LinkRefused,
    ModelNotAllowed,
    OrderFailed,
    OrderUnderWay,
    PriceUnknown,
    RateLimited,
    StateUnavailable,
    StoreUnavailable,
)
from service.domain.failures import Billing
from service.domain.limits import Resource
from tests.fakes.values import a_failure, a_limit_state


def test_the_tree_is_drawn_in_full() -> None:
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__ or ""))
    declared = {
        name
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, GatewayError) and kind is not GatewayError
    }

    assert drawn == declared


def test_an_invalid_order_has_param_code_and_type() -> None:
    error = InvalidOrder("no", param="n")

    assert (str(error), error.param, error.code, error.error_type) == (
        "no",
        "n",
        "invalid_value",
        "invalid_request_error",
    )


def test_a_rate_limit_names_scope_and_wait() -> None:
    refused = a_limit_state(resource="images", scope="user", limit=5, remaining=1)
    error = RateLimited(refused, retry_after_s=1.2345, limits=(refused,))

    assert str(error) == (
        "Rate limit reached for images per min of this user: limit 5, used 4. Please try again in 1.235s."
    )
    assert (error.refused, error.limits, error.degraded) == (refused, (refused,), False)


@pytest.mark.parametrize(
    ("resource", "name", "use", "frees"),
    [
        ("requests", "requests per min", "limit 9, used 7", "Please try again in 0.500s."),
        ("images", "images per min", "limit 9, used 7", "Please try again in 0.500s."),
        ("images_per_day", "images per day", "limit 9, used 7", "It frees at midnight UTC."),
        ("images_in_flight", "images in flight", "limit 9, used 7", "It frees as they are finished."),
        (
            "budget_per_month",
            "budget per month",
            "limit $0.000009, used $0.000007",
            "It frees with the next month (UTC).",
        ),
    ],
)
def test_every_limit_says_what_frees_it(resource: str, name: str, use: str, frees: str) -> None:
    refused = a_limit_state(resource=resource, scope="key", limit=9, remaining=2)

    error = RateLimited(refused, retry_after_s=0.5, limits=(refused,))

    opening = "You exceeded the" if error.is_quota else "Rate limit reached for"
    assert str(error) == f"{opening} {name} of this key: {use}. {frees}"


@pytest.mark.parametrize("resource", Resource)
def test_only_the_end_of_a_day_or_a_month_makes_a_quota(resource: Resource) -> None:
    error = RateLimited(a_limit_state(resource=resource), retry_after_s=1.0, limits=())

    assert error.is_quota is (resource in {Resource.IMAGES_PER_DAY, Resource.BUDGET_PER_MONTH})


def test_a_budget_is_shown_to_the_micro_dollar() -> None:
    refused = a_limit_state(resource="budget_per_month", limit=25_000_000, remaining=1)

    text = str(RateLimited(refused, retry_after_s=1e6, limits=()))

    assert "limit $25.000000, used $24.999999." in text
    assert "try again" not in text


def test_a_model_refused_by_policy_names_the_scope_and_the_route() -> None:
    error = ModelNotAllowed("m" * 500, "team")

    assert "this team does not have access" in str(error)
    assert "/v1/usage" in str(error)
    assert len(str(error)) < 300


def test_an_unknown_price_names_the_remedies() -> None:
    error = PriceUnknown("m" * 500)

    assert "GATEWAY_UNPRICED=count" in str(error)
    assert len(str(error)) < 300


def test_a_failed_order_has_the_message_of_its_first_failure() -> None:
    failures = (a_failure(message="first"), a_failure(message="second"))
    error = OrderFailed(failures, kept=3)

    assert (str(error), error.failures, error.kept) == ("first", failures, 3)


@pytest.mark.parametrize(
    ("billings", "lost", "pays_again"),
    [
        ((Billing.NOT_BILLED, Billing.NOT_BILLED), 0, False),
        ((Billing.NOT_BILLED, Billing.UNKNOWN), 0, True),
        ((Billing.BILLED,), 0, True),
        ((Billing.NOT_BILLED,), 1, True),
    ],
)
def test_a_failed_order_tells_if_a_repeat_pays_again(
    billings: tuple[Billing, ...], lost: int, *, pays_again: bool
) -> None:
    failures = tuple(a_failure(billing=billing) for billing in billings)

    assert OrderFailed(failures, kept=2, lost=lost).pays_again is pays_again


def test_a_cut_off_order_is_paid_again_and_one_past_its_deadline_only_if_it_says_so() -> None:
    assert CutOff(kept=1).pays_again
    assert not DeadlineExceeded(kept=1).pays_again
    assert "x-request-timeout-s" in str(DeadlineExceeded())


def test_errors_of_the_environment_name_a_remedy() -> None:
    assert StateUnavailable("timeout").reason == "timeout"
    assert "timeout" not in str(StateUnavailable("timeout"))
    assert "b64_json" in str(StoreUnavailable())
    assert "try again" in str(Draining())
    assert "Order the image again" in str(LinkRefused())
    assert "not kept" in str(ImageMissing())
    assert "Order it again" in str(ImageNotKept())


def test_an_unrepeatable_answer_advises_about_the_key() -> None:
    assert "Use a new key for a new order" in str(IdempotencyMismatch())
    assert "Try again later" in str(OrderUnderWay())
    assert "Order with a new key" in str(ImageGone())


def test_a_spent_budget_names_the_price_of_an_image() -> None:
    refused = a_limit_state(resource="budget_per_month", limit=1_000_000, remaining=30_000)

    error = RateLimited(refused, retry_after_s=1e6, limits=(), image_microusd=40_000)

    assert "used $0.970000; an image of this order is estimated at $0.040000." in str(error)


@pytest.mark.parametrize("image_microusd", [None, 0])
def test_an_unknown_price_is_not_shown(image_microusd: int | None) -> None:
    refused = a_limit_state(resource="budget_per_month")

    assert "estimated" not in str(
        RateLimited(refused, retry_after_s=1e6, limits=(), image_microusd=image_microusd)
    )


def test_only_limits_of_money_speak_of_prices() -> None:
    refused = a_limit_state(resource="images")

    assert "$" not in str(RateLimited(refused, retry_after_s=1.0, limits=(), image_microusd=40_000))


def test_unreadable_jwks_are_distinguished_from_an_absent_redis() -> None:
    assert "identity provider" in str(StateUnavailable("jwks"))
    assert "identity provider" not in str(StateUnavailable("timeout"))


@pytest.mark.parametrize(
    ("wait_s", "shown"), [(0.0, "0.001s"), (0.0004, "0.001s"), (0.0014, "0.002s"), (6.0, "6.000s")]
)
def test_a_wait_is_never_shown_shorter_than_it_is(wait_s: float, shown: str) -> None:
    refused = errors.LimitState(resource="images", scope="user", limit=2, remaining=0, reset_s=wait_s)

    assert str(errors.RateLimited(refused, retry_after_s=wait_s, limits=())).endswith(
        f"Please try again in {shown}."
    )
