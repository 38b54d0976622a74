from service.domain.failures import Billing, CallFailure, FailureKind
from tests.fakes.values import an_image


def test_an_image_is_named_by_its_content_and_format() -> None:
    assert an_image("abc", format="webp").name == "abc.webp"


def test_failures_of_every_equal_order_are_distinguished() -> None:
    shared = {
        kind
        for kind in FailureKind
        if CallFailure(kind=kind, billing=Billing.NOT_BILLED, message="").is_callers_own
    }

    assert shared == {FailureKind.REFUSED, FailureKind.INVALID}
