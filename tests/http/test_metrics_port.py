"""Metrics have a port of their own if an operator wants it: no key opens it, and nothing else is behind it."""

import socket
from collections.abc import Iterator

import httpx
import pytest

from tests.http.tenants import ADMIN_KEY
from tests.processes import Gateway, free_port, run_gateway

METRICS_KEY = "a-key-for-prometheus"


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, port: int) -> Iterator[Gateway]:
    """A gateway that wants keys, and serves metrics at *port*."""
    settings = {"auth": "keys", "sandbox": "true", "admin_key": ADMIN_KEY, "metrics_key": METRICS_KEY}
    with run_gateway(tmp_path_factory.mktemp("guarded"), metrics_port=port, **settings) as gateway:
        yield gateway


@pytest.fixture
def scraper(port: int) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:
        yield client


@pytest.mark.usefixtures("guarded")
def test_metrics_need_no_key_at_their_port(scraper: httpx.Client) -> None:
    # By the name that Prometheus has for it, which the gateway need not know.
    answer = scraper.get("/metrics", headers={"host": "gateway-7.monitoring:9100"})

    assert answer.status_code == 200
    assert "imagegw_redis_up 1.0" in answer.text


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize(
    "path", ["/", "/livez", "/readyz", "/docs", "/v1/models", "/admin/keys", "/metrics/x", "/openapi.json"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_nothing_else_is_at_that_port(scraper: httpx.Client, method: str, path: str) -> None:
    answer = scraper.request(method, path, headers={"authorization": f"Bearer {ADMIN_KEY}"})

    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_url")


@pytest.mark.usefixtures("guarded")
def test_metrics_are_only_read(scraper: httpx.Client) -> None:
    assert scraper.post("/metrics").status_code == 405


@pytest.mark.parametrize("key", [None, METRICS_KEY, ADMIN_KEY])
def test_the_main_port_has_no_metrics(guarded: Gateway, port: int, key: str | None) -> None:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    # The Host field is the client's to choose.
    for host in (guarded.url.rpartition("/")[2], f"127.0.0.1:{port}"):
        answer = httpx.get(f"{guarded.url}/metrics", headers={**headers, "host": host}, trust_env=False)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_url")
        assert "GATEWAY_METRICS_PORT" in answer.json()["error"]["message"]


def test_the_main_port_still_asks_for_keys(guarded: Gateway) -> None:
    assert httpx.get(f"{guarded.url}/v1/models", trust_env=False).status_code == 401
    assert httpx.get(f"{guarded.url}/livez", trust_env=False).status_code == 200


@pytest.mark.usefixtures("guarded")
def test_a_scrape_is_counted_and_not_logged(scraper: httpx.Client, guarded: Gateway) -> None:
    scraper.get("/metrics")

    assert (
        'imagegw_http_requests_total{method="GET",route="/metrics",status="200"}'
        in scraper.get("/metrics").text
    )
    lines = [line for line in guarded.log_lines("request") if line["route"] == "/metrics"]
    # Those that went to the wrong port.
    assert {line["status"] for line in lines} <= {404}


def test_a_port_that_is_taken_is_reported(tmp_path_factory: pytest.TempPathFactory) -> None:
    directory = tmp_path_factory.mktemp("taken")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(AssertionError), run_gateway(directory, metrics_port=port):
            pass

    log = (directory / "gateway.log").read_text()
    assert (
        f"error: GATEWAY_METRICS_HOST 127.0.0.1, GATEWAY_METRICS_PORT {port}: Address already in use" in log
    )
