"""The JSON form of an edit, and bodies that are no form at all."""

import base64

import pytest

from service.sandbox.painting.watermark import read_watermark
from service.sandbox.rules.order_hash import order_hash
from tests.sandbox.image_files import digest, make_file, read_files
from tests.sandbox.process import SandboxHandle

PNG, MASK = make_file(), make_file(colour="#00000000")
WEBP = make_file(file_format="WEBP", size=(40, 30))


def to_url(file: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(file).decode()}"


async def test_takes_json_with_data_urls(sandbox: SandboxHandle) -> None:
    fields = {"model": "gpt-image-1.5", "prompt": "a boat", "moderation": "low", "input_fidelity": "high"}
    body = {
        **fields,
        "images": [{"image_url": to_url(PNG)}, {"image_url": to_url(WEBP, "image/webp")}],
        "mask": {"image_url": to_url(MASK)},
        "quality": None,
    }

    answer = await sandbox.client.post("/v1/images/edits", json=body)

    (file,) = read_files(answer)
    (entry,) = await sandbox.journal()
    assert entry["parameters"] == fields
    assert [(one["field"], one["sha256"], one["content_type"]) for one in entry["inputs"]] == [
        ("images[0]", digest(PNG), "image/png"),
        ("images[1]", digest(WEBP), "image/webp"),
        ("mask", digest(MASK), "image/png"),
    ]
    expected = order_hash(fields, {"image": [digest(PNG), digest(WEBP)], "mask": [digest(MASK)]})
    assert read_watermark(file).order_hash == expected


async def test_a_form_and_its_json_are_the_same_order(sandbox: SandboxHandle) -> None:
    body = {"model": "gpt-image-2", "prompt": "a boat", "n": 1, "images": [{"image_url": to_url(PNG)}]}

    form = await sandbox.edit(PNG, prompt="a boat", n=1)
    json = await sandbox.client.post("/v1/images/edits", json=body)

    hashes = {read_watermark(read_files(answer)[0]).order_hash for answer in (form, json)}
    assert len(hashes) == 1


URL = to_url(PNG)
ROWS: dict[str, tuple[dict[str, object], str, str]] = {
    "no images": ({"images": None}, "missing_required_parameter", "images"),
    "images no list": ({"images": {"image_url": URL}}, "invalid_type", "images"),
    "empty images": ({"images": []}, "empty_array", "images"),
    "many images": ({"images": [{"image_url": URL}] * 17}, "array_above_max_length", "images"),
    "image no object": ({"images": [URL]}, "invalid_type", "images[0]"),
    "both": ({"images": [{"image_url": URL, "file_id": "f"}]}, "invalid_value", "images[0]"),
    "neither": ({"images": [{}]}, "invalid_value", "images[0]"),
    "extra": ({"images": [{"image_url": URL, "detail": "low"}]}, "invalid_value", "images[0]"),
    "file": ({"images": [{"file_id": "file-1"}]}, "image_file_not_found", "images[0].file_id"),
    "url no text": ({"images": [{"image_url": 5}]}, "invalid_type", "images[0].image_url"),
    "link": (
        {"images": [{"image_url": "https://example.invalid/a"}]},
        "invalid_image_url",
        "images[0].image_url",
    ),
    "no base64": (
        {"images": [{"image_url": "data:image/png;base64,?"}]},
        "invalid_base64_image",
        "images[0].image_url",
    ),
    "long url": (
        {"images": [{"image_url": f"data:image/png;base64,{'A' * 20_971_520}"}]},
        "string_above_max_length",
        "images[0].image_url",
    ),
    "type": (
        {"images": [{"image_url": URL.replace("png", "gif")}]},
        "unsupported_file_mimetype",
        "images[0].image_url",
    ),
    "no type": (
        {"images": [{"image_url": URL.replace("image/png", "")}]},
        "unsupported_file_mimetype",
        "images[0].image_url",
    ),
    "mask": ({"mask": URL}, "invalid_type", "mask"),
    "markup": ({"markup": {"image_url": URL}}, "unknown_parameter", "markup"),
    "image": ({"image": URL}, "unknown_parameter", "image"),
}


@pytest.mark.parametrize(("fields", "code", "param"), ROWS.values(), ids=ROWS.keys())
async def test_refuses_json_it_cannot_use(
    sandbox: SandboxHandle, fields: dict[str, object], code: str, param: str
) -> None:
    body = {"model": "gpt-image-2", "prompt": "a boat", "images": [{"image_url": URL}], **fields}

    answer = await sandbox.client.post("/v1/images/edits", json=body)

    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["code"], error["param"]) == (
        400,
        "invalid_request_error",
        code,
        param,
    )


@pytest.mark.parametrize(
    ("content_type", "body", "message"),
    [
        ("application/x-www-form-urlencoded", b"prompt=a", "Invalid Content-Type header"),
        ("", b"", "Invalid Content-Type header"),
        ("multipart/form-data", b"", "Could not parse multipart form: Missing boundary"),
        ("multipart/form-data; boundary=x", b"nothing", "Could not parse multipart form"),
        ("application/json", b"{", "We could not parse the JSON body"),
    ],
)
async def test_refuses_a_body_that_is_no_form(
    sandbox: SandboxHandle, content_type: str, body: bytes, message: str
) -> None:
    answer = await sandbox.client.post(
        "/v1/images/edits", content=body, headers={"content-type": content_type} if content_type else {}
    )

    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith(message)
