"""A resource of Azure: its paths, keys, versions, deployments and content filter."""

from collections.abc import AsyncGenerator
from uuid import UUID

import httpx
import pytest
import pytest_asyncio

from service.sandbox.painting.watermark import read_watermark
from service.sandbox.rules.order_hash import order_hash
from tests.sandbox.image_files import make_file, open_image, read_files
from tests.sandbox.process import SandboxHandle, run_sandbox

CLASSIC = "/openai/deployments/images/images/generations?api-version=2025-04-01-preview"
KEY = {"api-key": "azure-key"}
CAT = {"prompt": "a cat", "quality": "low"}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def azure_url() -> AsyncGenerator[str]:
    deployments = ["images=gpt-image-2", "old=gpt-image-1", "oldest=dall-e-3"]
    async with run_sandbox(kind="azure", deployment=deployments, today="2026-11-22") as handle:
        yield handle.url


@pytest.fixture
async def azure(azure_url: str) -> AsyncGenerator[SandboxHandle]:
    async with SandboxHandle(azure_url, None) as handle:
        del handle.client.headers["authorization"]
        handle.client.headers.update(KEY)
        await handle.reset()
        await handle.behave(paint="flat")
        yield handle


def error_of(answer: httpx.Response) -> dict[str, object]:
    error: dict[str, object] = answer.json()["error"]
    return error


async def test_a_classic_path_names_the_deployment(azure: SandboxHandle) -> None:
    answer = await azure.client.post(CLASSIC, json={**CAT, "size": "1536x1024"})

    (file,) = read_files(answer)
    (entry,) = await azure.journal()
    assert open_image(file).size == (1536, 1024)
    assert read_watermark(file).order_hash == order_hash({**CAT, "size": "1536x1024", "model": "gpt-image-2"})
    assert (entry["path"], entry["query"]) == (
        "/openai/deployments/images/images/generations",
        {"api-version": "2025-04-01-preview"},
    )
    assert (entry["model"], "model" in entry["parameters"], entry["billed"]) == ("images", False, True)


async def test_v1_takes_the_deployment_as_model(azure: SandboxHandle) -> None:
    answers = [
        await azure.client.post(f"/openai/v1/images/generations{query}", json={**CAT, "model": "images"})
        for query in ("", "?api-version=preview", "?api-version=v1")
    ]

    files = [file for answer in answers for file in read_files(answer)]
    assert {read_watermark(file).order_hash for file in files} == {
        order_hash({**CAT, "model": "gpt-image-2"})
    }
    assert [entry["model"] for entry in await azure.journal()] == ["images"] * 3


async def test_both_paths_edit(azure: SandboxHandle) -> None:
    files = [("image[]", ("image.png", make_file(), "image/png"))]

    classic = await azure.post_form(CLASSIC.replace("generations", "edits"), files, **CAT)
    v1 = await azure.post_form("/openai/v1/images/edits", files, **CAT, model="images")

    (first,), (second,) = read_files(classic), read_files(v1)
    assert read_watermark(first).order_hash == read_watermark(second).order_hash


async def test_answers_have_the_headers_of_azure(azure: SandboxHandle) -> None:
    answer = await azure.client.post(CLASSIC, json=CAT)

    (entry,) = await azure.journal()
    assert str(UUID(answer.headers["apim-request-id"])) == entry["request_id"]
    assert answer.headers["x-ms-region"]
    assert answer.headers["x-ratelimit-reset-requests"] == "60"
    assert "x-ratelimit-limit-images" not in answer.headers


async def test_a_bearer_token_is_a_key_too(azure: SandboxHandle) -> None:
    del azure.client.headers["api-key"]

    without = await azure.client.post(CLASSIC, json=CAT)
    with_token = await azure.client.post(CLASSIC, json=CAT, headers={"authorization": "Bearer entra"})

    assert (without.status_code, error_of(without)["code"]) == (401, "401")
    assert str(error_of(without)["message"]).startswith("Access denied due to invalid subscription key")
    assert with_token.status_code == 200


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/openai/deployments/images/images/generations", 404, "404"),
        ("/openai/deployments/images/images/generations?api-version=soon", 400, "BadRequest"),
        (
            "/openai/deployments/none/images/generations?api-version=2025-04-01-preview",
            404,
            "DeploymentNotFound",
        ),
        ("/openai/deployments/images/images/variations?api-version=2025-04-01-preview", 404, "404"),
        ("/openai/images/generations?api-version=2025-04-01-preview", 404, "404"),
        ("/openai/v1/images/generations", 404, "DeploymentNotFound"),
        ("/openai/v1/images/generations?api-version=2025-04-01-preview", 400, "BadRequest"),
        ("/v1/images/generations", 404, "404"),
    ],
)
async def test_a_wrong_address_is_refused_as_azure_does(
    azure: SandboxHandle, path: str, status: int, code: str
) -> None:
    """In an envelope of code and message alone; the real name of a model is no deployment."""
    answer = await azure.client.post(path, json={**CAT, "model": "gpt-image-2"} if "/v1/" in path else CAT)

    assert answer.status_code == status
    assert set(error_of(answer)) == {"code", "message"}
    assert error_of(answer)["code"] == code
    assert [entry["billed"] for entry in await azure.journal()] == [False]


