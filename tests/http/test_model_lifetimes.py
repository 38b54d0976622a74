"""Announce the shutdown of models, and pass unknown parameters to current ones."""

from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.http.house import GENERATIONS, House, check_error, data_url, open_house, png

CONFIG = """
[backend]
pass_unknown = true

[models."ends-soon"]
family = "gpt-image-1"
released = 2026-01-01
shutdown = {ends_soon}
bridge = {{ to = "gpt-image-2" }}

[models."ended"]
family = "gpt-image-1"
released = 2026-01-01
shutdown = {ended}
bridge = {{ to = "gpt-image-2" }}
"""
DAY_S = 86_400


def day_in(days: int) -> str:
    now_s = datetime.now(UTC).timestamp()
    return datetime.fromtimestamp(now_s + days * DAY_S, UTC).date().isoformat()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    config = tmp_path_factory.mktemp("config") / "gateway.toml"
    config.write_text(CONFIG.format(ends_soon=day_in(10), ended=day_in(-10)), "utf-8")
    with open_house(tmp_path_factory.mktemp("lifetimes"), config=config) as opened:
        opened.behave(paint="flat")
        yield opened


def order(house: House, model: str, **fields: object) -> httpx.Response:
    return house.client.post(GENERATIONS, json={"model": model, "prompt": f"number {uuid4().hex}", **fields})


@pytest.mark.parametrize(("model", "ends"), [("dall-e-3", "2026-05-12"), ("dall-e-2", "2026-05-12")])
def test_answers_announce_the_shutdown_of_their_model(house: House, model: str, ends: str) -> None:
    answer = order(house, model)

    instant = datetime.fromisoformat(f"{ends}T00:00:00+00:00")
    assert parsedate_to_datetime(answer.headers["sunset"]) == instant
    assert answer.headers["deprecation"] == f"@{int(instant.timestamp())}"
    assert answer.headers["x-model-sent"] == "gpt-image-2.6-flare"


def test_shutdown_is_announced_in_advance(house: House) -> None:
    """Until its last day a model is sent under its own name, and already says when that is."""
    answer = order(house, "ends-soon")

    # This sandbox has no such model; its word for that is our misconfiguration.
    assert answer.status_code == 502
    assert answer.headers["sunset"]
    assert answer.headers["x-model-sent"] == "ends-soon"
    assert order(house, "ended").headers["x-model-sent"] == "gpt-image-2"


def test_streams_announce_the_shutdown_too(house: House) -> None:
    answer = order(house, "dall-e-3", stream=True)

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["sunset"]
    assert answer.headers["deprecation"]


def test_models_without_a_shutdown_announce_none(house: House) -> None:
    answer = order(house, "gpt-image-2")

    assert answer.status_code == 200, answer.text
    assert "sunset" not in answer.headers
    assert "deprecation" not in answer.headers


def test_a_gauge_shows_the_days_until_shutdown(house: House) -> None:
    days = {
        sample.labels["model"]: sample.value / 86400
        for family in text_string_to_metric_families(house.client.get("/metrics").text)
        for sample in family.samples
        if sample.name == "imagegw_model_remaining_seconds"
    }

    assert days["ends-soon"] in (9, 10)
    assert days["ended"] in (-10, -11)
    assert days["dall-e-3"] < 0
    assert "gpt-image-2" not in days


def test_the_list_of_models_has_shutdown_dates(house: House) -> None:
    listed = {each["id"]: each for each in house.client.get("/v1/models").json()["data"]}

    assert listed["dall-e-3"]["shutdown_date"] == "2026-05-12"
    assert listed["gpt-image-2"]["shutdown_date"] is None
    assert house.client.get("/v1/models/ends-soon").json()["shutdown_date"] == day_in(10)
    missing = house.client.get("/v1/models/org/of/slashes")
    check_error(missing, 404, code="model_not_found", param="model")


def test_current_models_receive_unknown_parameters(house: House) -> None:
    """It is the provider's to judge: this sandbox refuses it, in its own words."""
    answer = order(house, "gpt-image-2", seed=7)

    assert "seed" in check_error(answer, 400, code="unknown_parameter", param="seed")
    [call] = [entry for entry in house.journal() if entry["parameters"].get("seed") == 7]
    assert call["status"] == 400


def test_current_models_receive_unknown_form_fields(house: House) -> None:
    answer = house.edit(("image", png()), prompt="x", model="gpt-image-2", strength="0.5")

    check_error(answer, 400, code="unknown_parameter", param="strength")
    assert any(entry["parameters"].get("strength") == "0.5" for entry in house.journal())


def test_unknown_objects_of_an_edit_are_sent_as_json_fields(house: House) -> None:
    body = {
        "model": "gpt-image-2",
        "prompt": "x",
        "images": [{"image_url": data_url(png())}],
        "extra": {"a": [1, True, None]},
    }
    house.client.post("/v1/images/edits", json=body)

    assert any(entry["parameters"].get("extra") == '{"a":[1,true,null]}' for entry in house.journal())


@pytest.mark.parametrize("model", ["dall-e-2", "dall-e-3"])
def test_retired_models_refuse_unknown_parameters(house: House, model: str) -> None:
    before = len(house.journal())

    check_error(order(house, model, seed=7), 400, code="unknown_parameter", param="seed")
    assert len(house.journal()) == before
