"""The routes for streams: they serve every model, and each finished image says its link, its price and its source."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from httpx_sse import EventSource

from tests.contract.conformance import HELD, faults_of
from tests.http.house import (
    EDITS,
    GENERATIONS,
    VARIATIONS,
    House,
    check_error,
    digest_of,
    open_house,
    png,
    until,
)
from tests.http.tenants import follow
from tests.http.test_request_lines import line_of
from tests.processes import run_gateway, run_sandbox

Payload = dict[str, Any]
OLD_MODELS = """
[models."dall-e-3"]
bridge = false
[models."dall-e-2"]
bridge = false
"""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("streams")) as opened:
        opened.behave(paint="flat")
        yield opened


@pytest.fixture(scope="module")
def old_models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a gateway whose provider still has DALL·E, which never knew streams."""
    directory: Path = tmp_path_factory.mktemp("old-models")
    config = directory / "gateway.toml"
    config.write_text(OLD_MODELS, "utf-8")
    with run_sandbox("--legacy-dalle") as url:
        provider = {"openai_base_url": f"{url}/v1", "openai_api_key": "sk-ours", "config": config}
        with (
            run_gateway(directory, **provider) as gateway,
            httpx.Client(base_url=gateway.url, trust_env=False, timeout=60, event_hooks=HELD) as client,
        ):
            yield client


def listen(client: httpx.Client, operation: str, route: str, **request: Any) -> list[Payload]:
    """Return the payloads of a stream's events, each compared with the contract."""
    with client.stream("POST", f"{route}/stream", **request) as answer:
        answer.read()
    assert answer.status_code == 200, answer.text
    assert faults_of(operation, answer) == []
    return [orjson.loads(event.data) for event in EventSource(answer).iter_sse()]


def generate(client: httpx.Client, prompt: str, *, headers: Any = None, **fields: object) -> list[Payload]:
    body = {"model": "dall-e-3", "prompt": prompt, **fields}
    return listen(client, "createImageStream", GENERATIONS, json=body, headers=headers)


def send_files(client: httpx.Client, operation: str, route: str, **fields: str) -> list[Payload]:
    files = [("image", ("a.png", png(mode="RGBA"), "image/png"))]
    return listen(client, operation, route, data={"model": "dall-e-2", **fields}, files=files)


def sources_of(images: list[Payload]) -> set[tuple[str, int]]:
    return {(image["cache"], image["cost_microusd"]) for image in images}


def test_an_image_has_its_link_its_price_and_its_source(house: House, prompt: str) -> None:
    made = generate(house.client, prompt, n=3, quality="hd")
    again = generate(house.client, prompt, n=3, quality="hd")

    for image in made:
        linked = follow(httpx.URL(image["url"]))
        assert digest_of(linked.content) == httpx.URL(image["url"]).path.rpartition("/")[2].partition(".")[0]
        assert image["revised_prompt"].startswith(prompt)
        assert image["created_at"] > 0
    assert {image["cache"] for image in made} == {"miss"}
    assert {(image["backend"], image["sent_model"]) for image in made} == {("openai", "gpt-image-2.6-flare")}
    assert {(image["backend"], image["sent_model"]) for image in again} == {(None, None)}
    assert sources_of(again) == {("hit", 0)}
    names = [{httpx.URL(image["url"]).path for image in images} for images in (made, again)]
    assert names[0] == names[1]
    assert len(names[0]) == 3


def test_prices_add_up_to_those_of_the_order(house: House, prompt: str) -> None:
    body = {"model": "dall-e-3", "prompt": prompt, "n": 2}
    answer = house.client.post(f"{GENERATIONS}/stream", json=body)
    images = [orjson.loads(event.data) for event in EventSource(answer).iter_sse()]

    line = line_of(house.gateway, answer.headers["x-request-id"])
    assert sum(image["cost_microusd"] for image in images) == line["cost_microusd"] > 0
    plain = house.client.post(GENERATIONS, json=body, headers={"cache-control": "no-cache"})
    assert int(plain.headers["x-cost-microusd"]) == line["cost_microusd"]


