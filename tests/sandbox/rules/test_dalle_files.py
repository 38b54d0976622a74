"""Edits and variations by the contract of DALL·E 2, with `--legacy-dalle`."""

from typing import Any

import pytest

from service.sandbox.painting.watermark import read_watermark
from service.sandbox.rules.order_hash import order_hash
from tests.sandbox.image_files import digest, make_file, open_image, read_files
from tests.sandbox.process import FormFile, SandboxHandle

SQUARE = (64, 64)
PNG, MASK = make_file(size=SQUARE), make_file(size=SQUARE, colour="#00000000")
SOLID = make_file(size=SQUARE, mode="RGB")
OCTETS = "application/octet-stream"  # what the oldest SDK sends; DALL·E judged by the bytes


def image(file: bytes = PNG, *, name: str = "image") -> FormFile:
    return name, (name, file, OCTETS)


async def test_an_edit_answers_with_links_as_of_old(dalle_sandbox: SandboxHandle) -> None:
    answer = await dalle_sandbox.post_form(
        "/v1/images/edits", [image(), image(MASK, name="mask")], prompt="a boat", n=2, size="256x256"
    )

    body = answer.json()
    assert (answer.status_code, set(body)) == (200, {"created", "data"})
    assert [set(one) for one in body["data"]] == [{"url"}, {"url"}]
    fetched = await dalle_sandbox.client.get(body["data"][0]["url"])
    assert open_image(fetched.content).size == (256, 256)
    (entry, *_) = await dalle_sandbox.journal()
    assert [(one["field"], one["sha256"]) for one in entry["inputs"]] == [
        ("image", digest(PNG)),
        ("mask", digest(MASK)),
    ]


async def test_a_variation_needs_no_words(dalle_sandbox: SandboxHandle) -> None:
    answer = await dalle_sandbox.post_form(
        "/v1/images/variations", [image()], n=2, response_format="b64_json", size="512x512", user="u"
    )

    files = read_files(answer)
    assert [open_image(file).size for file in files] == [(512, 512)] * 2
    expected = order_hash({"size": "512x512", "model": "dall-e-2"}, {"image": [digest(PNG)]})
    assert {read_watermark(file).order_hash for file in files} == {expected}
    (entry,) = await dalle_sandbox.journal()
    assert (entry["billed"], entry["prompt"], entry["inputs"][0]["sha256"]) == (True, None, digest(PNG))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "L"])
async def test_takes_every_mode_of_that_time(dalle_sandbox: SandboxHandle, mode: str) -> None:
    answer = await dalle_sandbox.edit(make_file(size=SQUARE, mode=mode), model="dall-e-2")

    assert answer.status_code == 200, answer.text


async def test_other_models_go_on_by_their_own_contract(dalle_sandbox: SandboxHandle) -> None:
    answer = await dalle_sandbox.post_form(
        "/v1/images/edits", [image()], model="gpt-image-2", prompt="a boat"
    )

    assert answer.json()["error"]["code"] == "unsupported_file_mimetype"


