"""The contract of DALL·E, with `--legacy-dalle`."""

import pytest

from service.sandbox.painting.watermark import read_watermark
from tests.sandbox.image_files import open_image, read_files
from tests.sandbox.process import SandboxHandle


async def test_dalle_3_answers_with_a_link_to_the_sandbox(dalle_sandbox: SandboxHandle) -> None:
    answer = await dalle_sandbox.generate(model="dall-e-3", size="1792x1024", quality="hd", style="natural")

    body = answer.json()
    (one,) = body["data"]
    fetched = await dalle_sandbox.client.get(one["url"])
    assert set(body) == {"created", "data"}
    assert set(one) == {"url", "revised_prompt"}
    assert one["url"].startswith(f"{dalle_sandbox.url}/sandbox/pictures/")
    assert fetched.headers["content-type"] == "image/png"
    assert open_image(fetched.content).size == (1792, 1024)
    (entry, *_) = await dalle_sandbox.journal()
    assert read_watermark(fetched.content).serial == entry["images"][0]["serial"]


async def test_dalle_2_is_the_default_and_makes_several_small_ones(dalle_sandbox: SandboxHandle) -> None:
    answer = await dalle_sandbox.generate(model=None, n=3, size="256x256", response_format="b64_json")

    files = read_files(answer)
    assert [open_image(file).size for file in files] == [(256, 256)] * 3
    assert {read_watermark(file).order_hash for file in files} == {read_watermark(files[0]).order_hash}
    assert all(set(one) == {"b64_json"} for one in answer.json()["data"])


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"model": "dall-e-3", "n": 2}, None, "You must provide n=1 for this model."),
        (
            {"model": "dall-e-3", "size": "1024x1536"},
            "invalid_size",
            "The size is not supported by this model.",
        ),
        ({"model": "dall-e-2", "size": "auto"}, "invalid_size", "The size is not supported by this model."),
        ({"model": "dall-e-2", "style": "vivid"}, "unknown_parameter", "Unknown parameter: 'style'."),
        (
            {"model": "dall-e-2", "quality": "hd"},
            "invalid_value",
            "Invalid value: 'hd'. Supported values are: 'standard'.",
        ),
        ({"model": "dall-e-3", "quality": "high"}, "invalid_value", "Invalid value: 'high'."),
        ({"model": "dall-e-3", "style": "sad"}, "invalid_value", "Invalid value: 'sad'."),
        (
            {"model": "dall-e-3", "background": "opaque"},
            "unknown_parameter",
            "Unknown parameter: 'background'.",
        ),
        ({"model": "dall-e-3", "response_format": "b64"}, "invalid_value", "Invalid value: 'b64'."),
        (
            {"model": "dall-e-2", "prompt": "x" * 1001},
            "string_above_max_length",
            "Invalid 'prompt': string too long.",
        ),
        (
            {"model": "dall-e-3", "prompt": "x" * 4001},
            "string_above_max_length",
            "Invalid 'prompt': string too long.",
        ),
        ({"model": "dall-e-2", "n": 11}, "integer_above_max_value", "Invalid 'n'"),
        (
            {"model": "dall-e-3", "prompt": "forbidden-word"},
            "content_policy_violation",
            "Your request was rejected",
        ),
    ],
)
async def test_refuses_as_dalle_did(
    dalle_sandbox: SandboxHandle, fields: dict[str, object], code: str | None, message: str
) -> None:
    answer = await dalle_sandbox.generate(**fields)

    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["code"]) == (400, "invalid_request_error", code)
    assert error["message"].startswith(message)


async def test_an_image_never_painted_is_a_404(dalle_sandbox: SandboxHandle) -> None:
    answer = await dalle_sandbox.client.get("/sandbox/pictures/none.png")

    assert answer.status_code == 404


async def test_only_the_newest_images_keep_their_link(dalle_sandbox: SandboxHandle) -> None:
    await dalle_sandbox.behave(paint="flat")
    first = (await dalle_sandbox.generate(model="dall-e-3")).json()["data"][0]["url"]

    answers = [await dalle_sandbox.generate(model="dall-e-2", n=10) for _ in range(26)]

    last = answers[-1].json()["data"][0]["url"]
    assert (await dalle_sandbox.client.get(first)).status_code == 404
    assert (await dalle_sandbox.client.get(last)).status_code == 200
