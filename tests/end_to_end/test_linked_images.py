"""A provider that answers links: fetched from the hosts an operator named, and from nowhere else inside.

The provider answers each prompt with the prompt itself, as the image's address.
"""

import contextlib
import ssl
import threading
from collections import Counter
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


BILLED = {"input_tokens": 40, "output_tokens": 4000, "total_tokens": 4040}
"""The provider's count of a call for several images: $0.1202."""


@dataclass(slots=True)
class Host:
    """A server on this machine, and the paths it was asked for."""

    port: int
    asked: list[str] = field(default_factory=list)


@contextlib.contextmanager
def run_host(tls: ssl.SSLContext | None = None) -> Iterator[Host]:
    """Serve the picture to every GET but `/dead`, and to every order a link to each line of its prompt."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host.asked.append(self.path)
            self._answer("image/png", PICTURE, 404 if self.path == "/dead" else 200)

        def do_POST(self) -> None:
            order: dict[str, Any] = orjson.loads(self.rfile.read(int(self.headers["content-length"])))
            data = [{"url": line} for line in order["prompt"].splitlines()]
            usage = {"usage": BILLED} if len(data) > 1 else {}
            self._answer("application/json", orjson.dumps({"created": 1, "data": data, **usage}))

        def _answer(self, kind: str, body: bytes, status: int = 200) -> None:
            self.send_response(status)
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


def test_one_dead_link_of_four_is_booked_as_it_was_billed(company: Company) -> None:
    host = f"https://localhost:{company.listed.port}"
    prompt = f"{host}/1\n{host}/dead\n{host}/2\n{host}/3"
    before = total_of(company)

    answer = company.client.post(
        GENERATIONS,
        json={"model": "gpt-image-2", "prompt": prompt, "n": 4},
        headers={"prefer": "return=partial"},
    )

    assert (answer.status_code, len(answer.json()["data"])) == (200, 3)
    billed = 40 * 5 + 4000 * 30
    assert answer.headers["x-cost-microusd"] == str(billed)
    assert total_of(company) - before == Counter({("made", "images"): 3, ("made", "microusd"): billed})


def total_of(company: Company) -> Counter[tuple[str, str]]:
    """Return the sums of the caller's ledger by outcome and unit."""
    sums: Counter[tuple[str, str]] = Counter()
    for total in company.client.get("/v1/usage").json()["totals"]:
        for unit in ("images", "microusd"):
            sums[total["outcome"], unit] += total[unit]
    return sums


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
    """Check that the image is lost, and that no client retries."""
    answer = company.order(link)

    message = check_error(answer, 502, code="upstream_invalid_response", param=None)
    assert message == "The image provider linked to an image at an address that is not allowed."
    assert answer.headers["x-should-retry"] == "false"
    assert link not in answer.text
