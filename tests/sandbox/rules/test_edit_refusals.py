"""Every row of what an edit may not say or send."""

import io
from dataclasses import dataclass, field
from typing import Any

import pytest
from PIL import Image

from tests.sandbox.image_files import make_file
from tests.sandbox.process import FormFile, SandboxHandle

IR = "invalid_request_error"
IU = "image_generation_user_error"
THREE_TYPES = "Supported file formats are 'image/jpeg', 'image/png', and 'image/webp'."
SIZE = 50 * 1024 * 1024

PNG, MASK = make_file(), make_file(colour="#00000000")
OTHER_MASK, SOLID = make_file(size=(48, 64)), make_file(mode="RGB")


def image(file: bytes = PNG, media_type: str = "image/png", *, name: str = "image") -> FormFile:
    return name, ("file", file, media_type)


def mask(file: bytes = MASK, media_type: str = "image/png", *, name: str = "mask") -> FormFile:
    return name, ("file", file, media_type)


def make_mpo() -> bytes:
    """Return a JPEG with a second image inside, as some phones write it."""
    file = io.BytesIO()
    red = Image.new("RGB", (64, 48), "red")
    red.save(file, "MPO", save_all=True, append_images=[red])
    return file.getvalue()


@dataclass(frozen=True)
class Row:
    """*message* is the beginning of the text that must be answered."""

    kind: str
    code: str | None
    param: str | None
    message: str
    fields: dict[str, object] = field(default_factory=dict)
    files: tuple[FormFile, ...] = (image(),)


