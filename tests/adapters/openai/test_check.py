"""A free check of a provider records every outcome."""

from typing import Any

import orjson
import pytest

from service.adapters.openai.address import BackendAddress
from service.adapters.openai.check import ProviderCheck
from service.adapters.transport import open_transport
from service.domain.backends import KeyName
from service.domain.failures import FailureKind
from service.domain.images import Realm
from service.ports.telemetry import ProviderChecked
from tests.adapters.openai.conftest import Script
from tests.adapters.openai.test_dialects import EACH_KIND, Kind, head_of, url_for
from tests.fakes.telemetry import FakeTelemetry
from tests.processes import free_port
from tests.sandbox.process import SandboxHandle

KEY = KeyName("openai", "main")
JSON = "content-type: application/json"


async def look(url: str, **fields: Any) -> ProviderChecked:
    """Look once at the provider at *url*; *fields* are more of its address."""
    telemetry = FakeTelemetry()
    transport = open_transport(url, connections=1)
    address = BackendAddress(name="openai", realm=Realm.LIVE, url=url, **{"api_key": "sk-ours", **fields})
    try:
        await ProviderCheck(address, name=KEY, transport=transport, telemetry=telemetry).run()
    finally:
        await transport.aclose()
    [fact] = telemetry.of(ProviderChecked)
    return fact


def envelope(message: str) -> bytes:
    return orjson.dumps({"error": {"message": message, "type": None, "param": None, "code": None}})


async def test_a_list_of_models_means_that_the_key_is_accepted(provider: SandboxHandle) -> None:
    fact = await look(f"{provider.url}/v1")

    assert fact == ProviderChecked(backend="openai", key="main", failure=None, is_sure=True)


async def test_a_check_sends_the_key_and_orders_nothing(script: Script) -> None:
    script.answer(200, b'{"data": []}', JSON)

    await look(script.url)

    [request] = script.requests
    assert request.startswith(b"GET /v1/models HTTP/1.1\r\n")
    assert b"authorization: bearer sk-ours\r\n" in request.lower()


async def test_a_refused_key_is_reported_with_advice(script: Script) -> None:
    script.answer(401, envelope("Incorrect API key provided: sk-ours."), JSON)

    fact = await look(script.url)

    assert fact.failure is not None
    assert fact.failure.kind is FailureKind.MISCONFIGURED
    assert fact.failure.advice.startswith("OPENAI_API_KEY was refused (401)")
    assert "sk-ours" not in fact.failure.cause


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_provider_without_a_list_is_ok_and_unchecked(script: Script, status: int) -> None:
    script.answer(status, b'{"detail": "Not Found"}', JSON)

    fact = await look(script.url)

    assert fact == ProviderChecked(backend="openai", key="main", failure=None, is_sure=False)


async def test_a_key_that_may_not_list_is_ok_and_unchecked(script: Script) -> None:
    script.answer(403, envelope("You have insufficient permissions. Missing scopes: api.model.read."), JSON)

    fact = await look(script.url)

    assert fact == ProviderChecked(backend="openai", key="main", failure=None, is_sure=False)


async def test_a_base_url_without_a_version_is_found(script: Script) -> None:
    script.answer(404, b"<html>")

    fact = await look(script.url.removesuffix("/v1"))

    assert fact.failure is not None
    assert fact.failure.advice.startswith("The base URL lacks /v1 (404)")


async def test_a_web_page_is_not_a_list_of_models(script: Script) -> None:
    script.answer(200, b"<html>Log in</html>", "content-type: text/html")

    fact = await look(script.url)

    assert fact.failure is not None
    assert fact.failure.kind is FailureKind.BROKEN


async def test_an_unreachable_provider_is_reported() -> None:
    fact = await look(f"http://127.0.0.1:{free_port()}/v1")

    assert fact.failure is not None
    assert fact.failure.kind is FailureKind.UNREACHABLE


@pytest.mark.parametrize("reply", [b"", b"\x00", b"HTTP/1.1 401 No\r\ncontent-length: 9\r\n\r\n{"])
async def test_a_broken_answer_is_reported_and_not_raised(script: Script, reply: bytes) -> None:
    script.reply = reply

    fact = await look(script.url)

    assert fact.failure is not None
    assert fact.failure.kind is FailureKind.BROKEN


@EACH_KIND
async def test_each_kind_is_asked_for_its_list(script: Script, kind: Kind) -> None:
    script.answer(200, b'{"data": []}', JSON)

    fact = await look(url_for(kind, script), **kind.address)

    first, *lines = head_of(script.requests[0])
    assert first == f"GET {kind.models} HTTP/1.1"
    assert kind.headers <= {line.lower() for line in lines}
    assert fact == ProviderChecked(backend="openai", key="main", failure=None, is_sure=True)


async def test_azure_has_a_list_so_its_absence_is_a_wrong_address(script: Script) -> None:
    body = orjson.dumps({"error": {"code": "404", "message": "Resource not found"}})
    script.answer(404, body, JSON)

    fact = await look(script.url, kind="azure", key="main", api="classic", api_version="2025-04-01-preview")

    assert fact.failure is not None
    assert fact.failure.advice.startswith("the url of backend openai leads to no images API (404)")


async def test_a_compatible_server_may_have_no_list(script: Script) -> None:
    script.answer(404, b'{"detail": "Not Found"}', JSON)

    fact = await look(script.url, kind="openai-compatible", api_key="", errors="any")

    assert fact == ProviderChecked(backend="openai", key="main", failure=None, is_sure=False)


async def test_a_refused_key_of_azure_is_named(script: Script) -> None:
    script.answer(401, orjson.dumps({"statusCode": 401, "message": "Unauthorized."}), JSON)

    fact = await look(script.url, kind="azure", key="spare")

    assert fact.failure is not None
    assert fact.failure.kind is FailureKind.MISCONFIGURED
    assert fact.failure.advice.startswith("key spare of backend openai was refused (401)")
