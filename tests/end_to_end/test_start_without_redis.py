"""A gateway that starts while Redis is away says so at once, and counts the orders it refuses for it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.http.house import GENERATIONS, until
from tests.processes import Gateway, free_port, run_gateway, run_valkey

SCRAPER = {"authorization": "Bearer a-key-for-scrapers"}
UNSEEN = {"authorization": f"Bearer ig_{'x' * 43}"}


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def gateway(tmp_path: Path, port: int) -> Iterator[Gateway]:
    settings = {
        "auth": "keys",
        "metrics_key": "a-key-for-scrapers",
        "sandbox": "true",
        "secrets": "a-secret-of-these-tests",
    }
    with run_gateway(tmp_path, redis_url=f"redis://127.0.0.1:{port}", **settings) as running:
        yield running


def state_of(gateway: Gateway) -> str:
    word: str = httpx.get(f"{gateway.url}/readyz?verbose", trust_env=False).json()["state"]
    return word


def lines_of(gateway: Gateway, name: str) -> list[str]:
    text = httpx.get(f"{gateway.url}/metrics", headers=SCRAPER, trust_env=False).text
    return [line for line in text.splitlines() if line.startswith(name)]


def test_an_outage_at_the_start_is_seen_by_readiness_and_metrics(gateway: Gateway, port: int) -> None:
    first = state_of(gateway)
    open_breakers = lines_of(gateway, 'imagegw_breaker_open{part="redis"}')
    for path in (GENERATIONS, "/generate_image", "/v1/models"):
        method = "GET" if path == "/v1/models" else "POST"
        answer = httpx.request(method, f"{gateway.url}{path}", headers=UNSEEN, json={}, trust_env=False)
        assert answer.status_code == 503
    httpx.post(f"{gateway.url}{GENERATIONS}", json={}, trust_env=False)  # 401: the caller's mistake

    assert first == "degraded"
    assert open_breakers == ['imagegw_breaker_open{part="redis"} 1.0']
    until(lambda: refused(gateway) >= 2)
    assert refused(gateway) == 2
    until(lambda: float(lines_of(gateway, 'imagegw_degraded_seconds_total{part="redis"}')[0].split()[1]) > 0)

    with run_valkey(port=port):
        until(lambda: state_of(gateway) == "ok")
        answer = httpx.post(f"{gateway.url}{GENERATIONS}", headers=UNSEEN, json={}, trust_env=False)
    assert answer.status_code == 401
    assert refused(gateway) == 2


def refused(gateway: Gateway) -> float:
    """Return the number of orders refused as Redis is away."""
    lines = [line for line in lines_of(gateway, "imagegw_orders_total{") if "state_unavailable" in line]
    assert all('outcome="refused"' in line and 'team="other"' in line for line in lines)
    return sum(float(line.rpartition(" ")[2]) for line in lines)
