"""`GET /v1/models`: which model answers, and what orders may have."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.http.house import House, open_house

FREE = {"multiple": 16, "max_ratio": 3, "max_edge": 3840, "min_pixels": 655_360, "max_pixels": 8_294_400}
CONFIG = """
[models."dall-e-2"]
bridge = false

[models."our-images"]
family = "gpt-image"
released = 2026-11-01
bridge = {{ to = "gpt-image-2" }}

[models."ends-soon"]
family = "gpt-image-1"
released = 2026-01-01
shutdown = {ends_soon}
bridge = {{ to = "gpt-image-2" }}
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    directory: Path = tmp_path_factory.mktemp("models")
    config = directory / "gateway.toml"
    ends_soon = (datetime.now(UTC) + timedelta(days=10)).date().isoformat()
    config.write_text(CONFIG.format(ends_soon=ends_soon), "utf-8")
    with open_house(directory, config=config) as opened:
        yield opened


def details_of(house: House, model: str) -> dict[str, Any]:
    details: dict[str, Any] = house.client.get(f"/v1/models/{model}").raise_for_status().json()
    return details


def test_the_list_says_which_model_answers_for_another(house: House) -> None:
    listed = house.client.get("/v1/models").json()["data"]

    answering = {each["id"]: each["answered_by"] for each in listed}
    assert answering["dall-e-3"] == "gpt-image-2.6-flare"
    assert answering["our-images"] == "gpt-image-2"
    assert [answering[name] for name in ("gpt-image-2", "dall-e-2", "ends-soon")] == [None] * 3
    assert not any("parameters" in each for each in listed)


def test_a_bridged_model_takes_what_its_successor_takes_too(house: House) -> None:
    details = details_of(house, "dall-e-3")

    assert (details["operations"], details["max_n"], details["max_prompt_chars"]) == (
        ["generate", "edit"],
        10,
        32_000,
    )
    assert details["sizes"] == {
        "fixed": ["1024x1024", "1792x1024", "1024x1792", "auto"],
        "default": "1024x1024",
        "free": FREE,
    }
    parameters = details["parameters"]
    assert parameters["quality"] == {
        "values": ["standard", "hd", "low", "medium", "high", "xhigh", "max", "auto"],
        "default": "standard",
        "operations": ["generate", "edit"],
    }
    assert parameters["style"] == {
        "values": ["vivid", "natural"],
        "default": "vivid",
        "operations": ["generate"],
    }
    assert parameters["partial_images"] == {
        "minimum": 0,
        "maximum": 3,
        "default": 0,
        "operations": ["generate", "edit"],
    }
    assert parameters["svg"] == {"kind": "object", "operations": ["generate", "edit"]}
    assert details["inputs"]["formats"] == ["png", "jpeg", "webp"]
    assert details["inputs"]["max_bytes"] == 50 * 2**20


def test_a_model_that_answers_itself_takes_its_own(house: House) -> None:
    details = details_of(house, "dall-e-2")

    assert details["operations"] == ["generate", "edit", "vary"]
    assert details["sizes"] == {"fixed": ["256x256", "512x512", "1024x1024"], "default": "1024x1024"}
    assert set(details["parameters"]) == {"quality"}
    assert details["inputs"] == {
        "formats": ["png"],
        "max_bytes": 4 * 2**20,
        "max_pixels": 40_000_000,
        "max_images": 1,
        "mask_max_bytes": 4 * 2**20,
        "square": True,
        "needs_alpha": True,
        "takes_markup": False,
    }


def test_a_size_of_a_model_without_a_default_is_chosen_by_it(house: House) -> None:
    assert details_of(house, "gpt-image-2")["sizes"] == {"fixed": ["auto"], "default": "auto", "free": FREE}
    assert details_of(house, "ends-soon")["sizes"] == {
        "fixed": ["1024x1024", "1024x1536", "1536x1024", "auto"],
        "default": "auto",
    }


def test_values_that_change_nothing_are_left_out(client: httpx.Client) -> None:
    """Clients send `style` and `hd` to DALL·E 2 as well, which its bridge takes and ignores."""
    parameters = client.get("/v1/models/dall-e-2").json()["parameters"]

    assert "style" not in parameters
    assert parameters["quality"]["values"] == ["standard", "low", "medium", "high", "xhigh", "max", "auto"]