PIECES = {
    "no image": Row(IR, "missing_required_parameter", "image", "Missing required parameter", files=(mask(),)),
    "too many": Row(
        IR,
        "array_above_max_length",
        "image",
        "Invalid 'image': array too long. Expected an array with maximum length 16, "
        "but got an array with length 17",
        files=(image(name="image[]"),) * 17,
    ),
    "octets": Row(
        IR,
        "unsupported_file_mimetype",
        "image",
        f"Invalid file 'image': unsupported mimetype ('application/octet-stream'). {THREE_TYPES}",
        files=(image(media_type="application/octet-stream"),),
    ),
    "octets in a list": Row(
        IR,
        "unsupported_file_mimetype",
        "image[0]",
        "Invalid file 'image[0]': unsupported mimetype ('application/octet-stream').",
        files=(image(media_type="application/octet-stream", name="image[]"),),
    ),
    "second of a list": Row(
        IR,
        "unsupported_file_mimetype",
        "image[1]",
        "Invalid file 'image[1]': unsupported mimetype ('image/gif').",
        files=(image(name="image[]"), image(media_type="image/gif", name="image[]")),
    ),
    "numbered": Row(
        IR, "unknown_parameter", "image[0]", "Unknown parameter", files=(image(name="image[0]"),)
    ),
    "text as image": Row(
        IU, "invalid_image_file", "", "Invalid image file or mode for image 1,", files=(image(b"text"),)
    ),
    "empty file": Row(IU, "invalid_image_file", "", "Invalid image file or mode", files=(image(b""),)),
    "cut short": Row(
        IU, "invalid_image_file", "", "Invalid image file or mode", files=(image(PNG[: len(PNG) - 30]),)
    ),
    "second broken": Row(
        IU,
        "invalid_image_file",
        "",
        "Invalid image file or mode for image 2, please check your image file.",
        files=(image(), image(PNG[:-40])),
    ),
    "cmyk": Row(
        IU,
        "invalid_image_file",
        "",
        "Invalid image file or mode",
        files=(image(make_file(mode="CMYK", file_format="JPEG"), "image/jpeg"),),
    ),
    "mpo": Row(
        IU,
        "invalid_image_file",
        "",
        "Invalid image file or mode",
        files=(image(make_mpo(), "image/jpeg"),),
    ),
    "gif inside": Row(
        IU,
        "invalid_image_file",
        "",
        "Invalid image file or mode",
        files=(image(make_file(mode="P", file_format="GIF")),),
    ),
    "large": Row(
        IR, "image_file_too_large", "image", "Invalid file 'image'", files=(image(PNG + b"\0" * SIZE),)
    ),
    "jpeg mask": Row(
        IR,
        "unsupported_file_mimetype",
        "mask",
        "Invalid file 'mask': unsupported mimetype ('image/jpeg'). Supported file formats are 'image/png'.",
        files=(image(), mask(media_type="image/jpeg")),
    ),
    "jpeg in a mask": Row(
        IU,
        "invalid_mask_image_format",
        None,
        "Invalid mask image format - mask image must be a PNG",
        files=(image(), mask(make_file(mode="RGB", file_format="JPEG"))),
    ),
    "mask of another size": Row(
        IU,
        "invalid_mask_image_format",
        None,
        "Invalid mask image format - mask size does not match image size",
        files=(image(), mask(OTHER_MASK)),
    ),
    "mask of the second's size": Row(
        IU,
        "invalid_mask_image_format",
        None,
        "Invalid mask image format - mask size",
        files=(image(), image(make_file(size=(48, 64))), mask(OTHER_MASK)),
    ),
    "solid mask": Row(
        IU,
        "invalid_mask_image_format",
        None,
        "Invalid mask image format - mask image missing alpha channel",
        files=(image(), mask(SOLID)),
    ),
    "large mask": Row(
        IR, "image_file_too_large", "mask", "Invalid file 'mask'", files=(image(), mask(MASK + b"\0" * 2**22))
    ),
    "two masks": Row(IR, "array_above_max_length", "mask", "Invalid 'mask'", files=(image(), mask(), mask())),
    "mask and markup": Row(
        IR,
        "mutually_exclusive_parameters",
        "markup",
        "Mutually exclusive parameters",
        {"model": "gpt-image-2.5-flare"},
        (image(), mask(), mask(name="markup")),
    ),
    "markup on 2": Row(
        IU,
        "invalid_markup_model",
        "markup",
        "The model 'gpt-image-2' does not support the 'markup' parameter.",
        files=(image(), mask(name="markup")),
    ),
    "markup on 2.6": Row(
        IU,
        "invalid_markup_model",
        "markup",
        "The model 'gpt-image-2.6-flare'",
        {"model": "gpt-image-2.6-flare"},
        (image(), mask(name="markup")),
    ),
    "markup without holes": Row(
        IU,
        "invalid_markup_image_format",
        None,
        "Invalid markup image format - markup image has no transparent pixels",
        {"model": "gpt-image-2.5-sunburst"},
        (image(), mask(make_file(colour="#000000ff"), name="markup")),
    ),
    "another file": Row(
        IR,
        "unknown_parameter",
        "overlay",
        "Unknown parameter: 'overlay'.",
        files=(image(), mask(name="overlay")),
    ),
}
PARAMETERS = {
    "no prompt": Row(IR, "missing_required_parameter", "prompt", "Missing required", {"prompt": None}),
    "no model": Row(IR, "missing_required_parameter", "model", "Missing required", {"model": None}),
    "empty prompt": Row(IR, "empty_string", "prompt", "Invalid 'prompt': empty string.", {"prompt": ""}),
    "long prompt": Row(IR, "string_above_max_length", "prompt", "Invalid 'prompt'", {"prompt": "x" * 32_001}),
    "style": Row(IR, "unknown_parameter", "style", "Unknown parameter", {"style": "vivid"}),
    "format": Row(IR, "unknown_parameter", "response_format", "Unknown", {"response_format": "b64_json"}),
    "moderation": Row(IR, "unknown_parameter", "moderation", "Unknown", {"moderation": "low"}),
    "fidelity on 2": Row(
        IU,
        "invalid_input_fidelity_model",
        "input_fidelity",
        "The model 'gpt-image-2' does not support the 'input_fidelity' parameter.",
        {"input_fidelity": "low"},
    ),
    "fidelity on 2.6": Row(
        IU,
        "invalid_input_fidelity_model",
        "input_fidelity",
        "The model 'gpt-image-2.6-sunburst' does not",
        {"input_fidelity": "high", "model": "gpt-image-2.6-sunburst"},
    ),
    "mini high": Row(
        IR,
        "invalid_value",
        "input_fidelity",
        "Invalid value: 'high'. Supported values are: 'low'.",
        {"input_fidelity": "high", "model": "gpt-image-1-mini"},
    ),
    "fidelity": Row(
        IR,
        "invalid_value",
        "input_fidelity",
        "Invalid value: 'mid'.",
        {"input_fidelity": "mid", "model": "gpt-image-1.5"},
    ),
    "n": Row(IR, "integer_above_max_value", "n", "Invalid 'n'", {"n": 11}),
    "n text": Row(
        IR, "invalid_type", "n", "Invalid type for 'n': expected an integer, but got a string", {"n": "two"}
    ),
    "stream": Row(IR, "invalid_type", "stream", "Invalid type for 'stream'", {"stream": "yes"}),
    "partials": Row(IR, "invalid_value", "partial_images", "partial_images is only", {"partial_images": 2}),
    "size": Row(IU, "invalid_value", "size", "Invalid size '4096x4096'.", {"size": "4096x4096"}),
    "quality": Row(IR, "invalid_value", "quality", "Invalid value: 'hd'.", {"quality": "hd"}),
    "compression": Row(
        IU, "invalid_value", "output_compression", "output_compression is only", {"output_compression": 50}
    ),
    "dall-e-2": Row(
        IU, "invalid_value", "model", "The model 'dall-e-2' does not exist.", {"model": "dall-e-2"}
    ),
    "moderated": Row(
        IU, "moderation_blocked", None, "Your request was rejected", {"prompt": "forbidden-word"}
    ),
}


@pytest.mark.parametrize("row", (PIECES | PARAMETERS).values(), ids=(PIECES | PARAMETERS).keys())
async def test_refuses_in_the_words_of_the_contract(sandbox: SandboxHandle, row: Row) -> None:
    fields: dict[str, Any] = {"model": "gpt-image-2", "prompt": "a boat", **row.fields}

    answer = await sandbox.post_form("/v1/images/edits", row.files, **fields)

    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["message"].startswith(row.message)
    assert (error["type"], error["code"], error["param"]) == (row.kind, row.code, row.param)
    (entry,) = await sandbox.journal()
    assert (entry["status"], entry["error_code"], entry["billed"]) == (400, row.code, False)
    known = [name for name, _ in row.files if name in {"image", "image[]", "mask", "markup"}]
    assert [one["field"] for one in entry["inputs"]] == known


async def test_the_journal_says_when_a_file_is_no_image(sandbox: SandboxHandle) -> None:
    await sandbox.edit(b"text")

    (entry,) = await sandbox.journal()
    (one,) = entry["inputs"]
    assert (one["format"], one["width"], one["height"], one["size_bytes"]) == (None, None, None, 4)


async def test_refuses_text_in_place_of_a_file(sandbox: SandboxHandle) -> None:
    answer = await sandbox.post_form("/v1/images/edits", [mask()], model="gpt-image-2", prompt="a", image="b")

    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["param"]) == (400, "invalid_type", "image")
