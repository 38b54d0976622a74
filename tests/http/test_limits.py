"""Reach limits: OpenAI's header names, both retry headers, free refusals."""

import re
from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from tests.http.conftest import SandboxJournal
from tests.processes import Gateway

ROUTE = "/v1/images/generations"


@pytest.fixture
def caller(limited: Gateway) -> Iterator[httpx.Client]:
    """A user without any request so far."""
    headers = {"authorization": f"Bearer {uuid4().hex}"}
    with httpx.Client(base_url=limited.url, headers=headers, trust_env=False, timeout=20) as client:
        yield client


def test_a_success_has_the_remaining_amounts(caller: httpx.Client, prompt: str) -> None:
    headers = caller.post(ROUTE, json={"prompt": prompt, "model": "dall-e-3"}).headers

    assert (headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == ("5", "4")
    assert (headers["x-ratelimit-limit-images"], headers["x-ratelimit-remaining-images"]) == ("2", "1")
    for resource in ("requests", "images"):
        assert re.fullmatch(r"\d+ms|\d+(\.\d+)?s", headers[f"x-ratelimit-reset-{resource}"])
    assert "retry-after" not in headers
    assert "x-ratelimit-degraded" not in headers


def test_images_above_the_limit_are_a_429_with_a_delay(
    caller: httpx.Client, journal: SandboxJournal, prompt: str
) -> None:
    for number in range(2):
        assert (
            caller.post(ROUTE, json={"prompt": prompt + str(number), "model": "dall-e-3"}).status_code == 200
        )

    refused = caller.post(ROUTE, json={"prompt": f"{prompt}2", "model": "dall-e-3"})

    assert refused.status_code == 429
    error = refused.json()["error"]
    assert (error["type"], error["code"], error["param"]) == ("images", "rate_limit_exceeded", None)
    headers = refused.headers
    assert 1 <= int(headers["retry-after"]) <= 60
    assert 0 < int(headers["retry-after-ms"]) <= 1000 * int(headers["retry-after"])
    assert headers["x-ratelimit-remaining-images"] == "0"
    assert headers["x-ratelimit-limit-images"] == "2"
    assert "x-should-retry" not in headers
    assert re.search(r"try again in \d+\.\d{3}s", error["message"])
    assert journal.of(f"{prompt}2") == []


def test_requests_above_the_limit_are_refused_even_as_hits(caller: httpx.Client, prompt: str) -> None:
    fields = {"prompt": prompt, "model": "dall-e-3"}
    states = [caller.post(ROUTE, json=fields) for _ in range(6)]

    assert [answer.status_code for answer in states] == [200] * 5 + [429]
    assert [answer.headers["x-cache"] for answer in states[:5]] == ["miss"] + ["hit"] * 4
    assert states[-1].json()["error"]["type"] == "requests"
    # Hits are no images made.
    assert int(states[4].headers["x-ratelimit-remaining-images"]) >= 1


def test_an_n_above_the_limit_is_a_400_and_charges_nothing(caller: httpx.Client, prompt: str) -> None:
    refused = caller.post(ROUTE, json={"prompt": prompt, "model": "dall-e-3", "n": 3})

    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "n")
    headers = caller.post(ROUTE, json={"prompt": prompt, "model": "dall-e-3", "n": 2}).headers
    assert headers["x-ratelimit-remaining-requests"] == "4"


def test_invalid_orders_charge_nothing(caller: httpx.Client, prompt: str) -> None:
    for _ in range(8):
        assert caller.post(ROUTE, json={"prompt": prompt, "size": "1x1"}).status_code == 400

    assert caller.post(ROUTE, json={"prompt": prompt}).status_code == 200


def test_every_user_has_a_limit_of_its_own(caller: httpx.Client, limited: Gateway, prompt: str) -> None:
    caller.post(ROUTE, json={"prompt": prompt, "n": 2, "model": "dall-e-3"})
    assert caller.post(ROUTE, json={"prompt": f"{prompt}!", "model": "dall-e-3"}).status_code == 429

    other = httpx.post(
        f"{limited.url}{ROUTE}",
        json={"prompt": f"{prompt}!", "model": "dall-e-3"},
        headers={"authorization": f"Bearer {uuid4().hex}"},
        trust_env=False,
    )

    assert other.status_code == 200


def test_a_refused_prompt_releases_its_images(caller: httpx.Client, prompt: str) -> None:
    refused = caller.post(ROUTE, json={"prompt": f"{prompt} forbidden-word", "model": "dall-e-3", "n": 2})

    assert refused.status_code == 400
    assert caller.post(ROUTE, json={"prompt": prompt, "model": "dall-e-3", "n": 2}).status_code == 200


@pytest.mark.parametrize("name", ["user", "safety_identifier"])
def test_without_a_token_the_named_user_is_limited(limited: Gateway, prompt: str, name: str) -> None:
    person = uuid4().hex
    with httpx.Client(base_url=limited.url, trust_env=False, timeout=20) as client:
        for suffix, expected in (("a", 200), ("b", 429)):
            fields = {"prompt": prompt + suffix, "model": "dall-e-3", "n": 2, name: person}
            assert client.post(ROUTE, json=fields).status_code == expected


def test_links_expire_after_their_lifetime(caller: httpx.Client, prompt: str) -> None:
    answer = caller.post(ROUTE, json={"prompt": prompt, "model": "dall-e-3"})

    link = httpx.URL(answer.json()["data"][0]["url"])

    created_s = answer.json()["created"]
    assert created_s + 3590 <= int(link.params["exp"]) <= created_s + 3620
    assert httpx.get(link, trust_env=False).status_code == 200
    later = link.copy_set_param("exp", str(int(link.params["exp"]) + 1))
    assert httpx.get(later, trust_env=False).status_code == 403
