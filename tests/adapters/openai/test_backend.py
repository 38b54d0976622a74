"""Successful calls of the provider: requests and answers, pace, proxies and certificates."""

import asyncio
import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from service.adapters.downloads import ImageDownloads
from service.adapters.openai.address import BackendAddress
from service.adapters.openai.backend import OpenAIBackend
from service.adapters.transport import open_transport
from service.domain.failures import Billing, FailureKind
from service.domain.images import CallMade, ImageCall, Realm
from service.sandbox.painting.watermark import read_watermark
from tests.adapters.openai.conftest import (
    CALL,
    TIMEOUTS,
    Script,
    Watched,
    failed,
    make_call,
    open_backend,
    run_script,
)
from tests.authority import Authority
from tests.processes import free_port
from tests.sandbox.process import SandboxHandle

GOOD = orjson.dumps({"created": 1, "data": [{"b64_json": base64.b64encode(b"image").decode()}]})
PROXY_VARIABLES = (
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "NETRC",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests are about the environment, so they begin with an empty one."""
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


class NoDownloads:
    """Implements `ports.provider.Downloads` for answers without URLs."""

    async def fetch(self, url: str, *, deadline_s: float) -> bytes:
        raise AssertionError(url)


def made(result: object) -> CallMade:
    assert isinstance(result, CallMade), result
    return result


async def test_the_provider_gets_the_call_and_the_gateways_credentials(script: Script) -> None:
    script.answer(200, GOOD)
    call = ImageCall(
        model="gpt-image-2",
        prompt="a häron \N{EAGLE}",
        n=2,
        parameters={"size": "1024x1024", "output_compression": 70},
        safety_identifier="hash-of-ann",
    )
    async with open_backend(f"{script.url}/", organization="org-1", project="proj-1") as backend:
        await backend.make(call, Watched())

    head, _, body = script.requests[0].partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "post /v1/images/generations http/1.1"
    assert {
        "authorization: bearer sk-ours",
        "content-type: application/json",
        "accept-encoding: identity",
        "openai-organization: org-1",
        "openai-project: proj-1",
        f"content-length: {len(body)}",
    } <= set(lines)
    assert orjson.loads(body) == {
        "model": "gpt-image-2",
        "prompt": "a häron \N{EAGLE}",
        "n": 2,
        "size": "1024x1024",
        "output_compression": 70,
        "safety_identifier": "hash-of-ann",
    }


async def test_without_organization_and_project_no_headers_name_them(script: Script) -> None:
    script.answer(200, GOOD)

    await make_call(script.url)

    assert b"openai-" not in script.requests[0].lower()


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("gpt-image-2", "gpt-image-2"),
        ("gpt-image-2-2026-04-21", "gpt-image-2-2026-04-21"),
        ("gpt-image-2-mini", "gpt-image-2-mini"),
        ("my-deployment", "my-deployment"),
        ("sk-ours-and-long", "other"),
        ("gpt-image-2:sk-other-0123", "other"),
        ("a-heron", "other"),
        ("gpt-image-2-a-heron", "other"),
        ("plain0secret", "other"),
    ],
)
async def test_a_model_with_a_key_or_the_prompt_in_it_is_not_named(
    script: Script, name: str, shown: str
) -> None:
    answer = {**orjson.loads(GOOD), "model": name}
    answer["data"][0]["revised_prompt"] = "a heron by plain0secret"
    script.answer(200, orjson.dumps(answer))

    async with open_backend(script.url, api_key="plain0secret") as backend:
        result = made(await backend.make(CALL, Watched()))

    assert result.answered_model == shown
    assert result.images[0].revised_prompt == "a heron by [hidden]"


async def test_images_come_back_unchanged(provider: SandboxHandle) -> None:
    call = ImageCall(model="gpt-image-2", prompt="three herons", n=3, parameters={}, safety_identifier="x")

    result = made(await make_call(f"{provider.url}/v1", call))

    (entry,) = await provider.journal()
    serials = [read_watermark(image.data).serial for image in result.images]
    assert serials == [image["serial"] for image in entry["images"]]
    assert result.resolved == {
        "background": "opaque",
        "output_format": "png",
        "quality": "low",
        "size": "1024x1024",
    }
    assert result.usage is not None
    assert result.usage["output_tokens"] == 3 * 196


async def test_fewer_images_than_asked_are_passed_on(provider: SandboxHandle) -> None:
    """The caller counts them; each image that came was paid for."""
    await provider.behave(images_short=1)
    call = ImageCall(model="gpt-image-2", prompt="herons", n=3, parameters={}, safety_identifier="x")

    assert len(made(await make_call(f"{provider.url}/v1", call)).images) == 2


async def test_a_connection_that_its_server_may_just_be_closing_is_not_used_again() -> None:
    """Servers close what was idle for 5 s; a call written into a closing connection has an unknown outcome."""
    calls_of_connections: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, length = len(calls_of_connections), 0
        calls_of_connections.append(0)
        head = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(GOOD)
        while line := await reader.readline():
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
            if line == b"\r\n":
                await reader.readexactly(length)
                calls_of_connections[number] += 1
                writer.write(head + GOOD)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        async with open_backend(url) as backend:
            for pause_s in (0, 0, 4):
                await asyncio.sleep(pause_s)
                made(await backend.make(CALL, Watched()))

    assert calls_of_connections == [2, 1]


async def test_progress_is_reported_right_before_sending(provider: SandboxHandle) -> None:
    await provider.behave(paint="flat")
    watched = Watched()
    async with open_backend(f"{provider.url}/v1") as backend:
        await backend.make(CALL, watched)

    assert len(watched.sent_at_s) == 1


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy"])
async def test_a_plain_provider_is_reached_through_the_proxy(
    script: Script, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """The script plays the proxy: it is asked for the whole URL, and the name is never looked up here."""
    monkeypatch.setenv(name, script.url.removesuffix("/v1"))
    script.answer(200, GOOD)

    made(await make_call("http://provider.invalid/v1"))

    assert script.requests[0].startswith(b"POST http://provider.invalid/v1/images/generations HTTP/1.1\r\n")


async def test_no_proxy_is_obeyed(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", script.url.removesuffix("/v1"))
    monkeypatch.setenv("NO_PROXY", "provider.invalid")

    failure = failed(await make_call("http://provider.invalid/v1"))

    assert (failure.kind, script.requests) == (FailureKind.UNREACHABLE, [])


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_this_machine_is_never_reached_through_a_proxy(
    provider: SandboxHandle, script: Script, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("HTTP_PROXY", script.url.removesuffix("/v1"))
    await provider.behave(paint="flat")

    made(await make_call(f"{provider.url.replace('127.0.0.1', host)}/v1"))

    assert script.requests == []


@pytest.mark.parametrize(
    "content", ["default login somebody password else", "machine provider.invalid login a password b"]
)
async def test_a_netrc_neither_replaces_the_key_nor_breaks_the_call(
    script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str
) -> None:
    """A developer's ~/.netrc often has an entry for everything."""
    (tmp_path / "netrc").write_text(content)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", script.url.removesuffix("/v1"))
    script.answer(200, GOOD)

    made(await make_call("http://provider.invalid/v1"))

    assert b"authorization: bearer sk-ours" in script.requests[0].lower()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "provider.invalid")


