"""Failures of the provider come with advice for operators, over real sockets."""

import errno
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import aiohttp
import orjson
import pytest

from service.adapters.openai.dialects.dialect import Dialect
from service.adapters.openai.failures import classify_exception
from service.adapters.openai.troubleshooting import explain
from service.domain.failures import FailureKind
from service.settings.variables import Settings
from tests.adapters.openai.conftest import ADDRESS, CALL, Script, failed, make_call
from tests.processes import free_port
from tests.sandbox.process import SandboxHandle

QUOTA = "You exceeded your current quota."


def envelope(message: str, **fields: object) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": None, "param": None, "code": None, **fields}})


@pytest.mark.parametrize(
    ("status", "body", "begins"),
    [
        (
            401,
            envelope("Bad key.", code="invalid_api_key"),
            "OPENAI_API_KEY was refused (401 invalid_api_key)",
        ),
        (401, envelope("Bad key.", code="sk-ours"), "OPENAI_API_KEY was refused (401 other)"),
        (
            401,
            envelope("Bad key.", code="abcdef0123456789abcdef0123456789"),
            "OPENAI_API_KEY was refused (401 other)",
        ),
        (403, envelope("No."), "The provider does not let this key make images (403)"),
        (
            404,
            envelope("None.", code="model_not_found", param="model"),
            "The model is not available to this key (404 model_not_found)",
        ),
        (400, envelope("None.", param="model"), "The model is not available to this key (400)"),
        (
            429,
            envelope(QUOTA, code="insufficient_quota"),
            "The provider's quota or billing stops us (429 insuff",
        ),
        (404, envelope("Invalid URL"), "OPENAI_BASE_URL leads to no images API (404)"),
        (404, b"<html>", "OPENAI_BASE_URL leads to no images API (404)"),
        (307, b"", "OPENAI_BASE_URL leads to no images API (307)"),
        (200, b"<html>", "The provider's answer broke off or cannot be understood (200)"),
        (429, envelope("Slow.", code="slow_down"), "The provider's rate limit is reached (429 slow_down)"),
        (503, envelope("Busy."), "The provider fails or is overloaded (503)"),
    ],
)
async def test_advice_names_the_setting_the_status_and_the_code(
    script: Script, status: int, body: bytes, begins: str
) -> None:
    script.answer(status, body)

    failure = failed(await make_call(script.url))

    assert failure.advice.startswith(begins)
    assert "127.0.0.1" not in failure.advice


@pytest.mark.parametrize(
    ("address", "status", "body", "begins"),
    [
        ({}, 401, envelope("No."), "key spare of backend east was refused (401): is it complete"),
        (
            {},
            429,
            envelope("Slow."),
            "The provider's rate limit is reached (429): set images_per_min of key spare of ",
        ),
        ({}, 404, envelope("None."), "the url of backend east leads to no images API (404)"),
        (
            {},
            504,
            envelope("Late."),
            "A proxy before the provider answered (504), while the call may have gone on",
        ),
        (
            {"kind": "azure"},
            404,
            envelope("None.", code="DeploymentNotFound"),
            "There is no such deployment (404 DeploymentNotFound): write its name as the `name` of the model",
        ),
    ],
)
async def test_advice_on_a_key_of_the_file_names_it(
    script: Script, address: dict[str, Any], status: int, body: bytes, begins: str
) -> None:
    script.answer(status, body)

    failure = failed(await make_call(script.url, name="east", key="spare", **address))

    assert failure.advice.startswith(begins)
    assert "OPENAI" not in failure.advice


@pytest.mark.parametrize("body", [b"<html>", envelope("Invalid URL (POST /images/generations)")])
async def test_a_base_url_without_a_version_is_named(script: Script, body: bytes) -> None:
    script.answer(404, body)

    failure = failed(await make_call(script.url.removesuffix("/v1")))

    assert failure.advice.startswith("The base URL lacks /v1 (404): write OPENAI_BASE_URL as in ")


def test_a_lack_of_files_is_not_the_providers() -> None:
    key = SimpleNamespace(host="provider", port=443, is_ssl=True, ssl=True)
    error = aiohttp.ClientConnectorError(key, OSError(errno.EMFILE, "Too many open files"))  # type: ignore[arg-type]  # what it shows

    failure = explain(classify_exception(error), Dialect(ADDRESS))

    assert (failure.kind, failure.cause) == (FailureKind.UNREACHABLE, "too many open files at provider:443")
    assert "ulimit -n" in failure.advice
    assert "OPENAI_BASE_URL" not in failure.advice


async def test_a_refused_connection_is_described_with_its_address() -> None:
    port = free_port()

    failure = failed(await make_call(f"http://127.0.0.1:{port}/v1"))

    assert failure.cause == f"connection refused at 127.0.0.1:{port}"
    assert failure.advice.startswith("The provider is unreachable")
    assert str(port) not in failure.advice


async def test_an_address_is_named_with_any_prompt() -> None:
    """A prompt of one letter is in everything that could be said."""
    port = free_port()

    failure = failed(await make_call(f"http://127.0.0.1:{port}/v1", replace(CALL, prompt="a")))

    assert str(port) in failure.cause


async def test_an_unknown_host_is_named() -> None:
    failure = failed(await make_call("http://provider.invalid/v1"))

    assert failure.cause == "no such host: provider.invalid"


async def test_plain_http_behind_https_is_reported_as_no_tls(provider: SandboxHandle) -> None:
    failure = failed(await make_call(f"{provider.url}/v1".replace("http:", "https:")))

    assert failure.kind is FailureKind.UNREACHABLE
    assert failure.cause.startswith("no TLS with 127.0.0.1:")
    assert failure.advice.startswith("There is no TLS with the provider")


async def test_the_providers_text_about_the_account_is_kept_without_the_key(script: Script) -> None:
    script.answer(401, envelope("Incorrect API key provided: sk-ours. Find yours there."))

    failure = failed(await make_call(script.url))

    assert failure.cause == "Incorrect API key provided: [hidden] Find yours there."
    assert "sk-ours" not in failure.message


async def test_a_text_that_repeats_the_prompt_is_dropped(script: Script) -> None:
    script.answer(500, envelope(f"Could not paint '{CALL.prompt}'."))

    failure = failed(await make_call(script.url))

    assert failure.cause == ""


async def test_a_field_with_a_key_in_it_is_left_out(script: Script) -> None:
    body = envelope(
        "No.", code="moderation_blocked", stage="input", echo={"authorization": "Bearer sk-ours-0123456"}
    )
    script.answer(400, body)

    failure = failed(await make_call(script.url))

    assert failure.details == {"stage": "input"}


async def test_a_refused_prompt_is_the_callers_and_has_no_advice(provider: SandboxHandle) -> None:
    await provider.behave(refuse_words=["heron"])

    failure = failed(await make_call(f"{provider.url}/v1"))

    assert (failure.cause, failure.advice) == ("", "")


def test_every_setting_that_advice_names_is_one() -> None:
    """Or the advice sends an operator to look for a setting that does not exist."""
    repository = Path(__file__).parents[3]
    text = (repository / "service/adapters/openai/troubleshooting.py").read_text("utf-8")
    settings = {name.upper() for name in Settings.model_fields}

    named = set(re.findall(r"(?:GATEWAY|OPENAI)_[A-Z_]+", text))
    assert {"OPENAI_API_KEY", "OPENAI_BASE_URL", "GATEWAY_DEADLINE_S"} <= named
    assert {name.removeprefix("GATEWAY_") for name in named} <= settings