async def test_a_model_beside_the_deployment_breaks_newer_models(azure: SandboxHandle) -> None:
    answers = [
        await azure.client.post(CLASSIC.replace("/images/images", f"/{name}/images"), json=body)
        for name, body in (
            ("images", {**CAT, "model": "gpt-image-2"}),
            ("old", {**CAT, "model": "gpt-image-1"}),
            ("oldest", {"prompt": "a cat", "model": "dall-e-3", "response_format": "b64_json"}),
        )
    ]

    assert [answer.status_code for answer in answers] == [400, 200, 200]
    assert error_of(answers[0]) == {
        "message": "The model 'gpt-image-2' does not exist.",
        "type": "image_generation_user_error",
        "param": "model",
        "code": "invalid_value",
    }


async def test_bad_parameters_have_the_envelope_of_openai(azure: SandboxHandle) -> None:
    answer = await azure.client.post(CLASSIC, json={**CAT, "quality": "best"})

    assert (answer.status_code, error_of(answer)["param"], error_of(answer)["type"]) == (
        400,
        "quality",
        "invalid_request_error",
    )


@pytest.mark.parametrize("place", ["images", "top", "none"])
async def test_answers_carry_the_results_of_the_filter(azure: SandboxHandle, place: str) -> None:
    await azure.behave(filter_results=place, paint="flat")

    answer = (await azure.client.post(CLASSIC, json={**CAT, "n": 2})).json()

    names = {"content_filter_results", "prompt_filter_results"}
    found = {"images": [names & set(one) for one in answer["data"]], "top": [names & set(answer)]}
    assert {where: sets for where, sets in found.items() if any(sets)} == (
        {} if place == "none" else {place: [names] * (2 if place == "images" else 1)}
    )
    if place == "top":
        assert answer["content_filter_results"]["hate"] == {"filtered": False, "severity": "safe"}
        assert answer["prompt_filter_results"]["jailbreak"] == {"detected": False, "filtered": False}


@pytest.mark.parametrize(
    ("form", "code", "inner"),
    [
        ("inner_error", "content_policy_violation", "inner_error"),
        ("innererror", "content_policy_violation", "innererror"),
        ("moderation_blocked", "moderation_blocked", None),
        ("text", "content_filter", None),
    ],
)
async def test_a_refused_prompt_has_many_forms(
    azure: SandboxHandle, form: str, code: str, inner: str | None
) -> None:
    await azure.behave(filter_refusal=form)

    answer = await azure.client.post(CLASSIC, json={**CAT, "prompt": "a forbidden-word"})

    error = error_of(answer)
    assert (answer.status_code, error["code"]) == (400, code)
    assert {name for name in error if "inner" in name} == ({inner} if inner else set())
    if inner:
        found = answer.json()["error"][inner]
        assert found["code"] == "ResponsibleAIPolicyViolation"
        assert found["content_filter_results"]["violence"] == {"filtered": True, "severity": "medium"}


@pytest.mark.parametrize(
    ("behaviour", "status", "code", "words"),
    [
        ({"throttle": {"requests": 1, "retry_after_s": 26}}, 429, "429", "Please retry after 26 seconds."),
        ({"throttle": {"requests": 1, "retry_style": "none"}}, 429, "429", "tier. Please contact"),
        ({"rate_limit_images_per_min": 0}, 429, "429", "Please retry after 60 seconds."),
        ({"account": "revoked"}, 401, "401", "Access denied"),
        (
            {"account": "blocked"},
            403,
            "Forbidden",
            "has been temporarily blocked because we detected behavior",
        ),
        ({"missing_models": ["images"]}, 404, "DeploymentNotFound", "does not exist"),
        ({"failures": [{"status": 503}]}, 503, "503", "overloaded"),
    ],
)
async def test_a_refused_key_has_the_envelope_of_azure(
    azure: SandboxHandle, behaviour: dict[str, object], status: int, code: str, words: str
) -> None:
    await azure.behave_towards("azure-key", **behaviour)

    refused = await azure.client.post(CLASSIC, json=CAT)
    other = await azure.client.post(CLASSIC, json=CAT, headers={"api-key": "another"})

    assert (refused.status_code, set(error_of(refused))) == (status, {"code", "message"})
    assert (error_of(refused)["code"], words in str(error_of(refused)["message"])) == (code, True)
    assert other.status_code == 200


async def test_lists_models_and_no_deployments(azure: SandboxHandle) -> None:
    classic = await azure.client.get("/openai/models?api-version=2024-10-21")
    v1 = await azure.client.get("/openai/v1/models")
    one = await azure.client.get("/openai/v1/models/gpt-image-1")
    none = await azure.client.get("/openai/v1/models/images")

    names = [model["id"] for model in classic.json()["data"]]
    assert names == ["gpt-image-2", "gpt-image-1", "dall-e-3"]
    assert v1.json() == classic.json()
    assert one.json()["lifecycle_status"] == "generally-available"
    assert (none.status_code, (await azure.client.get("/openai/models")).status_code) == (404, 404)
