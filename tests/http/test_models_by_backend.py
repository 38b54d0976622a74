"""Models that live at several backends: their list, their end, and what is refused without a call."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.contract.conformance import HELD
from tests.http.house import EDITS, GENERATIONS, check_error, png
from tests.processes import run_gateway

NOWHERE = "http://127.0.0.1:1"
CONFIG = """
[[backends]]
name = "azure"
kind = "azure"
url = "{url}"
keys = [{{ key = "azure-key" }}]
models."gpt-image-1" = {{ name = "img1", shutdown = {azure_ends} }}
models."gpt-image-2" = {{}}

[[backends]]
name = "own"
kind = "openai-compatible"
url = "{url}/v1"
operations = ["generate"]
models = ["gpt-image-2.6-sunburst"]
"""


def day_in(days: int) -> str:
    return (datetime.now(UTC) + timedelta(days=days)).date().isoformat()


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    directory = tmp_path_factory.mktemp("backends")
    config = directory / "gateway.toml"
    config.write_text(CONFIG.format(url=NOWHERE, azure_ends=day_in(10)), "utf-8")
    with (
        run_gateway(directory, config=config) as gateway,
        httpx.Client(base_url=gateway.url, trust_env=False, timeout=60, event_hooks=HELD) as client,
    ):
        yield client


def listed(client: httpx.Client) -> dict[str, dict[str, Any]]:
    return {each["id"]: each for each in client.get("/v1/models").raise_for_status().json()["data"]}


def test_models_that_a_backend_makes_are_listed_with_its_end_of_them(client: httpx.Client) -> None:
    models = listed(client)

    assert {name: each["answered_by"] for name, each in models.items()} == {
        "gpt-image-2": None,
        "gpt-image-2.6-sunburst": None,
        "chatgpt-image-latest": "gpt-image-2.6-sunburst",
        "gpt-image-1": None,
    }
    assert {name: each["owned_by"] for name, each in models.items()} == {
        "gpt-image-2": "azure",
        "gpt-image-2.6-sunburst": "own",
        "chatgpt-image-latest": "own",
        "gpt-image-1": "azure",
    }
    assert models["gpt-image-1"]["shutdown_date"] == day_in(10)
    assert models["gpt-image-2"]["shutdown_date"] is None
    assert client.get("/v1/usage").json()["models"] == list(models)


def test_the_gauge_counts_to_the_end_at_the_last_backend(client: httpx.Client) -> None:
    days = {
        sample.labels["model"]: sample.value / 86400
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
        if sample.name == "imagegw_model_remaining_seconds"
    }

    assert days.keys() == {"gpt-image-1", "chatgpt-image-latest"}
    assert days["gpt-image-1"] in (9, 10)


def test_a_model_that_no_backend_makes_does_not_exist_for_callers(client: httpx.Client) -> None:
    missing = client.get("/v1/models/dall-e-3")
    refused = client.post(GENERATIONS, json={"model": "dall-e-3", "prompt": "x"})
    estimated = client.post("/v1/images/estimate", json={"model": "dall-e-3", "prompt": "x"})
    unnamed = client.post(GENERATIONS, json={"prompt": "x"})

    check_error(missing, 404, code="model_not_found", param="model")
    for answer in (refused, estimated):
        message = check_error(answer, 400, code="invalid_value", param="model")
        assert "no backend of this gateway serves it, and none serves 'gpt-image-2.6-flare'" in message
    assert "'dall-e-2' cannot be ordered" in check_error(unnamed, 400, code="invalid_value", param="model")
    assert "It is the model of orders that name none." in unnamed.text


def test_an_operation_that_no_backend_of_a_model_offers_is_refused(client: httpx.Client) -> None:
    details = client.get("/v1/models/gpt-image-2.6-sunburst").json()
    bridged = client.get("/v1/models/chatgpt-image-latest").json()
    for model in ("gpt-image-2.6-sunburst", "chatgpt-image-latest"):
        form = {"model": model, "prompt": "x"}
        refused = client.post(EDITS, data=form, files={"image": ("x.png", png(), "image/png")})
        assert "Supported are: /v1/images/generations." in check_error(
            refused, 400, code="invalid_value", param="model"
        )

    assert (details["operations"], bridged["operations"]) == (["generate"], ["generate"])
    assert details["parameters"]["quality"]["operations"] == ["generate"]
