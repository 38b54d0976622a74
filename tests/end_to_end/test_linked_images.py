"""A provider that answers links: fetched from the hosts an operator named, and from nowhere else inside.

The provider answers each prompt with the prompt itself, as the image's address.
"""

import contextlib
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import orjson
import pytest

from tests.authority import Authority
from tests.http.house import GENERATIONS, check_error, digest_of, files_of, png
from tests.processes import Gateway, run_gateway

PICTURE = png()
PRIVATE = ("https://10.0.0.1/a.png", "https://192.168.1.1/a.png", "https://[fd00::1]/a.png")
INSIDES = ("169.254.169.254", "100.100.100.200")
"""Where clouds tell a machine its secrets."""


@dataclass(slots=True)
class Host:
    """A server on this machine, and the paths it was asked for."""

    port: int
    asked: list[str] = field(default_factory=list)


@contextlib.contextmanager
def run_host(tls: ssl.SSLContext | None = None) -> Iterator[Host]:
    """Serve the picture to every GET, and to every order a link to what its prompt says."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host.asked.append(self.path)
            self._answer("image/png", PICTURE)

        def do_POST(self) -> None:
            order: dict[str, Any] = orjson.loads(self.rfile.read(int(self.headers["content-length"])))
            self._answer("application/json", orjson.dumps({"created": 1, "data": [{"url": order["prompt"]}]}))

        def _answer(self, kind: str, body: bytes) -> None:
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        host = Host(server.server_port)
        if tls is not None:
            server.socket = tls.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield host
        finally:
            server.shutdown()
            thread.join()


@dataclass(frozen=True, slots=True)
class Company:
    """A gateway that trusts `localhost` at the port of *listed*, and *other*, which nobody named."""

    client: httpx.Client
    gateway: Gateway
    listed: Host
    other: Host

    def order(self, link: str) -> httpx.Response:
        return self.client.post(GENERATIONS, json={"model": "gpt-image-2", "prompt": link})


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    directory = tmp_path_factory.mktemp("company")
    authority = Authority(directory, "localhost")
    with (
        pytest.MonkeyPatch.context() as environment,
        run_host() as provider,
        run_host(authority.server_context()) as listed,
        run_host(authority.server_context()) as other,
    ):
        environment.setenv("SSL_CERT_FILE", str(authority.root))
        with (
            run_gateway(
                directory / "data",
                openai_base_url=f"http://127.0.0.1:{provider.port}/v1",
                openai_api_key="sk-ours",
                download_hosts=",".join((f"localhost:{listed.port}", *INSIDES)),
            ) as gateway,
            httpx.Client(base_url=gateway.url, trust_env=False, timeout=30) as client,
        ):
            yield Company(client, gateway, listed, other)


def test_an_image_is_fetched_from_a_named_host(company: Company) -> None:
    answer = company.order(f"https://localhost:{company.listed.port}/named.png?token=a")

    assert [digest_of(file) for file in files_of(answer)] == [digest_of(PICTURE)]
    assert company.listed.asked == ["/named.png?token=a"]


def test_no_other_host_is_asked(company: Company) -> None:
    """Not at another port, by an address instead of the name, nor without TLS."""
    before = len(company.listed.asked)

    for link in (
        f"https://localhost:{company.other.port}/port.png",
        f"https://127.0.0.1:{company.listed.port}/address.png",
        f"https://localhost.evil.example:{company.listed.port}/name.png",
        f"http://localhost:{company.listed.port}/plain.png",
    ):
        check_refused(company, link)

    assert company.other.asked == []
    assert len(company.listed.asked) == before


@pytest.mark.parametrize("link", PRIVATE)
def test_an_unnamed_network_address_is_not_asked(company: Company, link: str) -> None:
    check_refused(company, link)


@pytest.mark.parametrize("host", INSIDES)
def test_internal_addresses_are_not_asked_even_if_named(company: Company, host: str) -> None:
    check_refused(company, f"https://{host}/latest/meta-data")


def check_refused(company: Company, link: str) -> None:
    """Check that the image is lost, that the house pays, and that no client retries."""
    answer = company.order(link)

    message = check_error(answer, 502, code="upstream_invalid_response", param=None)
    assert message == "The image provider linked to an image at an address that is not allowed."
    assert answer.headers["x-should-retry"] == "false"
    assert link not in answer.text