@asynccontextmanager
async def run_tls_provider(authority: Authority) -> AsyncIterator[int]:
    """Run a provider that speaks TLS; yields its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 200 OK\r\ncontent-length: {len(GOOD)}\r\n\r\n".encode() + GOOD)
        writer.close()

    context = authority.server_context()
    async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


async def test_a_company_certificate_authority_is_trusted_when_named(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run_tls_provider(authority) as port:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.root))

        made(await make_call(f"https://127.0.0.1:{port}/v1"))


async def test_a_server_with_an_untrusted_certificate_gets_no_key(authority: Authority) -> None:
    async with run_tls_provider(authority) as port:
        failure = failed(await make_call(f"https://127.0.0.1:{port}/v1"))

    assert (failure.kind, failure.billing) == (FailureKind.UNREACHABLE, Billing.NOT_BILLED)


@asynccontextmanager
async def run_tunnel(port: int, heads: list[bytes]) -> AsyncIterator[str]:
    """Run a proxy whose CONNECT leads to *port* whatever was asked for; yields its URL."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        back, forth = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        async with asyncio.TaskGroup() as group:
            group.create_task(pump(reader, forth))
            group.create_task(pump(back, writer))

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_tls_provider_is_reached_through_a_tunnel_that_sees_no_key(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    heads: list[bytes] = []
    async with run_tls_provider(authority) as port, run_tunnel(port, heads) as proxy:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.root))
        monkeypatch.setenv("HTTPS_PROXY", proxy)

        made(await make_call("https://provider.invalid/v1"))

    assert heads[0].startswith(b"CONNECT provider.invalid:443 HTTP/1.1\r\n")
    assert b"sk-ours" not in b"".join(heads)


PROXY_CREDENTIALS = b"Proxy-Authorization: Basic " + base64.b64encode(b"ann:plain@secret")


