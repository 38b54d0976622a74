"""What a good answer looks like on the wire."""

import re

import httpx
import pytest

from tests.sandbox.pictures import open_picture, read_files
from tests.sandbox.process import SandboxHandle, run_sandbox


async def test_a_plain_request_gets_one_opaque_png_of_low_quality(sandbox: SandboxHandle) -> None:
    answer = await sandbox.generate(prompt="twelve chars")

    body = answer.json()
    (file,) = read_files(answer)
    picture = open_picture(file)
    assert (picture.format, picture.size) == ("PNG", (1024, 1024))
    assert set(body) == {"created", "data", "background", "output_format", "quality", "size", "usage"}
    assert set(body["data"][0]) == {"b64_json"}
    assert (body["background"], body["output_format"]) == ("opaque", "png")
    assert (body["quality"], body["size"]) == ("low", "1024x1024")
    assert body["usage"] == {
        "input_tokens": 3,
        "input_tokens_details": {"image_tokens": 0, "text_tokens": 3},
        "output_tokens": 196,
        "output_tokens_details": {"image_tokens": 196, "text_tokens": 0},
        "total_tokens": 199,
    }


async def test_headers_are_those_of_the_real_service(sandbox: SandboxHandle) -> None:
    answer = await sandbox.generate()

    assert re.fullmatch(r"req_[0-9a-f]{32}", answer.headers["x-request-id"])
    assert answer.headers["openai-version"] == "2020-10-01"
    assert answer.headers["openai-processing-ms"].isdecimal()
    for bucket in ("requests", "images"):
        assert answer.headers[f"x-ratelimit-limit-{bucket}"].isdecimal()
        assert answer.headers[f"x-ratelimit-remaining-{bucket}"].isdecimal()
        assert re.fullmatch(r"(\d+m)?[\d.]+m?s", answer.headers[f"x-ratelimit-reset-{bucket}"])


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({"quality": "medium"}, 1756),
        ({"quality": "high", "size": "2048x1024"}, 2 * 7024),
        ({"quality": "auto", "n": 3}, 3 * 196),
        ({"model": "gpt-image-2.5-flare", "quality": "max"}, 28_096),
        ({"model": "gpt-image-2.6-sunburst", "quality": "xhigh", "complexity": "high"}, 14_048),
    ],
)
async def test_tokens_grow_with_quality_size_and_number(
    sandbox: SandboxHandle, fields: dict[str, object], tokens: int
) -> None:
    answer = await sandbox.generate(**fields)

    assert answer.json()["usage"]["output_tokens"] == tokens


@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("size", ["1536x864", "1024x1536"])
async def test_paints_the_size_and_format_asked_for(
    sandbox: SandboxHandle, output_format: str, size: str
) -> None:
    answer = await sandbox.generate(output_format=output_format, size=size)

    (file,) = read_files(answer)
    picture = open_picture(file)
    assert (picture.format or "").lower() == output_format
    assert f"{picture.width}x{picture.height}" == size
    assert (answer.json()["output_format"], answer.json()["size"]) == (output_format, size)


async def test_a_lower_compression_value_makes_a_smaller_file(sandbox: SandboxHandle) -> None:
    small, large = [
        len(read_files(await sandbox.generate(output_format="jpeg", output_compression=value))[0])
        for value in (10, 90)
    ]

    assert small < large


@pytest.mark.parametrize("paint", ["full", "flat"])
@pytest.mark.parametrize("output_format", ["png", "webp"])
async def test_a_transparent_background_is_one(
    sandbox: SandboxHandle, output_format: str, paint: str
) -> None:
    await sandbox.behave(paint=paint)

    answer = await sandbox.generate(background="transparent", output_format=output_format)

    (file,) = read_files(answer)
    picture = open_picture(file)
    assert answer.json()["background"] == "transparent"
    assert picture.mode == "RGBA"
    assert picture.getpixel((2, 2)) == (*picture.getpixel((2, 2))[:3], 0)  # type: ignore[index] # RGBA is a tuple


async def test_an_opaque_picture_has_no_alpha(sandbox: SandboxHandle) -> None:
    (file,) = read_files(await sandbox.generate())

    assert not open_picture(file).has_transparency_data


@pytest.mark.parametrize(
    ("sent", "echoed"),
    [
        ({"safety_identifier": "s", "user": "u"}, "s"),
        ({"safety_identifier": "", "user": "u"}, "u"),
        ({"user": "u"}, "u"),
        ({}, None),
    ],
)
async def test_echoes_the_safety_identifier(
    sandbox: SandboxHandle, sent: dict[str, object], echoed: str | None
) -> None:
    answer = await sandbox.generate(**sent)

    assert answer.json().get("safety_identifier") == echoed


async def test_null_counts_as_absent(sandbox: SandboxHandle) -> None:
    names = (
        "n",
        "size",
        "quality",
        "background",
        "output_format",
        "output_compression",
        "moderation",
        "stream",
        "user",
    )

    answer = await sandbox.generate(**dict.fromkeys(names))

    assert answer.status_code == 200


@pytest.mark.parametrize("size", ["auto", "1024x640", "3840x2160", "816x816", "3072x1024", "1024x3072"])
async def test_accepts_every_size_inside_the_rule(sandbox: SandboxHandle, size: str) -> None:
    await sandbox.behave(paint="flat")

    answer = await sandbox.generate(size=size)

    assert answer.status_code == 200


async def test_every_picture_is_another_one(sandbox: SandboxHandle) -> None:
    files = read_files(await sandbox.generate(n=4)) + read_files(await sandbox.generate(n=4))

    assert len(set(files)) == 8


async def test_lists_models_with_their_last_day(sandbox: SandboxHandle) -> None:
    answer = await sandbox.client.get("/v1/models")

    dates = {model["id"]: model["shutdown_date"] for model in answer.json()["data"]}
    assert answer.json()["object"] == "list"
    assert dates["gpt-image-2"] is None
    assert dates["gpt-image-1.5"] == "2026-12-01"
    assert not {"dall-e-3", "dall-e-2", "gpt-image-1"} & set(dates)
    assert len(dates) == 12


async def test_describes_one_model(sandbox: SandboxHandle) -> None:
    answer = await sandbox.client.get("/v1/models/gpt-image-2.5-sunburst-2026-09-08")

    assert answer.json() == {
        "id": "gpt-image-2.5-sunburst-2026-09-08",
        "object": "model",
        "created": 1788825600,
        "owned_by": "system",
        "shutdown_date": None,
    }


async def test_an_unknown_model_is_a_404_with_its_name_decoded(sandbox: SandboxHandle) -> None:
    answer = await sandbox.client.get("/v1/models/org%2Fgpt%20image")

    error = answer.json()["error"]
    assert answer.status_code == 404
    assert error["code"] == "model_not_found"
    assert "'org/gpt image'" in error["message"]


async def test_models_go_on_their_last_day() -> None:
    async with run_sandbox(today="2026-12-01") as later:
        gone = await later.generate(model="gpt-image-1-mini")
        listed = await later.client.get("/v1/models")
        alive = await later.generate()

    assert (gone.status_code, gone.json()["error"]["param"]) == (400, "model")
    assert len(listed.json()["data"]) == 8
    assert alive.status_code == 200


async def test_models_are_served_until_then(sandbox: SandboxHandle) -> None:
    await sandbox.behave(paint="flat")
    models = (await sandbox.client.get("/v1/models")).json()["data"]

    answers: list[httpx.Response] = [await sandbox.generate(model=model["id"]) for model in models]

    assert {answer.status_code for answer in answers} == {200}
