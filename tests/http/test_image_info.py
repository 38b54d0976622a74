"""Describe images over HTTP: their origin, cost and content credentials."""

from typing import Any

import httpx
import pytest

from service.adapters.imaging.content_credentials import has_credentials
from tests.http.callers import Caller, link_of, name_of
from tests.http.house import digest_of, png
from tests.http.tenants import Tenants, follow

pytestmark = pytest.mark.usefixtures("flat_images")

INPUT = png(64)


@pytest.fixture
def edited(anna: Caller, prompt: str) -> httpx.Response:
    """The answer to an edit of `INPUT`."""
    return anna.edits(INPUT, prompt=prompt, model="gpt-image-2", size="1024x1024")


@pytest.fixture
def info(anna: Caller, edited: httpx.Response) -> dict[str, Any]:
    """The description of that edit."""
    return anna.reads_about(link_of(edited))


def test_a_description_names_the_image_and_its_order(edited: httpx.Response, info: dict[str, Any]) -> None:
    assert (info["object"], info["name"]) == ("image", name_of(link_of(edited)))
    assert (info["operation"], info["realm"]) == ("edit", "live")
    assert info["created"] == edited.json()["created"]
    assert info["fingerprint"]
    assert info["brief"] is False


def test_a_description_has_models_inputs_and_cost(edited: httpx.Response, info: dict[str, Any]) -> None:
    assert info["models"] == {"asked": "gpt-image-2", "sent": "gpt-image-2", "answered": None}
    assert info["backend"] == "openai"
    assert info["parents"] == [digest_of(INPUT)]
    assert info["cost_microusd"] == int(edited.headers["x-cost-microusd"])


def test_a_description_measures_the_image(edited: httpx.Response, info: dict[str, Any]) -> None:
    image = follow(link_of(edited)).content

    assert (info["size_bytes"], info["width"], info["height"]) == (len(image), 1024, 1024)
    assert info["content_credentials"] == "none"


def test_a_description_names_the_team_and_hashes_the_user(info: dict[str, Any]) -> None:
    assert info["team"] == "shop"
    assert len(info["user"]) == 32


def test_an_admin_reads_the_description_that_the_user_reads(
    operator: Caller, edited: httpx.Response, info: dict[str, Any], prompt: str
) -> None:
    answer = operator.asks_about(link_of(edited), team="shop")

    assert answer.json() == info
    assert prompt not in answer.text


def test_a_bridged_image_names_the_model_asked_and_the_model_sent(anna: Caller, prompt: str) -> None:
    link = anna.orders(prompt, model="dall-e-2", size="1024x1024")

    models = anna.reads_about(link)["models"]

    assert models["asked"] == "dall-e-2"
    assert models["sent"].startswith("gpt-image-2")


def test_an_image_ordered_with_no_store_is_brief(anna: Caller, prompt: str) -> None:
    answer = anna.asks_for(prompt, cache_control="no-store")

    assert anna.reads_about(link_of(answer))["brief"] is True


@pytest.mark.parametrize(
    ("fields", "embeds", "told"),
    [
        ({"model": "dall-e-3", "size": "1024x1024"}, True, "kept"),
        ({"model": "dall-e-2", "size": "256x256"}, True, "lost"),
        ({"model": "dall-e-3", "size": "1024x1024"}, False, "none"),
    ],
)
def test_content_credentials_are_kept_with_unchanged_pixels(
    tenants: Tenants, anna: Caller, prompt: str, fields: dict[str, str], embeds: bool, told: str
) -> None:
    tenants.house.behave(paint="flat", embed_credentials=embeds)
    link = anna.orders(prompt, **fields)

    image = follow(link).content

    (painted,) = tenants.house.painted(prompt)
    assert painted["has_credentials"] is embeds
    assert has_credentials(image) is (told == "kept")
    assert (digest_of(image) == painted["sha256"]) is (told != "lost")
    assert anna.reads_about(link)["content_credentials"] == told
