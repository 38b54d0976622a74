"""The limit of images per minute, and its headers."""

import pytest

from service.sandbox.rules.rate_limits import Rates, Window
from service.sandbox.wire.retry_headers import to_duration
from tests.sandbox.process import SandboxHandle


async def test_limits_images_per_minute_for_each_key(sandbox: SandboxHandle) -> None:
    await sandbox.behave(rate_limit_images_per_min=3, paint="flat")

    admitted = await sandbox.generate(n=2)
    refused = await sandbox.generate(n=2)
    fitting = await sandbox.generate(n=1)
    other = await sandbox.client.post(
        "/v1/images/generations",
        json={"model": "gpt-image-2", "prompt": "a cat", "n": 3},
        headers={"authorization": "Bearer sk-other"},
    )

    assert [one.status_code for one in (admitted, refused, fitting, other)] == [200, 429, 200, 200]
    assert admitted.headers["x-ratelimit-limit-images"] == "3"
    assert admitted.headers["x-ratelimit-remaining-images"] == "1"
    assert refused.headers["x-ratelimit-remaining-images"] == "1"
    assert 50 <= int(refused.headers["retry-after"]) <= 60
    assert 50_000 <= int(refused.headers["retry-after-ms"]) <= 60_000
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert refused.json()["error"]["type"] == "requests"


def test_the_window_slides() -> None:
    window = Window()
    window.take(2, 0.0)
    window.take(1, 30.0)

    assert window.wait_s(1, 4, 30.0) == 0
    assert window.wait_s(2, 4, 30.0) == 30.0
    assert window.wait_s(4, 4, 30.0) == 60.0
    assert window.wait_s(5, 4, 30.0) == 60.0
    assert window.wait_s(3, 4, 60.0) == 0
    assert window.to_rate(4, 60.0).used == 1


def test_a_refused_request_takes_no_images() -> None:
    rates = Rates()
    rates.admit("key", 2, 3, 0.0)

    wait_s, headers = rates.admit("key", 2, 3, 6.0)

    assert wait_s == 54.0
    assert headers["x-ratelimit-remaining-images"] == "1"
    assert headers["x-ratelimit-reset-images"] == "54s"
    assert headers["x-ratelimit-remaining-requests"] == "99998"


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0ms"),
        (0.012, "12ms"),
        (1, "1s"),
        (58.891, "58.891s"),
        (60, "1m0s"),
        (360, "6m0s"),
        (61.5, "1m1.5s"),
    ],
)
def test_durations_read_as_go_prints_them(seconds: float, shown: str) -> None:
    assert to_duration(seconds) == shown
