"""A server that imitates OpenAI, with ways of its own."""

from collections.abc import AsyncGenerator

import httpx
import pytest
import pytest_asyncio

from tests.sandbox.image_files import make_file, open_image, read_files
from tests.sandbox.process import SandboxHandle, run_sandbox


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def compatible_url() -> AsyncGenerator[str]:
    async with run_sandbox(kind="compatible", deployment=["my-model=gpt-image-2"]) as handle:
        yield handle.url


@pytest.fixture
async def compatible(compatible_url: str) -> AsyncGenerator[SandboxHandle]:
    async with SandboxHandle(compatible_url, None) as handle:
        del handle.client.headers["authorization"]
        await handle.reset()
        yield handle


async def test_answers_by_a_url_to_a_jpeg_and_says_no_more(compatible: SandboxHandle) -> None:
    """Under a name of its own for the model, and without a key."""
    answer = await compatible.generate(model="my-model", output_format="webp")

    body = answer.json()
    assert set(body) == {"created", "data"}
    assert [set(one) for one in body["data"]] == [{"url"}]
    file = await compatible.client.get(body["data"][0]["url"])
    assert file.headers["content-type"] == "image/jpeg"
    assert open_image(file.content).format == "JPEG"
    (entry,) = await compatible.journal()
    assert (entry["model"], entry["key_sha256"], entry["billed"]) == ("my-model", None, True)


async def test_has_only_the_models_it_is_given(compatible: SandboxHandle) -> None:
    listed = await compatible.client.get("/v1/models")
    other = await compatible.generate(model="gpt-image-2")

    assert [model["id"] for model in listed.json()["data"]] == ["my-model"]
    assert (other.status_code, other.json()) == (400, {"error": "The model 'gpt-image-2' does not exist."})


@pytest.mark.parametrize("name", ["quality", "user"])
async def test_refuses_parameters(compatible: SandboxHandle, name: str) -> None:
    answer = await compatible.generate(model="my-model", **{name: "low"})

    assert (answer.status_code, answer.json()) == (400, {"error": f"Unknown parameter: '{name}'."})


async def test_refuses_or_ignores_n(compatible: SandboxHandle) -> None:
    refused = await compatible.generate(model="my-model", n=2)
    await compatible.behave(several="ignored", answer_urls=False, paint="flat")
    ignored = await compatible.generate(model="my-model", n=2)

    assert (refused.status_code, "n must be 1" in refused.json()["error"]) == (400, True)
    assert len(read_files(ignored)) == 1
    assert [len(entry["images"]) for entry in await compatible.journal()] == [0, 1]


async def test_a_transparent_order_is_opaque_in_jpeg(sandbox: SandboxHandle) -> None:
    await sandbox.behave(makes="jpeg")

    (file,) = read_files(await sandbox.generate(background="transparent", output_format="png"))

    assert (open_image(file).format, open_image(file).mode) == ("JPEG", "RGB")


@pytest.mark.parametrize(
    ("mask", "clear", "white"),
    [
        (make_file(mode="L", colour="#ffffff"), 0, 1),
        (make_file(mode="RGB", colour="#000000"), 0, 0),
        (make_file(mode="RGBA", colour="#00000000"), 1, 0),
    ],
    ids=["white", "black", "clear"],
)
async def test_the_journal_tells_the_polarity_of_a_mask(
    compatible: SandboxHandle, mask: bytes, clear: float, white: float
) -> None:
    answer = await compatible.edit(make_file(), mask=mask, model="my-model")

    image, guide = (await compatible.journal())[0]["inputs"]
    assert answer.status_code == 200
    assert (guide["clear_share"], guide["white_share"]) == (clear, white)
    assert (image["clear_share"], image["white_share"]) == (None, None)


async def test_a_server_of_transparent_masks_refuses_white_ones(sandbox: SandboxHandle) -> None:
    answer = await sandbox.edit(make_file(), mask=make_file(mode="L", colour="#ffffff"))

    assert answer.json()["error"]["code"] == "invalid_mask_image_format"


async def test_may_have_no_edits(compatible: SandboxHandle) -> None:
    await compatible.behave(operations=["generate"])

    edited = await compatible.edit(make_file(), model="my-model")
    made = await compatible.generate(model="my-model")

    assert (edited.status_code, made.status_code) == (404, 200)


@pytest.mark.parametrize(
    ("shape", "status", "body"),
    [
        ("text", 400, {"error": "no"}),
        ("detail", 400, {"detail": "no"}),
        ("detail_list", 422, {"detail": [{"type": "value_error", "loc": ["body", "prompt"], "msg": "no"}]}),
        ("integer_code", 400, {"error": {"code": 400, "message": "no", "type": ""}}),
        ("flat", 400, {"object": "error", "message": "no", "type": "Error", "param": None, "code": 400}),
        ("empty", 400, None),
    ],
)
async def test_errors_have_foreign_shapes(
    sandbox: SandboxHandle, shape: str, status: int, body: object
) -> None:
    """Both those of a script and those of the rules."""
    await sandbox.behave(error_shape=shape, failures=[{"status": 400, "message": "no"}])

    scripted, ruled = await sandbox.generate(), await sandbox.generate(model="none")

    assert (scripted.status_code, scripted.json() if scripted.content else None) == (status, body)
    assert ruled.status_code == status
    assert shape_of(ruled) == shape_of(scripted)


def shape_of(answer: httpx.Response) -> object:
    """Return the names and types of the members of an error."""

    def shape(value: object) -> object:
        if isinstance(value, dict):
            return {name: shape(member) for name, member in value.items()}
        return [shape(one) for one in value] if isinstance(value, list) else type(value)

    return shape(answer.json()) if answer.content else None


async def test_an_open_server_needs_no_key(sandbox: SandboxHandle) -> None:
    del sandbox.client.headers["authorization"]
    refused = await sandbox.generate()
    await sandbox.behave(keyless=True)

    assert (refused.status_code, (await sandbox.generate()).status_code) == (401, 200)


async def test_the_journal_keeps_headers_of_operators_and_no_keys(sandbox: SandboxHandle) -> None:
    await sandbox.client.get("/v1/models", headers={"x-cost-centre": "images", "x-api-key": "secret"})

    (entry,) = await sandbox.journal()
    assert entry["headers"]["x-cost-centre"] == "images"
    assert "secret" not in str(entry)
