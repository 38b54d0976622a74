"""Images of two backends, from the outside: Azure serves a model that has ended at OpenAI, which makes it by the bridge.

Each answer, description and booking names the one that made the image.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
from httpx_sse import EventSource

from tests.contract.conformance import HELD
from tests.http.house import GENERATIONS
from tests.http.test_request_lines import line_of
from tests.processes import Gateway, run_gateway, run_sandbox

ADMIN_KEY = "operator-key-of-these-tests"
MODEL, CURRENT = "gpt-image-1", "gpt-image-2.6-flare"
CONFIG = """
[[backends]]
name = "azure"
kind = "azure"
url = "{azure}"
keys = [{{ key = "azure-key" }}]
models."gpt-image-1" = {{ name = "our-deployment" }}

[[backends]]
name = "openai"
url = "{openai}/v1"
keys = [{{ key = "sk-ours" }}]
"""


@dataclass(slots=True)
class Pair:
    """A gateway before Azure and OpenAI."""

    gateway: Gateway
    client: httpx.Client
    azure: httpx.Client

    def order(self, prompt: str, **fields: object) -> httpx.Response:
        body = {"model": MODEL, "prompt": prompt, "quality": "low", "response_format": "url", **fields}
        return self.client.post(GENERATIONS, json=body).raise_for_status()

    def behave(self, **fields: object) -> None:
        """Replace the behaviour of Azure."""
        self.azure.put("/sandbox/behaviour", json=fields).raise_for_status()

    def describe(self, answer: httpx.Response) -> dict[str, Any]:
        """Return the description of the first image of *answer*."""
        link = httpx.URL(answer.json()["data"][0]["url"])
        described: dict[str, Any] = self.client.get(f"{link.path}/info").raise_for_status().json()
        return described


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    directory = tmp_path_factory.mktemp("pair")
    config = directory / "gateway.toml"
    limits = {"default_policy__requests_per_min": 0, "default_policy__images_per_min": 0}
    deployed = ("--kind", "azure", "--deployment", f"our-deployment={MODEL}")
    with run_sandbox(*deployed) as azure, run_sandbox("--today", "2027-01-15") as openai:
        config.write_text(CONFIG.format(azure=azure, openai=openai), "utf-8")
        settings = {"auth": "keys", "admin_key": ADMIN_KEY, "config": config, **limits}
        with (
            run_gateway(directory, **settings) as gateway,
            httpx.Client(
                base_url=gateway.url,
                headers={"authorization": f"Bearer {ADMIN_KEY}"},
                trust_env=False,
                timeout=60,
                event_hooks=HELD,
            ) as client,
            httpx.Client(base_url=azure, trust_env=False, timeout=60) as sandbox,
        ):
            yield Pair(gateway, client, sandbox)


@pytest.fixture
def crossing(pair: Pair) -> Iterator[Pair]:
    """The pair while Azure throttles its key, which then rests for a while: OpenAI makes the images."""
    pair.behave(throttle={"for_s": 600})
    yield pair
    pair.behave()


@pytest.fixture
def prompt() -> str:
    return f"a lighthouse {uuid4().hex}"


def test_a_model_that_a_backend_still_serves_is_made_there(pair: Pair, prompt: str) -> None:
    answer = pair.order(prompt, n=2)

    assert (answer.headers["x-backend"], answer.headers["x-model-sent"]) == ("azure", MODEL)
    assert "sunset" not in answer.headers
    info = pair.describe(answer)
    assert (info["backend"], info["models"]["sent"]) == ("azure", MODEL)
    line = line_of(pair.gateway, answer.headers["x-request-id"])
    assert (line["backend"], line["sent_model"], line["made"]) == ("azure", MODEL, 2)
    hit = pair.order(prompt)
    assert (hit.headers["x-cache"], "x-backend" in hit.headers) == ("hit", False)


def test_the_books_have_each_backend_and_its_model(pair: Pair, prompt: str) -> None:
    before = booked(pair)
    pair.order(prompt, n=3)
    pair.order(prompt, model="dall-e-3", quality="standard")

    after = booked(pair)
    assert after["azure", MODEL] - before.get(("azure", MODEL), 0) == 3
    assert after["openai", CURRENT] - before.get(("openai", CURRENT), 0) == 1
    rows = pair.client.get("/admin/usage?group=backend").json()["data"]
    assert {row["backend"] for row in rows} == {"azure", "openai"}
    assert sum(row["images"] for row in rows) == sum(after.values())


def booked(pair: Pair) -> dict[tuple[str, str], int]:
    """Return the number of images by backend and model."""
    rows = pair.client.get("/admin/usage").json()["data"]
    return {(row["backend"], row["model"]): row["images"] for row in rows}


def test_an_image_that_crossed_is_told_of_as_it_was_made(crossing: Pair, prompt: str) -> None:
    answer = crossing.order(prompt)

    assert (answer.headers["x-backend"], answer.headers["x-model-sent"]) == ("openai", CURRENT)
    info = crossing.describe(answer)
    assert info["backend"] == "openai"
    assert info["models"] == {"asked": MODEL, "sent": CURRENT, "answered": None}
    line = line_of(crossing.gateway, answer.headers["x-request-id"])
    assert (line["model"], line["backend"], line["sent_model"]) == (MODEL, "openai", CURRENT)
    streamed = crossing.client.post(
        f"{GENERATIONS}/stream", json={"model": MODEL, "prompt": f"{prompt} again", "quality": "low"}
    )
    [event] = [orjson.loads(each.data) for each in EventSource(streamed).iter_sse()]
    assert (event["backend"], event["sent_model"]) == ("openai", CURRENT)