async def test_a_proxy_of_the_backend_beats_that_of_the_environment(
    script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for this machine, and where `NO_PROXY` names the backend: the operator has named it for this one."""
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("NO_PROXY", "provider.invalid,127.0.0.1")
    script.answer(200, GOOD)
    transport = {"proxy": script.url.removesuffix("/v1").replace("//", "//ann:plain%40secret@")}

    for url in ("http://provider.invalid/v1", "http://127.0.0.1:9/v1"):
        made(await make_call(url, transport=transport))

    first, second = script.requests
    assert first.startswith(b"POST http://provider.invalid/v1/images/generations HTTP/1.1\r\n")
    assert second.startswith(b"POST http://127.0.0.1:9/v1/images/generations HTTP/1.1\r\n")
    assert PROXY_CREDENTIALS in first


async def test_a_failing_proxy_of_the_backend_is_named_without_its_password() -> None:
    proxy = f"http://ann:plain-secret@127.0.0.1:{free_port()}"

    failure = failed(await make_call("https://provider.invalid/v1", transport={"proxy": proxy}))

    assert (failure.kind, failure.billing) == (FailureKind.UNREACHABLE, Billing.NOT_BILLED)
    assert "plain-secret" not in repr(failure)


async def test_a_backend_trusts_its_own_authority_and_no_other(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Authority(tmp_path, "provider.invalid")
    async with run_tls_provider(authority) as port:
        url = f"https://127.0.0.1:{port}/v1"
        made(await make_call(url, transport={"ca_file": str(authority.root)}))

        monkeypatch.setenv("SSL_CERT_FILE", str(authority.root))
        failure = failed(await make_call(url, transport={"ca_file": str(other.root)}))

    assert (failure.kind, failure.billing) == (FailureKind.UNREACHABLE, Billing.NOT_BILLED)
    assert failure.cause.startswith("no TLS")


async def test_a_backend_behind_tls_is_reached_through_its_own_proxy(authority: Authority) -> None:
    heads: list[bytes] = []
    async with run_tls_provider(authority) as port, run_tunnel(port, heads) as proxy:
        own = {
            "proxy": proxy.replace("//", "//ann:plain%40secret@"),
            "ca_file": str(authority.root),
        }
        made(await make_call("https://provider.invalid/v1", transport=own))

    [head] = heads
    assert head.startswith(b"CONNECT provider.invalid:443 HTTP/1.1\r\n")
    assert PROXY_CREDENTIALS in head
    assert b"sk-ours" not in head


@pytest.mark.parametrize("status", [403, 407, 502])
async def test_a_tunnel_that_is_refused_cost_nothing(monkeypatch: pytest.MonkeyPatch, status: int) -> None:
    async with run_script() as proxy:
        proxy.answer(status, b"no")
        monkeypatch.setenv("HTTPS_PROXY", proxy.url.removesuffix("/v1"))

        failure = failed(await make_call("https://provider.invalid/v1"))

    assert (failure.kind, failure.billing) == (FailureKind.UNREACHABLE, Billing.NOT_BILLED)


async def test_images_that_come_as_urls_are_fetched_at_once(provider: SandboxHandle) -> None:
    await provider.behave(paint="flat", answer_urls=True)

    images = made(await make_call(f"{provider.url}/v1", replace(CALL, n=3))).images

    assert [image.url for image in images] == [None] * 3
    (entry,) = await provider.journal()
    assert [hashlib.sha256(image.data).hexdigest() for image in images] == [
        image["sha256"] for image in entry["images"]
    ]


async def test_images_that_come_as_bytes_are_not_fetched(script: Script) -> None:
    entry = {"b64_json": base64.b64encode(b"image").decode(), "url": "https://169.254.169.254/"}
    script.answer(200, orjson.dumps({"data": [entry]}))

    (image,) = made(await make_call(script.url)).images

    assert (image.data, image.url) == (b"image", None)


@pytest.mark.parametrize(
    "url",
    [
        "https://169.254.169.254/latest/meta-data",
        "https://10.0.0.1/image.png",
        "http://example.com/image.png",
        "https://localhost/image.png",
        "file:///etc/passwd",
        "",
    ],
)
async def test_an_image_at_a_forbidden_address_is_lost_and_of_unknown_billing(
    script: Script, url: str
) -> None:
    """It was made, so it is paid for; the answer says nothing of the place."""
    script.answer(200, orjson.dumps({"data": [{"url": url}]}))

    failure = failed(await make_call(script.url))

    assert (failure.kind, failure.billing) == (FailureKind.BROKEN, Billing.UNKNOWN)
    assert not url or url not in failure.message


async def test_an_image_that_cannot_be_fetched_costs_no_other(script: Script) -> None:
    good = {"b64_json": base64.b64encode(b"image").decode()}
    lost = {"url": "https://10.0.0.1/image.png"}
    script.answer(200, orjson.dumps({"data": [lost, good], "usage": {"output_tokens": 7}}))

    answer = made(await make_call(script.url, replace(CALL, n=2)))

    assert [image.data for image in answer.images] == [b"image"]
    assert answer.usage == {"output_tokens": 7}


async def test_a_download_that_hangs_is_given_up(script: Script) -> None:
    async def hang(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await connected.wait()
        writer.close()

    connected = asyncio.Event()
    async with await asyncio.start_server(hang, "127.0.0.1", 0) as shelf:
        port = shelf.sockets[0].getsockname()[1]
        trusted = ImageDownloads(f"http://127.0.0.1:{port}")
        transport = open_transport(script.url, connections=1)
        backend = OpenAIBackend(
            BackendAddress(name="openai", realm=Realm.LIVE, url=script.url, api_key="sk"),
            transport=transport,
            timeouts=replace(TIMEOUTS, read_s=0.2),
            downloads=trusted,
        )
        script.answer(200, orjson.dumps({"data": [{"url": f"http://127.0.0.1:{port}/image.png"}]}))

        failure = failed(await backend.make(CALL, Watched()))
        connected.set()
        await transport.aclose()
        await trusted.aclose()

    assert (failure.kind, failure.billing) == (FailureKind.BROKEN, Billing.UNKNOWN)
    assert "in time" in failure.message
