"""A server of its own kind: it makes JPEG files, one a call, and repaints what is white; callers notice none of it."""

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
from httpx_sse import EventSource

from tests.contract.conformance import HELD
from tests.http.house import (
    GENERATIONS,
    House,
    check_error,
    file_of,
    mask_with_hole,
    noise,
    open_picture,
    pictures_of,
    png,
)
from tests.processes import run_gateway, run_sandbox

MODEL = "gpt-image-2.6-flare"
CONFIG = """
[[backends]]
name = "own"
kind = "openai-compatible"
url = "{own}/v1"
makes_several = false
makes = "jpeg"
masks = "white"
errors = "any"
omit = ["quality", "user"]
models."gpt-image-2.6-flare" = {{ name = "our-model" }}
models."dall-e-2" = {{ name = "our-old-model" }}

[[backends]]
name = "openai"
url = "{openai}/v1"
models = ["gpt-image-2.6-flare"]
keys = [{{ key = "sk-ours" }}]
"""

pytestmark = pytest.mark.usefixtures("nothing_stays")


@dataclass(slots=True)
class Houses(House):
    """A gateway before a server of its own kind, and OpenAI behind that."""

    openai: House


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Houses]:
    directory = tmp_path_factory.mktemp("own")
    config = directory / "gateway.toml"
    limits = {"default_policy__requests_per_min": 0, "default_policy__images_per_min": 0}
    deployed = ("--deployment", f"our-model={MODEL}", "--deployment", "our-old-model=dall-e-2")
    with run_sandbox("--kind", "compatible", *deployed) as own, run_sandbox() as openai:
        config.write_text(CONFIG.format(own=own, openai=openai), "utf-8")
        with (
            run_gateway(directory, config=config, **limits) as gateway,
            httpx.Client(base_url=gateway.url, trust_env=False, timeout=60, event_hooks=HELD) as client,
            httpx.Client(base_url=own, trust_env=False, timeout=60) as sandbox,
            httpx.Client(base_url=openai, trust_env=False, timeout=60) as other,
        ):
            behind = House(gateway, client, other, directory)
            yield Houses(gateway, client, sandbox, directory, behind)


def order(house: House, **fields: object) -> httpx.Response:
    body = {"model": MODEL, "prompt": f"a heron {uuid4()}", "quality": "low", **fields}
    return house.client.post(GENERATIONS, json=body)


def masks_of(house: House, prompt: str) -> list[tuple[float, float]]:
    """Return the clear and the white share of the mask of each call."""
    return [
        (each["clear_share"], each["white_share"])
        for entry in house.journal(prompt=prompt)
        for each in entry["inputs"]
        if each["field"] == "mask"
    ]


@pytest.mark.parametrize("asked", ["png", "webp", "jpeg"])
def test_images_have_the_asked_format(house: Houses, asked: str) -> None:
    prompt = f"a heron {uuid4()}"

    answer = order(house, prompt=prompt, output_format=asked)

    [picture] = pictures_of(answer)
    assert (picture.format, picture.size) == (asked.upper(), (1024, 1024))
    assert (answer.json()["output_format"], answer.headers["x-backend"]) == (asked, "own")
    [call] = house.journal(prompt=prompt)
    assert call["parameters"].get("output_format") == ("jpeg" if asked == "jpeg" else None)


def test_the_asked_compression_applies_in_the_gateway(house: Houses) -> None:
    coarse, fine = [
        len(order(house, output_format="webp", output_compression=compression).content)
        for compression in (5, 100)
    ]

    assert fine > 3 * coarse


def test_links_and_descriptions_tell_of_the_converted_image(house: Houses) -> None:
    answer = order(house, response_format="url")

    link = httpx.URL(answer.json()["data"][0]["url"])
    assert link.path.endswith(".png")
    assert httpx.get(link, trust_env=False).headers["content-type"] == "image/png"
    assert house.client.get(f"{link.path}/info").json()["content_credentials"] == "none"


def test_an_order_for_several_makes_a_call_for_each(house: Houses) -> None:
    prompt = f"herons {uuid4()}"

    pictures = pictures_of(order(house, prompt=prompt, n=3))

    assert len({picture.tobytes() for picture in pictures}) == 3
    calls = house.journal(prompt=prompt)
    assert [call["parameters"]["n"] for call in calls] == [1, 1, 1]


def test_what_it_cannot_give_is_made_elsewhere(house: Houses) -> None:
    answer = order(house, background="transparent")

    [picture] = pictures_of(answer)
    assert (answer.headers["x-backend"], answer.json()["background"]) == ("openai", "transparent")
    assert picture.getchannel("A").getextrema()[0] == 0


def test_each_call_of_an_edit_gets_the_mask_in_white(house: Houses) -> None:
    prompt = f"edited {uuid4()}"

    pictures = pictures_of(
        house.edit(
            ("image", png(512)), ("mask", file_of(mask_with_hole(512))), prompt=prompt, model=MODEL, n="2"
        )
    )

    assert len(pictures) == 2
    assert masks_of(house, prompt) == [(0, 0.5)] * 2


def test_a_model_whose_image_is_its_own_mask_keeps_what_is_opaque(house: Houses) -> None:
    prompt, image = f"own mask {uuid4()}", noise(256).convert("RGBA")
    image.putalpha(mask_with_hole(256).getchannel("A"))

    answer = house.edit(("image", file_of(image)), prompt=prompt, model="dall-e-2", size="256x256")

    [picture] = pictures_of(answer)
    assert picture.size == (256, 256)
    assert masks_of(house, prompt) == [(0, 0.5)]


def test_the_other_backend_gets_the_mask_as_it_came(house: Houses) -> None:
    prompt = f"crossing {uuid4()}"
    house.behave(failures=[{"status": 503, "count": 9}], failure_match=prompt, masks="white", makes="jpeg")

    answer = house.edit(
        ("image", png(512)), ("mask", file_of(mask_with_hole(512))), prompt=prompt, model=MODEL
    )

    assert answer.headers["x-backend"] == "openai"
    assert masks_of(house, prompt) == [(0, 0.5)]
    [(clear, _)] = masks_of(house.openai, prompt)
    assert clear == 0.5


def test_a_mask_that_cannot_be_read_is_refused_and_not_sent(house: Houses) -> None:
    prompt, mask = f"broken {uuid4()}", file_of(noise(512, mode="RGBA"))

    answer = house.edit(("image", png(512)), ("mask", mask[: len(mask) // 2]), prompt=prompt, model=MODEL)

    check_error(answer, 400, code="invalid_image_file", param="mask")
    assert house.journal(prompt=prompt) == []


def test_a_stream_names_the_format_of_each_image(house: Houses) -> None:
    body = {"model": MODEL, "prompt": f"painted {uuid4()}", "stream": True, "partial_images": 1}

    with house.client.stream("POST", GENERATIONS, json=body) as answer:
        events = [
            orjson.loads(event.data) for event in EventSource(answer).iter_sse() if event.data[0] == "{"
        ]

    named = [(event["type"].rpartition(".")[2], event["output_format"], kind_of(event)) for event in events]
    assert named == [("partial_image", "jpeg", "JPEG"), ("completed", "png", "PNG")]


def kind_of(event: dict[str, Any]) -> str | None:
    return open_picture(base64.b64decode(event["b64_json"])).format
