"""The official SDK as a caller has it, against a gateway whose provider is the sandbox."""

import base64
import io
import itertools
from collections.abc import Iterator
from typing import Literal
from uuid import uuid4

import httpx
import openai
import pytest
from PIL import Image

from tests.processes import Gateway, run_gateway

MODELS = ("dall-e-3", "dall-e-2", "gpt-image-2", "gpt-image-1", "gpt-image-2.6-sunburst")


@pytest.fixture(scope="module")
def sdk(gateway: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="sk-caller", max_retries=0) as client:
        yield client


@pytest.fixture
def prompt() -> str:
    return f"a harbour, number {uuid4().hex}"


def size_of(file: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(file)) as picture:
        picture.load()
        return picture.size


@pytest.mark.parametrize("model", MODELS)
def test_every_model_by_its_own_defaults(sdk: openai.OpenAI, prompt: str, model: str) -> None:
    answer = sdk.images.generate(model=model, prompt=prompt, n=2, size="1024x1024")

    assert answer.created > 1_700_000_000
    assert answer.data is not None
    assert len(answer.data) == 2
    by_url = model.startswith("dall-e")
    for image in answer.data:
        assert (image.url is not None, image.b64_json is not None) == (by_url, not by_url)
        assert (image.revised_prompt is not None) == (model == "dall-e-3")
        file = (
            httpx.get(image.url, trust_env=False).content
            if image.url
            else base64.b64decode(image.b64_json or "")
        )
        assert size_of(file) == (1024, 1024)
    assert (answer.usage is not None) == (not by_url)
    if answer.usage is not None:
        assert answer.usage.total_tokens == answer.usage.input_tokens + answer.usage.output_tokens
        assert (answer.size, answer.output_format) == ("1024x1024", "png")


@pytest.mark.parametrize("response_format", ["url", "b64_json"])
def test_either_delivery_in_the_words_of_dall_e(
    sdk: openai.OpenAI, prompt: str, response_format: Literal["url", "b64_json"]
) -> None:
    answer = sdk.images.generate(
        model="dall-e-3",
        prompt=prompt,
        size="1792x1024",
        quality="hd",
        style="natural",
        response_format=response_format,
        user="ann",
    )

    (image,) = answer.data or []
    file = (
        httpx.get(image.url, trust_env=False).content if image.url else base64.b64decode(image.b64_json or "")
    )
    assert size_of(file) == (1792, 1024)
    assert getattr(image, response_format)


def test_the_raw_response_has_the_headers(sdk: openai.OpenAI, prompt: str) -> None:
    raw = sdk.images.with_raw_response.generate(model="dall-e-3", prompt=prompt)

    assert raw.headers["x-cache"] == "miss"
    assert raw.headers["x-model-sent"] == "gpt-image-2.6-flare"
    assert raw.request_id == raw.headers["x-request-id"]
    assert len(raw.parse().data or []) == 1


async def test_the_asynchronous_client_too(gateway: Gateway, prompt: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="sk-caller", max_retries=0) as sdk:
        raw = await sdk.images.with_raw_response.generate(
            model="gpt-image-2", prompt=prompt, output_format="webp"
        )
        answer = raw.parse()

        with pytest.raises(openai.BadRequestError) as refused:
            await sdk.images.generate(model="gpt-image-2", prompt=prompt, n=11)

    (image,) = answer.data or []
    assert base64.b64decode(image.b64_json or "").startswith(b"RIFF")
    assert (refused.value.param, refused.value.code) == ("n", "integer_above_max_value")


