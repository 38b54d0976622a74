"""Call gateways as the pages of other origins do: with a preflight, and to read the answer."""

from collections.abc import Iterator
from uuid import uuid4

import httpx
import pytest

from tests.http.conftest import SandboxJournal
from tests.http.house import GENERATIONS, check_error
from tests.http.offices import Office, open_office
from tests.http.test_request_lines import line_of
from tests.processes import Gateway, run_gateway

APP, OTHER = "https://app.corp", "https://evil.example"
SDK = "authorization,content-type,x-stainless-lang,x-stainless-retry-count,idempotency-key"


def ask(gateway: Gateway, origin: str, path: str = GENERATIONS, **headers: str) -> httpx.Response:
    """Send the preflight of an order, or of a request for another *path*."""
    asked = {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": SDK,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    return httpx.options(f"{gateway.url}{path}", headers=asked, trust_env=False)


def order(gateway: Gateway, origin: str, **fields: object) -> httpx.Response:
    headers = {"origin": origin, "sec-fetch-site": "cross-site"}
    body = {"model": "dall-e-3", "prompt": uuid4().hex, **fields}
    return httpx.post(f"{gateway.url}{GENERATIONS}", json=body, headers=headers, trust_env=False, timeout=20)


@pytest.fixture(scope="module")
def open_gateway(tmp_path_factory: pytest.TempPathFactory, journal: SandboxJournal) -> Iterator[Gateway]:
    """An open gateway that lets one origin call."""
    provider = {"openai_base_url": f"{journal.url}/v1", "openai_api_key": "sk-ours"}
    origins = f"{APP}, http://localhost:3000"
    with run_gateway(tmp_path_factory.mktemp("open"), cors_origins=origins, **provider) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A gateway with keys that lets one origin call."""
    with open_office(tmp_path_factory.mktemp("office"), cors_origins=APP) as office:
        yield office


@pytest.fixture(scope="module")
def closed_office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A gateway with keys that lets no page of another origin call."""
    with open_office(tmp_path_factory.mktemp("closed")) as office:
        yield office


def test_an_allowed_page_may_ask_without_a_key(office: Office) -> None:
    answer = ask(office.gateway, APP)

    assert answer.is_success
    assert answer.headers["access-control-allow-origin"] == APP
    assert "POST" in answer.headers["access-control-allow-methods"].split(", ")
    assert answer.headers["access-control-allow-headers"] == SDK
    assert "Origin" in answer.headers["vary"]
    # Cookies are no credentials here.
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("origin", [OTHER, "https://app.corp.evil.example", "http://app.corp", "null", "*"])
def test_other_pages_are_refused_before_they_send_a_key(office: Office, origin: str) -> None:
    answer = ask(office.gateway, origin)

    assert "GATEWAY_CORS_ORIGINS" in check_error(answer, 403, code="cross_site_request", param=None)
    assert "access-control-allow-origin" not in answer.headers


def test_a_page_may_call_a_gateway_on_a_private_network(office: Office) -> None:
    answer = ask(office.gateway, APP, access_control_request_private_network="true")

    assert answer.headers["access-control-allow-private-network"] == "true"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
def test_every_method_of_a_route_is_allowed(office: Office, method: str) -> None:
    assert ask(office.gateway, APP, access_control_request_method=method).is_success


def test_pages_read_answers_with_all_their_headers(office: Office) -> None:
    headers = {"authorization": f"Bearer {office.create_key()['key']}", "origin": APP}
    url = f"{office.gateway.url}{GENERATIONS}"

    answer = httpx.post(url, json={"prompt": uuid4().hex}, headers=headers, trust_env=False)

    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == APP
    assert answer.headers["access-control-expose-headers"] == "*"
    assert answer.headers["x-request-id"]


def test_pages_read_refusals(office: Office) -> None:
    """Without the header a page sees no status, only that something failed."""
    answer = order(office.gateway, APP)

    check_error(answer, 401, code="invalid_api_key", param=None)
    assert answer.headers["access-control-allow-origin"] == APP


def test_programs_and_other_pages_get_no_permission(office: Office) -> None:
    key = {"authorization": f"Bearer {office.create_key()['key']}"}
    for origin in ({}, {"origin": OTHER}):
        answer = httpx.get(f"{office.gateway.url}/v1/models", headers=key | origin, trust_env=False)

        assert answer.status_code == 200
        assert "access-control-allow-origin" not in answer.headers
        # A shared cache must not give this answer to an allowed page.
        assert "Origin" in answer.headers["vary"]


def test_an_allowed_page_orders_from_an_open_gateway(open_gateway: Gateway) -> None:
    for origin in (APP, "http://localhost:3000"):
        answer = order(open_gateway, origin)

        assert answer.status_code == 200, answer.text
        assert answer.headers["access-control-allow-origin"] == origin


def test_another_page_spends_nothing_at_an_open_gateway(
    open_gateway: Gateway, journal: SandboxJournal
) -> None:
    prompt = uuid4().hex

    answer = order(open_gateway, OTHER, prompt=prompt)

    assert "GATEWAY_CORS_ORIGINS" in check_error(answer, 403, code="cross_site_request", param=None)
    assert "access-control-allow-origin" not in answer.headers
    assert journal.of(prompt) == []


def test_an_allowed_page_is_no_other_name_for_the_gateway(open_gateway: Gateway) -> None:
    headers = {"host": "app.corp", "origin": APP}
    answer = httpx.get(f"{open_gateway.url}/v1/usage", headers=headers, trust_env=False)

    check_error(answer, 403, code="host_not_allowed", param=None)


def test_an_allowed_page_reads_a_stream_and_a_link(open_gateway: Gateway) -> None:
    stream = order(open_gateway, APP, model="gpt-image-2", stream=True, partial_images=1)
    link = order(open_gateway, APP).json()["data"][0]["url"]
    image = httpx.get(link, headers={"origin": APP, "range": "bytes=0-7"}, trust_env=False)

    assert stream.headers["access-control-allow-origin"] == APP
    assert stream.text.count("event: image_generation.") == 2
    assert (image.status_code, image.content) == (206, b"\x89PNG\r\n\x1a\n")
    assert image.headers["access-control-allow-origin"] == APP


def test_a_gateway_with_keys_may_let_every_page_call(tmp_path_factory: pytest.TempPathFactory) -> None:
    with open_office(tmp_path_factory.mktemp("every"), cors_origins="*") as office:
        assert ask(office.gateway, OTHER).headers["access-control-allow-origin"] == "*"
        answer = order(office.gateway, OTHER)

    check_error(answer, 401, code="invalid_api_key", param=None)
    assert answer.headers["access-control-allow-origin"] == "*"


def test_without_origins_no_page_may_read(gateway: Gateway) -> None:
    answer = httpx.get(f"{gateway.url}/v1/models", headers={"origin": APP}, trust_env=False)

    assert not any(name.startswith("access-control") or name == "vary" for name in answer.headers)


@pytest.mark.parametrize(
    "path", [GENERATIONS, "/v1/images/files/some.png", "/admin/keys", "/openapi.json", "/nowhere"]
)
def test_without_origins_a_preflight_names_the_setting(
    gateway: Gateway, closed_office: Office, path: str
) -> None:
    """A page sends no request after a failed preflight, so this is all that its developer sees."""
    for asked in (gateway, closed_office.gateway):
        answer = ask(asked, APP, path=path)

        assert "GATEWAY_CORS_ORIGINS" in check_error(answer, 403, code="cross_site_request", param=None)
        assert not any(name.startswith("access-control") for name in answer.headers)


def test_a_preflight_for_an_unknown_method_is_refused_in_the_envelope(office: Office) -> None:
    answer = ask(office.gateway, APP, access_control_request_method="BREW")

    check_error(answer, 400, code="malformed_request", param=None)


@pytest.mark.parametrize(("origin", "status"), [(APP, 200), (OTHER, 403)])
def test_every_preflight_is_told_in_the_log(office: Office, origin: str, status: int) -> None:
    request_id = ask(office.gateway, origin).headers["x-request-id"]

    line = line_of(office.gateway, request_id)
    assert (line["method"], line["status"]) == ("OPTIONS", status)


def test_a_refused_preflight_is_told_in_the_log(gateway: Gateway) -> None:
    request_id = ask(gateway, APP).headers["x-request-id"]

    line = line_of(gateway, request_id)
    assert (line["method"], line["status"], line["code"]) == ("OPTIONS", 403, "cross_site_request")


@pytest.mark.parametrize("headers", [{}, {"origin": APP}, {"access-control-request-method": "POST"}])
def test_options_of_programs_are_no_preflights(gateway: Gateway, headers: dict[str, str]) -> None:
    answer = httpx.options(f"{gateway.url}{GENERATIONS}", headers=headers, trust_env=False)

    check_error(answer, 405, code="method_not_allowed", param=None)
