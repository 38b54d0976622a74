"""Every row of what a generation request may not say."""

from dataclasses import dataclass, field

import httpx
import pytest

from tests.sandbox.process import SandboxHandle

IR = "invalid_request_error"
IU = "image_generation_user_error"
FOUR_SIZES = "'1024x1024', '1024x1536', '1536x1024', and 'auto'"
USUAL = "'low', 'medium', 'high', and 'auto'"


@dataclass(frozen=True)
class Row:
    """*message* is the beginning of the text that must be answered."""

    fields: dict[str, object]
    kind: str
    code: str | None
    param: str | None
    message: str
    without: tuple[str, ...] = field(default=())


ROWS = {
    "no prompt": Row({}, IR, "missing_required_parameter", "prompt", "Missing required", without=("prompt",)),
    "null prompt": Row({"prompt": None}, IR, "missing_required_parameter", "prompt", "Missing required"),
    "no model": Row({}, IR, "missing_required_parameter", "model", "Missing required", without=("model",)),
    "empty prompt": Row({"prompt": ""}, IR, "empty_string", "prompt", "Invalid 'prompt': empty string."),
    "prompt no text": Row(
        {"prompt": 5}, IR, "invalid_type", "prompt", "Invalid type for 'prompt': expected a string"
    ),
    "long prompt": Row(
        {"prompt": "x" * 32_001},
        IR,
        "string_above_max_length",
        "prompt",
        "Invalid 'prompt': string too long. Expected a string with maximum length 32000, "
        "but got a string with length 32001 instead.",
    ),
    "unknown": Row({"seed": 1}, IR, "unknown_parameter", "seed", "Unknown parameter: 'seed'."),
    "format": Row(
        {"response_format": "url"}, IR, "unknown_parameter", "response_format", "Unknown parameter"
    ),
    "style": Row({"style": "vivid"}, IR, "unknown_parameter", "style", "Unknown parameter: 'style'."),
    "fidelity": Row(
        {"input_fidelity": "low"}, IR, "unknown_parameter", "input_fidelity", "Unknown parameter"
    ),
    "svg": Row({"svg": {}}, IR, "unknown_parameter", "svg", "Unknown parameter: 'svg'."),
    "n zero": Row({"n": 0}, IR, "integer_below_min_value", "n", "Invalid 'n': integer below"),
    "n eleven": Row({"n": 11}, IR, "integer_above_max_value", "n", "Invalid 'n': integer above"),
    "n text": Row({"n": "2"}, IR, "invalid_type", "n", "Invalid type for 'n'"),
    "n true": Row({"n": True}, IR, "invalid_type", "n", "Invalid type for 'n'"),
    "edge": Row(
        {"size": "4096x4096"},
        IU,
        "invalid_value",
        "size",
        "Invalid size '4096x4096'. The longest edge must be",
    ),
    "sixteen": Row(
        {"size": "1000x1000"}, IU, "invalid_value", "size", "Invalid size '1000x1000'. Width and height must"
    ),
    "ratio": Row(
        {"size": "3200x1024"}, IU, "invalid_value", "size", "Invalid size '3200x1024'. The aspect ratio"
    ),
    "few pixels": Row(
        {"size": "800x800"}, IU, "invalid_value", "size", "Invalid size '800x800'. Requested resolution is"
    ),
    "many pixels": Row(
        {"size": "3008x3008"}, IU, "invalid_value", "size", "Invalid size '3008x3008'. Requested"
    ),
    "no size": Row({"size": "large"}, IR, "invalid_value", "size", "Invalid value: 'large'."),
    "size number": Row({"size": 1024}, IR, "invalid_type", "size", "Invalid type for 'size'"),
    "fixed size": Row(
        {"model": "gpt-image-1.5", "size": "1536x864"},
        IR,
        "invalid_value",
        "size",
        f"Invalid value: '1536x864'. Supported values are: {FOUR_SIZES}.",
    ),
    "hd": Row(
        {"quality": "hd"},
        IR,
        "invalid_value",
        "quality",
        f"Invalid value: 'hd'. Supported values are: {USUAL}.",
    ),
    "quality number": Row({"quality": 5}, IR, "invalid_type", "quality", "Invalid type for 'quality'"),
    "standard": Row({"quality": "standard"}, IR, "invalid_value", "quality", "Invalid value: 'standard'."),
    "xhigh on 2": Row({"quality": "xhigh"}, IR, "invalid_value", "quality", "Invalid value: 'xhigh'."),
    "max on 1.5": Row(
        {"model": "gpt-image-1.5", "quality": "max"}, IR, "invalid_value", "quality", "Invalid value: 'max'."
    ),
    "background": Row({"background": "red"}, IR, "invalid_value", "background", "Invalid value: 'red'."),
    "clear jpeg": Row(
        {"background": "transparent", "output_format": "jpeg"},
        IU,
        "invalid_value",
        "background",
        "Transparent",
    ),
    "gif": Row({"output_format": "gif"}, IR, "invalid_value", "output_format", "Invalid value: 'gif'."),
    "compressed png": Row(
        {"output_compression": 50}, IU, "invalid_value", "output_compression", "output_compression"
    ),
    "compression": Row(
        {"output_compression": 101, "output_format": "webp"},
        IR,
        "integer_above_max_value",
        "output_compression",
        "Invalid 'output_compression'",
    ),
    "moderation": Row({"moderation": "none"}, IR, "invalid_value", "moderation", "Invalid value: 'none'."),
    "complexity on 2.5": Row(
        {"model": "gpt-image-2.5-flare", "complexity": "low"},
        IU,
        "invalid_complexity_model",
        "complexity",
        "The model 'gpt-image-2.5-flare' does not support",
    ),
    "complexity": Row(
        {"model": "gpt-image-2.6-flare", "complexity": "huge"},
        IR,
        "invalid_value",
        "complexity",
        "Invalid value: 'huge'.",
    ),
    "partials": Row({"partial_images": 2}, IR, "invalid_value", "partial_images", "partial_images is only"),
    "many partials": Row(
        {"partial_images": 4}, IR, "integer_above_max_value", "partial_images", "Invalid 'partial"
    ),
    "stream text": Row({"stream": "yes"}, IR, "invalid_type", "stream", "Invalid type for 'stream'"),
    "user": Row({"user": 7}, IR, "invalid_type", "user", "Invalid type for 'user'"),
    "dall-e-2": Row(
        {"model": "dall-e-2"}, IU, "invalid_value", "model", "The model 'dall-e-2' does not exist."
    ),
    "dall-e-3": Row(
        {"model": "dall-e-3"}, IU, "invalid_value", "model", "The model 'dall-e-3' does not exist."
    ),
    "gpt-image-1": Row(
        {"model": "gpt-image-1"}, IU, "invalid_value", "model", "The model 'gpt-image-1' does not exist."
    ),
    "other model": Row({"model": "gpt-5"}, IU, "invalid_value", "model", "The model 'gpt-5' does not exist."),
    "moderated": Row(
        {"prompt": "a Forbidden-Word"},
        IU,
        "moderation_blocked",
        None,
        "Your request was rejected by the safety system.",
    ),
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())
async def test_refuses_in_the_words_of_the_contract(sandbox: SandboxHandle, row: Row) -> None:
    body = {"model": "gpt-image-2", "prompt": "a cat", **row.fields}
    for name in row.without:
        del body[name]

    answer = await sandbox.client.post("/v1/images/generations", json=body)

    error = answer.json()["error"]
    assert answer.status_code == 400
    assert error["message"].startswith(row.message)
    assert (error["type"], error["code"], error["param"]) == (row.kind, row.code, row.param)
    (entry,) = await sandbox.journal()
    assert (entry["status"], entry["error_code"], entry["billed"], entry["images"]) == (
        400,
        row.code,
        False,
        [],
    )