def test_models_are_listed_and_described(sdk: openai.OpenAI) -> None:
    listed = {model.id: model for model in sdk.models.list()}

    assert set(MODELS) <= set(listed)
    described = sdk.models.retrieve("dall-e-3")
    assert described.to_dict().items() >= listed["dall-e-3"].to_dict().items()
    assert str(described.shutdown_date) == "2026-05-12"
    with pytest.raises(openai.NotFoundError) as missing:
        sdk.models.retrieve("org/no such model")
    assert missing.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("fields", "code", "param"),
    [
        ({"model": "dall-e-9"}, "invalid_value", "model"),
        ({"model": "dall-e-3", "size": "1x1"}, "invalid_size", "size"),
        ({"model": "dall-e-3", "n": 0}, "integer_below_min_value", "n"),
        ({"model": "gpt-image-2", "style": "vivid"}, "unknown_parameter", "style"),
        ({"model": "gpt-image-2", "extra_body": {"seed": 3}}, "unknown_parameter", "seed"),
        ({"model": "gpt-image-2", "prompt": "a forbidden-word"}, "moderation_blocked", None),
        ({"prompt": ""}, "empty_string", "prompt"),
    ],
)
def test_mistakes_are_bad_requests_with_code_and_param(
    sdk: openai.OpenAI, prompt: str, fields: dict[str, object], code: str, param: str | None
) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        sdk.images.generate(**{"prompt": prompt, **fields})  # type: ignore[call-overload]

    error = refused.value
    assert (error.status_code, error.code, error.param) == (400, code, param)
    assert error.type in {"invalid_request_error", "image_generation_user_error"}
    assert error.request_id
    assert isinstance(error.body, dict)
    assert error.body["message"] in str(error)


def order_without_end(sdk: openai.OpenAI, prompt: str) -> None:
    """Get to a limit on machines of any speed: where a minute allows 60, one comes free every second."""
    for number in itertools.count():
        sdk.images.generate(model="gpt-image-2", prompt=f"{prompt} {number}", n=2)


def test_an_order_above_the_limit_is_a_rate_limit_error_the_sdk_waits_for(
    tmp_path_factory: pytest.TempPathFactory, prompt: str
) -> None:
    directory = tmp_path_factory.mktemp("limited-sdk")
    with (
        run_gateway(directory, default_policy__images_per_min=60) as gateway,
        openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="sk-caller", max_retries=0) as sdk,
    ):
        with pytest.raises(openai.RateLimitError) as refused:
            order_without_end(sdk, prompt)
        # A second or two later there is room again: the SDK reads the headers and does it by itself.
        answer = sdk.with_options(max_retries=2).images.generate(
            model="gpt-image-2", prompt=f"{prompt} more", n=2
        )

    assert (refused.value.code, refused.value.type) == ("rate_limit_exceeded", "images")
    assert int(refused.value.response.headers["retry-after"]) >= 1
    assert len(answer.data or []) == 2


def test_the_sdk_does_not_retry_permanent_failures(gateway: Gateway, prompt: str) -> None:
    tries: list[object] = []
    counting = openai.DefaultHttpxClient(event_hooks={"request": [tries.append]})
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="x", max_retries=2, http_client=counting) as sdk:
        with pytest.raises(openai.BadRequestError):
            sdk.images.generate(model="gpt-image-2", prompt=f"{prompt} forbidden-word")
        with pytest.raises(openai.InternalServerError) as missing:
            sdk.images.generate(
                model="gpt-image-2", prompt=prompt, extra_headers={"cache-control": "only-if-cached"}
            )

    assert missing.value.code == "not_cached"
    assert len(tries) == 2


def test_without_a_model_old_clients_get_the_contract_of_dall_e_2(gateway: Gateway, prompt: str) -> None:
    """openai 0.28 sends none, and neither do a thousand scripts."""
    body = {"prompt": prompt, "n": 2, "size": "256x256"}

    answer = httpx.post(
        f"{gateway.url}/v1/images/generations",
        json=body,
        headers={"authorization": "Bearer x"},
        trust_env=False,
    )

    entries = answer.json()["data"]
    assert [set(entry) for entry in entries] == [{"url"}, {"url"}]
    assert {size_of(httpx.get(entry["url"], trust_env=False).content) for entry in entries} == {(256, 256)}
