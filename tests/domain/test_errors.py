import inspect
import re

from service.domain import errors
from service.domain.errors import (
    DeadlineExceeded,
    Draining,
    GatewayError,
    ImageMissing,
    InvalidOrder,
    LinkRefused,
    OrderFailed,
    RateLimited,
    StateUnavailable,
    StoreUnavailable,
)
from tests.fakes.values import a_failure, a_limit_state


def test_the_tree_is_drawn_in_full() -> None:
    drawn = set(re.findall(r"[├└]── (\w+)", errors.__doc__ or ""))
    declared = {
        name
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, GatewayError) and kind is not GatewayError
    }

    assert drawn == declared


def test_an_invalid_order_names_what_is_wrong() -> None:
    error = InvalidOrder("no", param="n")

    assert (str(error), error.param, error.code, error.error_type) == (
        "no",
        "n",
        "invalid_value",
        "invalid_request_error",
    )


def test_a_rate_limit_says_whose_and_how_long() -> None:
    refused = a_limit_state(resource="images", scope="user", limit=5, remaining=1)
    error = RateLimited(refused, retry_after_s=1.2345, limits=(refused,))

    assert str(error) == (
        "Rate limit reached for images per min of this user: limit 5, remaining 1. "
        "Please try again in 1.234s."
    )
    assert (error.refused, error.limits, error.degraded) == (refused, (refused,), False)


def test_a_failed_order_speaks_for_its_first_failure() -> None:
    failures = (a_failure(message="first"), a_failure(message="second"))
    error = OrderFailed(failures, kept=3)

    assert (str(error), error.failures, error.kept) == ("first", failures, 3)


def test_a_passed_deadline_tells_whether_calls_were_sent() -> None:
    assert DeadlineExceeded(dispatched=True).dispatched
    assert "x-request-timeout-s" in str(DeadlineExceeded(dispatched=False))


def test_errors_of_the_surroundings_say_what_can_be_done() -> None:
    assert StateUnavailable("timeout").reason == "timeout"
    assert "timeout" not in str(StateUnavailable("timeout"))
    assert "b64_json" in str(StoreUnavailable())
    assert "try again" in str(Draining())
    assert "Order the image again" in str(LinkRefused())
    assert "not kept" in str(ImageMissing())