async def test_moderation_says_what_and_where(sandbox: SandboxHandle) -> None:
    answer = await sandbox.generate(prompt="a forbidden-word")

    details = answer.json()["error"]["moderation_details"]
    assert details == {"moderation_stage": "input", "categories": ["violence"]}


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer"}, {"authorization": "Basic c2s="}, {"api-key": "k"}]
)
async def test_asks_for_a_key(sandbox: SandboxHandle, headers: dict[str, str]) -> None:
    async with httpx.AsyncClient(trust_env=False) as stranger:
        answer = await stranger.post(f"{sandbox.url}/v1/images/generations", json={}, headers=headers)

    assert answer.status_code == 401
    assert answer.json()["error"]["message"].startswith("You didn't provide an API key.")
    assert answer.json()["error"]["type"] == IR
    (entry,) = await sandbox.journal()
    assert (entry["status"], entry["key_sha256"]) == (401, None)


@pytest.mark.parametrize("body", [b"", b"{", b"not json", b'{"prompt": "\xff"}', b"[1]", b"7"])
async def test_refuses_a_body_that_is_no_json_object(sandbox: SandboxHandle, body: bytes) -> None:
    answer = await sandbox.client.post("/v1/images/generations", content=body)

    assert answer.status_code == 400
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("POST", "/v1/images/edit", 404),
        ("GET", "/v1/images/edits", 405),
        ("POST", "/v1/images/generations/", 404),
        ("GET", "/v1/images/generations", 405),
        ("DELETE", "/v1/models/gpt-image-2", 405),
        ("POST", "/sandbox/journal", 405),
    ],
)
async def test_other_paths_and_methods_get_the_envelope(
    sandbox: SandboxHandle, method: str, path: str, status: int
) -> None:
    answer = await sandbox.client.request(method, path)

    assert answer.status_code == status
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}


async def test_paths_of_the_api_are_journalled_even_if_there_is_nothing(sandbox: SandboxHandle) -> None:
    answer = await sandbox.client.post("/v1/images/upscales")

    (entry,) = await sandbox.journal()
    assert (entry["method"], entry["path"], entry["status"]) == ("POST", "/v1/images/upscales", 404)
    assert answer.headers["x-request-id"] == entry["request_id"]
