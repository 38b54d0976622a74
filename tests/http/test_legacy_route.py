"""Use `POST /generate_image`, as the guide describes it."""

import base64
from collections.abc import Iterator
from uuid import uuid4

import httpx
import orjson
import pytest

from tests.http.house import House, open_house, open_picture

ROUTE = "/generate_image"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("legacy")) as opened:
        yield opened


def ask(house: House, **fields: object) -> httpx.Response:
    return house.client.post(ROUTE, json=fields)


def test_a_prompt_becomes_an_image_of_512_pixels(house: House, prompt: str) -> None:
    answer = ask(house, prompt=prompt)

    assert answer.status_code == 200
    assert list(answer.json()) == ["image_base64"]
    image = open_picture(base64.b64decode(answer.json()["image_base64"], validate=True))
    assert (image.format, image.size) == ("PNG", (512, 512))
    [call] = house.journal(prompt=prompt)
    assert (call["model"], call["parameters"]["n"]) == ("gpt-image-2.6-flare", 1)


def test_a_repeated_prompt_is_a_hit(house: House, prompt: str) -> None:
    one, other = ask(house, prompt=prompt), ask(house, prompt=prompt)

    assert one.json() == other.json()
    assert len(house.journal(prompt=prompt)) == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'{"prompt": ""}',
        b'{"prompt": null}',
        b'{"prompt": 7}',
        b"[]",
        b"null",
        b"\xff",
        b"prompt=x",
    ],
)
def test_a_missing_prompt_is_reported(house: House, body: bytes) -> None:
    answer = house.client.post(ROUTE, content=body, headers={"content-type": "application/json"})

    assert (answer.status_code, answer.json()) == (400, {"error": "No prompt provided"})


def test_other_fields_of_the_body_are_ignored(house: House, prompt: str) -> None:
    """The original read the prompt and nothing more."""
    assert ask(house, prompt=prompt, n=4, model="dall-e-3", size=[1]).status_code == 200


def test_a_refusal_is_a_500_with_its_details(house: House) -> None:
    answer = ask(house, prompt=f"a forbidden-word, {uuid4().hex}")

    assert answer.status_code == 500
    body = answer.json()
    assert sorted(body) == ["details", "error"]
    assert body["details"]["code"] == "content_policy_violation"
    assert body["details"]["message"] == body["error"]


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        ({"status": 400, "code": "billing_hard_limit_reached"}, "backend_misconfigured"),
        ({"status": 401, "code": "invalid_api_key"}, "backend_misconfigured"),
        ({"status": 503, "code": "server_is_overloaded", "count": 5}, "server_is_overloaded"),
        ({"status": 200, "body": "html"}, "upstream_invalid_response"),
    ],
)
def test_a_failure_of_the_provider_is_a_500(
    house: House, prompt: str, failure: dict[str, object], code: str
) -> None:
    house.behave(failures=[failure])
    try:
        answer = ask(house, prompt=prompt)
    finally:
        house.behave()

    assert answer.status_code == 500
    assert answer.json()["details"]["code"] == code
    assert isinstance(answer.json()["error"], str)


def test_a_long_prompt_is_refused_in_the_same_form(house: House) -> None:
    answer = ask(house, prompt="x" * 33_000)

    assert answer.status_code in (400, 500)
    assert sorted(answer.json()) == ["details", "error"]
    assert answer.json()["details"]["param"] == "prompt"


@pytest.mark.parametrize(
    ("body", "encoding", "status"),
    [
        (orjson.dumps({"prompt": "x" * 300_000}), "identity", 413),
        (b"no gzip", "gzip", 400),
        (b"{}", "br", 415),
    ],
    ids=["too large", "broken gzip", "unknown encoding"],
)
def test_a_body_that_cannot_be_read_is_refused_in_the_same_form(
    house: House, body: bytes, encoding: str, status: int
) -> None:
    headers = {"content-type": "application/json", "content-encoding": encoding}
    answer = house.client.post(ROUTE, content=body, headers=headers)

    assert answer.status_code == status
    assert sorted(answer.json()) == ["details", "error"]


def test_the_route_is_in_the_metrics(house: House, prompt: str) -> None:
    answer = ask(house, prompt=prompt)

    assert answer.headers["x-request-id"]
    assert 'route="/generate_image"' in house.client.get("/metrics").text