def test_without_the_cache_there_is_no_source(house: House, prompt: str) -> None:
    [image] = generate(house.client, prompt, headers={"cache-control": "no-store"})

    assert image["cache"] == "none"
    assert image["cost_microusd"] > 0
    assert follow(httpx.URL(image["url"])).status_code == 200


def test_an_image_of_another_order_costs_nothing(house: House, prompt: str) -> None:
    house.behave(paint="flat", latency_s=1.0)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(generate, house.client, prompt)
        until(lambda: prompt in house.sandbox.get("/sandbox/journal").text)
        second = generate(house.client, prompt)
        [made] = first.result()
    house.behave(paint="flat")

    assert sources_of(second) == {("coalesced", 0)}
    assert (made["cache"], made["backend"], second[0]["backend"]) == ("miss", "openai", None)


def test_models_that_revise_no_prompt_have_none(house: House, prompt: str) -> None:
    [image] = generate(house.client, prompt, model="gpt-image-2")

    assert "revised_prompt" not in image


def test_variations_are_streamed_as_edits(house: House) -> None:
    images = send_files(house.client, "createImageVariationStream", VARIATIONS, n="2", size="256x256")

    assert [image["type"] for image in images] == ["image_edit.completed"] * 2
    assert sorted(image["index"] for image in images) == [0, 1]
    assert {image["size"] for image in images} == {"256x256"}


def test_a_variation_without_a_file_is_a_plain_refusal(house: House) -> None:
    answer = house.client.post(f"{VARIATIONS}/stream", data={"n": "1"}, files={"x": b""})

    check_error(answer, 400, code="unknown_parameter", param="x")


@pytest.mark.parametrize(("model", "n"), [("dall-e-3", 3), ("dall-e-2", 2)])
def test_models_without_streams_are_streamed_by_the_gateway(
    old_models: httpx.Client, prompt: str, model: str, n: int
) -> None:
    images = generate(old_models, prompt, model=model, n=n, stream=False)

    assert sorted(image["index"] for image in images) == list(range(n))
    assert {image["type"] for image in images} == {"image_generation.completed"}
    # They cost what their table says.
    price = {"dall-e-3": 40_000, "dall-e-2": 20_000}[model]
    assert sources_of(images) == {("miss", price)}


def test_edits_and_variations_of_such_models_are_streamed(old_models: httpx.Client, prompt: str) -> None:
    edited = send_files(old_models, "editImageStream", EDITS, prompt=prompt, n="2")
    varied = send_files(old_models, "createImageVariationStream", VARIATIONS, n="2")

    assert [image["type"] for image in (*edited, *varied)] == ["image_edit.completed"] * 4


@pytest.mark.parametrize("field", [{"stream": True}, {"partial_images": 1}], ids=["stream", "stages"])
def test_parameters_that_such_models_never_had_stay_refused(
    old_models: httpx.Client, field: dict[str, object]
) -> None:
    route = GENERATIONS if "stream" in field else f"{GENERATIONS}/stream"

    answer = old_models.post(route, json={"model": "dall-e-3", "prompt": "a mill", **field})

    check_error(answer, 400, code="unknown_parameter", param=next(iter(field)))


def test_stages_need_no_field_besides_the_route(house: House, prompt: str) -> None:
    events = generate(house.client, prompt, partial_images=1, stream=False)

    assert [event["type"].partition(".")[2] for event in events] == ["partial_image", "completed"]
    assert "url" not in events[0]


def test_a_moving_image_is_not_streamed(house: House) -> None:
    body = {"model": "gpt-image-2", "prompt": "a mill", "output_format": "gif"}

    answer = house.client.post(f"{GENERATIONS}/stream", json=body)

    check_error(answer, 400, code="invalid_value", param="stream")
