"""Call an open gateway as the web pages do that its user happens to visit."""

from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from tests.http.conftest import SandboxJournal
from tests.http.house import BOUNDARY, EDITS, GENERATIONS, check_error, file, form, png, text
from tests.http.tenants import Tenants
from tests.processes import Gateway, run_gateway

PAGES = ["/", "/docs", "/v1/usage", "/v1/models", f"/v1/images/files/{'0' * 64}.png?t=open&exp=0&sig=x"]


def order(client: httpx.Client, prompt: str, **headers: str) -> httpx.Response:
    fields = {"model": "dall-e-3", "prompt": prompt}
    return client.post(GENERATIONS, json=fields, headers={k.replace("_", "-"): v for k, v in headers.items()})


@pytest.fixture
def published(
    gateway: Gateway, journal: SandboxJournal, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[httpx.Client]:
    """A gateway behind a proxy, with a public URL and no other names."""
    settings = {
        "public_url": "https://images.example.com",
        "allowed_hosts": "",
        "openai_base_url": f"{journal.url}/v1",
        "openai_api_key": "sk-ours",
    }
    with (
        run_gateway(tmp_path_factory.mktemp("published"), **settings) as running,
        httpx.Client(base_url=running.url, trust_env=False, timeout=20) as client,
    ):
        yield client


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.usefixtures("nothing_spent")
def test_a_rebound_name_reads_nothing(client: httpx.Client, path: str) -> None:
    answer = client.get(path, headers={"host": "rebound.evil.example"})

    check_error(answer, 403, code="host_not_allowed", param=None)


@pytest.mark.parametrize(
    "host",
    [
        "rebound.evil.example:8080",
        "localhost.evil.example",
        "evillocalhost",
        "gateway.evil.example",
        "127.1",
        "xgateway",
    ],
)
@pytest.mark.usefixtures("nothing_spent")
def test_a_rebound_name_orders_nothing(client: httpx.Client, prompt: str, host: str) -> None:
    answer = order(client, prompt, host=host, origin=f"http://{host}", sec_fetch_site="same-origin")

    check_error(answer, 403, code="host_not_allowed", param=None)
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_probes_and_scrapers_use_any_name(client: httpx.Client, path: str) -> None:
    assert client.get(path, headers={"host": "image-gateway.default.svc:8080"}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:80",
        "localhost.",
        "app.localhost:3000",
        "10.1.2.3",
        "[::1]:9",
        "[fe80::1]",
        "gateway:1",
        "GateWay.",
    ],
)
def test_names_of_this_machine_addresses_and_listed_names_pass(client: httpx.Client, host: str) -> None:
    assert client.get("/v1/usage", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": ""},
        {"origin": "http://localhost:3000", "host": "localhost:8080"},
        {"origin": "https://evil.example", "sec-fetch-site": "cross-site"},
        {"origin": "https://evil.example", "sec-fetch-site": "same-site"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
    ids=str,
)
@pytest.mark.usefixtures("nothing_spent")
def test_the_page_of_another_site_spends_nothing(client: httpx.Client, headers: dict[str, str]) -> None:
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    edit = form(text("prompt", uuid4().hex), text("model", "gpt-image-2"), file("image", png()))
    for answer in (
        client.post(GENERATIONS, json={"prompt": uuid4().hex}, headers=headers),
        client.post("/generate_image", json={"prompt": uuid4().hex}, headers=headers),
        client.post(EDITS, content=edit, headers={"content-type": kind, **headers}),
    ):
        check_error(answer, 403, code="cross_site_request", param=None)


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
@pytest.mark.usefixtures("nothing_spent")
def test_the_older_route_wants_json(client: httpx.Client, kind: str | None) -> None:
    headers = {} if kind is None else {"content-type": kind}
    answer = client.post("/generate_image", content=b'{"prompt": "a cat"}', headers=headers)

    assert (answer.status_code, answer.json()["details"]["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "localhost:8080", "origin": "http://localhost:8080", "sec-fetch-site": "same-origin"},
        {"host": "10.1.2.3:8080", "origin": "http://10.1.2.3:8080"},
        {"host": "gateway:8080", "origin": "http://GATEWAY:8080"},
        {"origin": "https://gateway", "sec-fetch-site": "cross-site"},
        {"origin": "https://images.example.com", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
    ],
    ids=str,
)
def test_own_and_allowed_pages_order(client: httpx.Client, prompt: str, headers: dict[str, str]) -> None:
    assert client.post(GENERATIONS, json={"prompt": prompt}, headers=headers).status_code == 200


def test_the_public_url_names_a_gateway_behind_a_proxy(published: httpx.Client, prompt: str) -> None:
    public = {"origin": "https://images.example.com", "host": "images.example.com"}
    assert published.post(GENERATIONS, json={"prompt": prompt}, headers=public).status_code == 200
    # A proxy that sends its own name for the gateway; the browser's field tells the page.
    assert order(published, prompt, origin=public["origin"]).status_code == 200
    assert published.get("/v1/usage", headers={"host": "gateway"}).status_code == 403
    answer = order(published, prompt, host=public["host"], origin="https://images.example.com.evil.example")
    check_error(answer, 403, code="cross_site_request", param=None)


def test_a_gateway_with_keys_answers_to_any_name(tenants: Tenants, prompt: str) -> None:
    """A page has no key; with one it may be any application."""
    with tenants.client("shop", "anna") as client:
        foreign = order(
            client, prompt, host="images.corp", origin="https://app.corp", sec_fetch_site="cross-site"
        )
    with httpx.Client(base_url=tenants.house.gateway.url, trust_env=False) as stranger:
        refused = order(stranger, prompt, host="images.corp")

    assert (foreign.status_code, refused.status_code) == (200, 401)
