"""Refusals say what is wrong and what would be right, and repeat no prompt or key."""

from collections.abc import Iterator

import httpx
import pytest
from PIL import Image

from service.http.methods import PATHS
from tests.http.house import (
    EDITS,
    GENERATIONS,
    House,
    check_error,
    file,
    file_of,
    form,
    open_house,
    png,
    post_form,
    text,
)

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + bytes(500)
AVIF = b"\0\0\0\x1cftypavif\0\0\0\0avifmif1" + bytes(500)
SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"/>'
JXL = b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(500)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("errors")) as opened:
        yield opened


def message_of(answer: httpx.Response) -> str:
    message: str = answer.json()["error"]["message"]
    return message


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b'{"prompt": "a boat",}', "trailing comma is not allowed in line 1, column 20"),
        (b'{\n  "prompt": "a boat",\n  "n": x\n}', "expected a JSON value in line 3, column 8"),
        (b"prompt=a+boat", "expected a JSON value in line 1, column 1"),
        (b"", "empty document in line 1, column 1"),
        (b'{"prompt": "\xff"}', "str is not valid UTF-8: surrogates not allowed"),
    ],
    ids=["comma", "line 3", "form", "nothing", "no UTF-8"],
)
def test_json_is_refused_with_the_place_of_its_fault(house: House, body: bytes, fault: str) -> None:
    answer = house.client.post(GENERATIONS, content=body, headers={"content-type": "application/json"})

    check_error(answer, 400, code=None, param=None)
    assert f"{fault}. It must be one JSON object" in message_of(answer)
    assert "boat" not in message_of(answer)


@pytest.mark.parametrize(
    ("method", "path", "message"),
    [
        ("GET", GENERATIONS, "This route takes POST, not GET."),
        ("POST", "/v1/models", "This route takes GET, not POST."),
        ("PUT", "/livez", "This route takes GET, HEAD, not PUT."),
    ],
)
def test_another_method_is_refused_with_those_of_the_route(
    house: House, method: str, path: str, message: str
) -> None:
    answer = house.client.request(method, path)

    check_error(answer, 405, code="method_not_allowed", param=None)
    assert message_of(answer) == message


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("/v1/image/generations", "/v1/images/generations"),
        ("/v1/images/generate", "/v1/images/generations"),
        ("/V1/Images/Edits", "/v1/images/edits"),
        ("/v1/images/variation", "/v1/images/variations"),
        ("/v1/images", "/v1/images/generations"),
        ("/v1/model", "/v1/models"),
        ("/generate-image", "/generate_image"),
        ("/v1/chat/completions", None),
        ("/wp-login.php", None),
    ],
)
def test_an_unknown_url_is_refused_with_the_one_that_is_meant(
    house: House, path: str, meant: str | None
) -> None:
    answer = house.client.post(path, json={"prompt": "a boat"})

    check_error(answer, 404, code="unknown_url", param=None)
    hint = f" Did you mean {meant}?" if meant else ""
    assert message_of(answer) == f"Unknown request URL.{hint} /docs lists all routes."


def test_every_url_that_is_suggested_is_a_route(house: House) -> None:
    paths = house.client.get("/openapi.json").json()["paths"]

    assert set(PATHS) <= set(paths)


@pytest.mark.parametrize(
    ("route", "takes"),
    [
        (GENERATIONS, "application/json"),
        (EDITS, "multipart/form-data or application/json"),
        ("/v1/images/variations", "multipart/form-data"),
    ],
)
def test_another_type_is_refused_with_those_of_the_route(house: House, route: str, takes: str) -> None:
    answer = house.client.post(
        route, content=b"a boat", headers={"content-type": "text/plain; charset=utf-8"}
    )

    check_error(answer, 415, code="unsupported_media_type", param=None)
    assert message_of(answer) == f"Content-Type 'text/plain' is not understood: send the body as {takes}."


def test_an_unknown_model_of_a_list_is_refused_with_the_nearest(house: House) -> None:
    answer = house.client.get("/v1/models/dalle-3")

    check_error(answer, 404, code="model_not_found", param="model")
    assert "Did you mean 'dall-e-3'?" in message_of(answer)


def test_an_unknown_file_field_is_refused_with_the_nearest(house: House) -> None:
    answer = post_form(house.client, form(text("prompt", "a boat"), file("images", png())))

    check_error(answer, 400, code="unknown_parameter", param="images")
    assert message_of(answer) == "Unknown parameter: 'images'. Did you mean 'image'?"


def bmp() -> bytes:
    return file_of(Image.new("RGB", (64, 64)), "BMP")


def tiff() -> bytes:
    return file_of(Image.new("RGB", (64, 64)), "TIFF")


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (bmp(), "bmp"),
        (tiff(), "tiff"),
        (SVG, "svg"),
        (HEIC, "heic"),
        (AVIF, "avif"),
        (JXL, "jxl"),
        (b"%PDF-1.7 and more", "pdf"),
        (b"a boat", "unknown"),
        (b"", "unknown"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("model", ["gpt-image-2", "dall-e-2"])
def test_other_image_formats_are_named_as_what_they_are(
    house: House, model: str, content: bytes, name: str
) -> None:
    answer = post_form(
        house.client, form(text("prompt", "a boat"), text("model", model), file("image", content))
    )

    check_error(answer, 400, code="unsupported_file_mimetype", param="image")
    assert f"unsupported format ('{name}'). Supported file formats are png" in message_of(answer)


def test_a_mask_of_another_format_is_named_as_what_it_is(house: House) -> None:
    parts = file("image", png()), file("mask", bmp())

    answer = post_form(house.client, form(text("prompt", "a boat"), text("model", "gpt-image-2"), *parts))

    assert message_of(answer) == "Invalid file 'mask': it must be a PNG, but is bmp."


def test_no_refusal_repeats_a_prompt_or_a_key(house: House) -> None:
    """In the fields where they belong."""
    secret = "ig_a-key-or-a-prompt"
    faulty = [
        {"prompt": [secret]},
        {"prompt": {"text": secret}},
        {"prompt": secret, "user": [secret], "n": 1},
        {"prompt": secret, "n": 99},
        {"prompt": secret * 10_000, "model": "dall-e-2"},
    ]
    for body in faulty:
        answer = house.client.post(GENERATIONS, json=body, headers={"authorization": f"Bearer {secret}"})

        assert answer.status_code == 400
        assert secret not in answer.text
