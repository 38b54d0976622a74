"""Check small rules of the edge: links to formats in preview, and retries of failures."""

from collections.abc import Iterator

import pytest

from service.domain.errors import OrderFailed
from service.domain.failures import Billing, FailureKind
from service.http.errors import describe
from tests.fakes.values import a_failure
from tests.http.house import House, check_error, open_house


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("previews")) as opened:
        yield opened


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp", "gif", "svg"])
def test_links_exist_for_every_format_of_a_model(house: House, kind: str) -> None:
    """Judged by its signature, as all are; an answer hands out links to all of them."""
    answer = house.client.get(f"/v1/images/files/{'0' * 64}.{kind}", params={"exp": "0", "sig": "A" * 43})

    check_error(answer, 403, code="invalid_link", param=None)


@pytest.mark.parametrize("kind", [FailureKind.OVERLOADED, FailureKind.TIMED_OUT, FailureKind.BROKEN])
def test_possibly_billed_failures_never_invite_a_retry(kind: FailureKind) -> None:
    """An error inside a stream is an overload by its words, and of unknown billing."""
    problem = describe(OrderFailed((a_failure(kind=kind, billing=Billing.UNKNOWN),), kept=0))

    assert problem.headers["x-should-retry"] == "false"
    assert "retry-after" not in problem.headers


def test_a_free_overload_invites_a_retry() -> None:
    problem = describe(OrderFailed((a_failure(retry_after_s=2.0),), kept=0))

    assert (problem.status, problem.headers["retry-after"]) == (503, "2")
    assert problem.headers.get("x-should-retry") != "false"