PNG_PLEASE = "Uploaded image must be a PNG and less than 4 MB."
BOTH: dict[str, tuple[list[FormFile], dict[str, object], str | None, str]] = {
    "no image": ([image(name="mask")], {}, None, "'image' is a required property"),
    "two images": ([image(), image()], {}, None, "Only one image"),
    "jpeg": (
        [image(make_file(size=SQUARE, mode="RGB", file_format="JPEG"))],
        {},
        "invalid_image_format",
        PNG_PLEASE,
    ),
    "text as image": ([image(b"text")], {}, "invalid_image_format", PNG_PLEASE),
    "large": ([image(PNG + b"\0" * 2**22)], {}, "invalid_image_format", PNG_PLEASE),
    "oblong": ([image(make_file())], {}, "invalid_image_format", "Uploaded image must be square."),
    "size": ([image()], {"size": "1024x1536"}, "invalid_size", "The size is not supported"),
    "n": ([image()], {"n": 11}, "integer_above_max_value", "Invalid 'n'"),
    "quality": ([image()], {"quality": "low"}, "unknown_parameter", "Unknown parameter: 'quality'."),
    "stream": ([image()], {"stream": True}, "unknown_parameter", "Unknown parameter: 'stream'."),
    "file": ([image(), image(name="overlay")], {}, "unknown_parameter", "Unknown parameter: 'overlay'."),
    "model": ([image()], {"model": "dall-e-3"}, "invalid_value", "Invalid value: 'dall-e-3'. Value must be"),
}
OF_EDITS: dict[str, tuple[list[FormFile], dict[str, object], str | None, str]] = {
    "no alpha": (
        [image(SOLID)],
        {},
        None,
        "Invalid input image - format must be in ['RGBA', 'LA', 'L'], got RGB.",
    ),
    "solid mask": ([image(), image(SOLID, name="mask")], {}, None, "Invalid input mask - format must be in"),
    "mask size": (
        [image(), image(make_file(size=(32, 32)), name="mask")],
        {},
        None,
        "Uploaded image and mask must have",
    ),
    "markup": ([image(), image(name="markup")], {}, "unknown_parameter", "Unknown parameter: 'markup'."),
    "no prompt": ([image()], {"prompt": None}, "missing_required_parameter", "Missing required parameter"),
    "long prompt": ([image()], {"prompt": "x" * 1001}, "string_above_max_length", "Invalid 'prompt'"),
    "moderated": (
        [image()],
        {"prompt": "forbidden-word"},
        "content_policy_violation",
        "Your request was rejected",
    ),
}
OF_VARIATIONS: dict[str, tuple[list[FormFile], dict[str, object], str | None, str]] = {
    "mask": ([image(), image(name="mask")], {}, "unknown_parameter", "Unknown parameter: 'mask'."),
    "prompt": ([image()], {"prompt": "a cat"}, "unknown_parameter", "Unknown parameter: 'prompt'."),
    "gpt": (
        [image()],
        {"model": "gpt-image-2"},
        "invalid_value",
        "Invalid value: 'gpt-image-2'. Value must be",
    ),
}


@pytest.mark.parametrize(
    ("files", "fields", "code", "message"), (BOTH | OF_EDITS).values(), ids=(BOTH | OF_EDITS).keys()
)
async def test_refuses_edits_as_dalle_did(
    dalle_sandbox: SandboxHandle,
    files: list[FormFile],
    fields: dict[str, Any],
    code: str | None,
    message: str,
) -> None:
    answer = await dalle_sandbox.post_form("/v1/images/edits", files, **{"prompt": "a boat", **fields})

    error = answer.json()["error"]
    assert error["message"].startswith(message)
    assert (answer.status_code, error["type"], error["code"]) == (400, "invalid_request_error", code)


VARIATIONS = {name: row for name, row in (BOTH | OF_VARIATIONS).items() if name != "no image"}


@pytest.mark.parametrize(("files", "fields", "code", "message"), VARIATIONS.values(), ids=VARIATIONS.keys())
async def test_refuses_variations_as_dalle_did(
    dalle_sandbox: SandboxHandle,
    files: list[FormFile],
    fields: dict[str, Any],
    code: str | None,
    message: str,
) -> None:
    answer = await dalle_sandbox.post_form("/v1/images/variations", files, **fields)

    error = answer.json()["error"]
    assert error["message"].startswith(message)
    assert (answer.status_code, error["type"], error["code"]) == (400, "invalid_request_error", code)


async def test_a_variation_of_nothing_is_refused(dalle_sandbox: SandboxHandle) -> None:
    answer = await dalle_sandbox.client.post("/v1/images/variations", files={"n": (None, "1")})

    assert answer.json()["error"]["message"] == "'image' is a required property"


async def test_json_is_for_the_newer_models(dalle_sandbox: SandboxHandle) -> None:
    body = {"prompt": "a boat", "images": [{"image_url": "data:image/png;base64,"}]}

    answer = await dalle_sandbox.client.post("/v1/images/edits", json=body)

    assert answer.status_code == 400
    assert "expected multipart/form-data" in answer.json()["error"]["message"]
