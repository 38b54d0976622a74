"""The calls of the 2023 developer guide, as it prints them, and the small service that it builds."""

import base64
from collections.abc import Callable, Iterator
from uuid import uuid4

import httpx
import pytest

from tests.compatibility.client import Client
from tests.compatibility.conftest import StartClient
from tests.compatibility.expectations import assert_dalle_answer
from tests.compatibility.pictures import open_picture
from tests.compatibility.pins import PYTHON_0
from tests.processes import Gateway

pytestmark = [pytest.mark.clients(PYTHON_0), pytest.mark.timeout(240)]


@pytest.fixture
def client(start_client: StartClient, record_property: Callable[[str, object], None]) -> Client:
    """The SDK that the guide was written for."""
    running = start_client(PYTHON_0)
    record_property("client", running.label)
    return running


@pytest.fixture
def page(gateway: Gateway, record_property: Callable[[str, object], None]) -> Iterator[httpx.Client]:
    """What a page of the guide's service sends."""
    record_property("client", f"plain HTTP (PyPI `httpx` {httpx.__version__})")
    with httpx.Client(base_url=gateway.url, trust_env=False, timeout=30) as connection:
        yield connection


def test_the_guide_generates(client: Client, gateway: Gateway) -> None:
    """Code of the DALL·E years: `openai.Image.create`"""
    observed = client.observe("guide generating", gateway.url)

    assert_dalle_answer(observed, count=1, size=(1024, 1024), revised=True)


def test_the_guide_edits(client: Client, gateway: Gateway) -> None:
    """Code of the DALL·E years: `openai.Image.create_edit`"""
    observed = client.observe("guide editing", gateway.url)

    assert_dalle_answer(observed, count=1, size=(1024, 1024))


def test_the_guide_varies(client: Client, gateway: Gateway) -> None:
    """Code of the DALL·E years: `openai.Image.create_variation`"""
    observed = client.observe("guide varying", gateway.url)

    assert_dalle_answer(observed, count=1, size=(1024, 1024))


def test_the_guide_prints_its_errors(client: Client, gateway: Gateway) -> None:
    """Code of the DALL·E years: error handling with `e.http_status` and `e.error`"""
    status, details = client.observe("guide failing", gateway.url)["printed"].split("\n", 1)

    assert status == "Error status: 400"
    assert details.startswith("Error details: {")
    assert '"param": "image"' in details


def test_the_guide_serves(client: Client, gateway: Gateway) -> None:
    """Code of the DALL·E years: the Flask handler's own calls"""
    good, refused = client.observe("guide serving", gateway.url)["answers"]

    assert open_picture(good["picture"]["path"]).size == (512, 512)
    assert refused["error"]
    assert refused["details"]["code"] == "content_policy_violation"


def test_what_the_guide_says_of_dalle_3_is_so(client: Client, gateway: Gateway) -> None:
    """Code of the DALL·E years: dall-e-3 with 1024x1536, quality=high, 32000 characters, by the name gpt-image-1"""
    observed = client.observe("guide text", gateway.url)

    assert_dalle_answer(observed["tall"], count=1, size=(1024, 1536), revised=True)
    assert_dalle_answer(observed["wide"], count=1, size=(1536, 1024), revised=True)
    for name in ("quality", "long prompt"):
        assert_dalle_answer(observed[name], count=1, size=(1024, 1024), revised=True)
    assert observed["other name"]["pictures"][0]["came_as"] == "b64_json"


def test_the_guide_names_a_user(client: Client, gateway: Gateway) -> None:
    """Code of the DALL·E years: `user`, which does not change the answer"""
    observed = client.observe("guide user", gateway.url)

    assert_dalle_answer(observed, count=1, size=(256, 256))


def test_a_page_gets_a_picture(page: httpx.Client) -> None:
    """Code of the DALL·E years: `POST /generate_image`"""
    answer = page.post("/generate_image", json={"prompt": f"a cat {uuid4().hex}"})

    assert answer.status_code == 200
    assert set(answer.json()) == {"image_base64"}
    assert base64.b64decode(answer.json()["image_base64"], validate=True).startswith(b"\x89PNG")


@pytest.mark.parametrize("body", [{}, {"prompt": ""}, {"prompt": None}])
def test_a_page_without_a_prompt_is_told(page: httpx.Client, body: dict[str, object]) -> None:
    """Code of the DALL·E years: `POST /generate_image` without a prompt"""
    answer = page.post("/generate_image", json=body)

    assert answer.status_code == 400
    assert answer.json() == {"error": "No prompt provided"}


def test_a_page_is_told_of_a_refusal(page: httpx.Client) -> None:
    """Code of the DALL·E years: `POST /generate_image`, refused prompt"""
    answer = page.post("/generate_image", json={"prompt": f"forbidden-word {uuid4().hex}"})

    assert answer.status_code == 500
    assert set(answer.json()) == {"error", "details"}
    assert isinstance(answer.json()["error"], str)
    assert answer.json()["details"]["code"] == "content_policy_violation"
