"""The wait that an answer asks for, in every form that servers give it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.adapters.openai.delays import read_duration_s, read_retry_after_s
from service.adapters.openai.failures import classify_answer
from tests.adapters.openai.conftest import Script, failed, make_call

NOON = "Tue, 12 May 2026 12:00:00 GMT"
SPENT_IMAGES = {
    "x-ratelimit-limit-requests": "100",
    "x-ratelimit-remaining-requests": "99",
    "x-ratelimit-reset-requests": "600ms",
    "x-ratelimit-limit-images": "5",
    "x-ratelimit-remaining-images": "0",
    "x-ratelimit-reset-images": "12s",
    "x-ratelimit-limit-tokens": "1000",
    "x-ratelimit-remaining-tokens": "10",
    "x-ratelimit-reset-tokens": "6m0s",
}


@pytest.mark.parametrize(
    ("text", "expected_s"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("0", 0.0),
        ("120ms", 0.12),
        ("6m0s", 360.0),
        ("1h2m3.5s", 3723.5),
        ("58.891s", 58.891),
        (" 1s ", 1.0),
        ("250us", 0.00025),
        ("-1", None),
        ("-1s", None),
        ("nan", None),
        ("inf", None),
        ("1e9", None),
        ("300h", None),
        ("1790000000", None),
        ("soon", None),
        ("1s later", None),
        ("s", None),
        ("", None),
    ],
)
def test_a_duration_is_read_exactly_or_not_at_all(text: str, expected_s: float | None) -> None:
    assert read_duration_s(text) == pytest.approx(expected_s)


@pytest.mark.parametrize(
    ("headers", "expected_s"),
    [
        ({"retry-after-ms": "534", "retry-after": "1"}, 0.534),
        ({"retry-after-ms": "soon", "retry-after": "3"}, 3.0),
        ({"retry-after-ms": "-1", "retry-after": "3"}, 3.0),
        ({"retry-after": "6m0s"}, 360.0),
        ({"retry-after": "Tue, 12 May 2026 12:00:30 GMT", "date": NOON}, 30.0),
        ({"retry-after": "Tuesday, 12-May-26 12:01:00 GMT", "date": NOON}, 60.0),
        ({"retry-after": "Tue, 12 May 2026 11:00:00 GMT", "date": NOON}, 0.0),
        ({"retry-after": "Tue, 12 May 2027 12:00:00 GMT", "date": NOON}, None),
        ({"retry-after": "Tue, 12 May 2026 12:00:30 GMT"}, None),
        ({"retry-after": "Tue, 99 May 2026 12:00:30 GMT", "date": NOON}, None),
        ({"retry-after": "2", **SPENT_IMAGES}, 2.0),
        (SPENT_IMAGES, 12.0),
        ({**SPENT_IMAGES, "x-ratelimit-remaining-tokens": "0"}, 360.0),
        ({**SPENT_IMAGES, "x-ratelimit-remaining-images": "1"}, 360.0),
        ({"x-ratelimit-reset-requests": "1s", "x-ratelimit-reset-images": "9s"}, 9.0),
        (
            {
                "x-ratelimit-limit-tokens": "-1",
                "x-ratelimit-remaining-tokens": "-1",
                "x-ratelimit-reset-tokens": "60",
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "4",
            },
            4.0,
        ),
        ({"x-ratelimit-reset-images": "1790000000"}, None),
        ({}, None),
    ],
)
def test_a_429_waits_for_what_it_names_or_for_its_emptiest_bucket(
    headers: dict[str, str], expected_s: float | None
) -> None:
    assert read_retry_after_s(429, headers) == pytest.approx(expected_s)


@pytest.mark.parametrize(
    ("message", "expected_s"),
    [
        ("have exceeded call rate limit. Please retry after 86400 seconds. Please contact support.", 86400.0),
        ("Limit 5, Used 5, Requested 1. Please try again in 467ms. Visit the page.", 0.467),
        ("Rate limit is exceeded. Try again in 1 second.", 1.0),
        ("Please try again in 12s.", 12.0),
        ("Please try again in 2 minutes.", 120.0),
        ("Please try again in 5 days.", 12.0),
        ("Please try again later.", 12.0),
        ("", 12.0),
    ],
)
def test_a_429_without_a_header_waits_as_its_text_says(message: str, expected_s: float) -> None:
    assert read_retry_after_s(429, SPENT_IMAGES, message) == pytest.approx(expected_s)
    assert read_retry_after_s(429, {"retry-after": "3"}, message) == 3.0
    assert read_retry_after_s(500, {}, message) is None


def test_the_reset_of_a_bucket_is_no_wait_after_another_failure() -> None:
    assert read_retry_after_s(503, SPENT_IMAGES) is None
    assert read_retry_after_s(503, {"retry-after": "5", **SPENT_IMAGES}) == 5.0


@given(st.text(alphabet="0123456789.hmsun-+e: ,GMTay", max_size=20), st.text(max_size=20))
def test_no_header_breaks_the_reading(text: str, other: str) -> None:
    for value in (text, other):
        headers = {"retry-after": value, "date": NOON, "x-ratelimit-reset-images": value}
        wait_s = read_retry_after_s(429, headers)
        assert wait_s is None or 0 <= wait_s < 1e6
    assert classify_answer(429, {"retry-after": text}, {"error": {"message": "no"}}).status == 429


async def test_a_bucket_of_a_real_answer_is_found(script: Script) -> None:
    """Names of headers have any case on the wire."""
    script.answer(
        429,
        b'{"error": {"message": "Slow down."}}',
        "X-RateLimit-Limit-Images: 5",
        "X-RateLimit-Remaining-Images: 0",
        "X-RateLimit-Reset-Images: 1m30s",
    )

    assert failed(await make_call(script.url)).retry_after_s == 90.0
