"""Good answers on the wire: bodies, headers and image files."""

import re

import pytest

from tests.sandbox.image_files import open_image, read_files
from tests.sandbox.process import SandboxHandle


async def test_a_plain_request_gets_one_opaque_png_of_low_quality(sandbox: SandboxHandle) -> None:
    answer = await sandbox.generate(prompt="twelve chars")

    body = answer.json()
    (file,) = read_files(answer)
    image = open_image(file)
    assert (image.format, image.size) == ("PNG", (1024, 1024))
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
    image = open_image(file)
    assert (image.format or "").lower() == output_format
    assert f"{image.width}x{image.height}" == size
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
    image = open_image(file)
    assert answer.json()["background"] == "transparent"
    assert image.mode == "RGBA"
    assert image.getpixel((2, 2)) == (*image.getpixel((2, 2))[:3], 0)  # type: ignore[index] # RGBA is a tuple


async def test_an_opaque_image_has_no_alpha(sandbox: SandboxHandle) -> None:
    (file,) = read_files(await sandbox.generate())

    assert not open_image(file).has_transparency_data


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


async def test_every_image_is_another_one(sandbox: SandboxHandle) -> None:
    files = read_files(await sandbox.generate(n=4)) + read_files(await sandbox.generate(n=4))

    assert len(set(files)) == 8
