"""A provider that does not work is found from the log alone, and from `/readyz?verbose`."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tests.http.house import House, open_house, until
from tests.processes import Gateway, free_port, run_gateway

KEY = "sk-proj-0123456789abcdefghij"
PROMPT = "a heron that nobody may read of"


class RefusingProvider(BaseHTTPRequestHandler):
    """Answers everything as OpenAI answers a wrong key."""

    def do_GET(self) -> None:
        self._refuse()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self._refuse()

    def _refuse(self) -> None:
        message = f"Incorrect API key provided: {self.headers['authorization'].split()[1]}."
        body = orjson.dumps(
            {"error": {"message": message, "type": "invalid_request_error", "code": "invalid_api_key"}}
        )
        self.send_response(401)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def refusing_url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), RefusingProvider)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def refused(refusing_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A gateway whose key the provider refuses."""
    provider = {"openai_base_url": refusing_url, "openai_api_key": KEY}
    with run_gateway(tmp_path_factory.mktemp("refused"), **provider) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("house")) as house:
        yield house


def order(url: str, **fields: object) -> httpx.Response:
    body = {"model": "gpt-image-2", "prompt": PROMPT, **fields}
    return httpx.post(f"{url}/v1/images/generations", json=body, trust_env=False, timeout=30)


def rows(url: str) -> dict[str, Any]:
    answer = httpx.get(f"{url}/readyz?verbose", trust_env=False)
    assert answer.status_code == 200, "a provider never makes a process unready"
    found: dict[str, Any] = answer.json()
    return found


def test_a_refused_key_is_reported_before_any_order(refused: Gateway) -> None:
    until(lambda: refused.log_lines("provider failed"))

    line = refused.log_lines("provider failed")[0]
    assert (line["level"], line["status"], line["code"]) == ("warning", 401, "invalid_api_key")
    assert line["advice"].startswith("OPENAI_API_KEY was refused (401 invalid_api_key)")
    assert line["cause"].startswith("Incorrect API key provided: [hidden]")
    assert KEY not in refused.log.read_text("utf-8")


def test_readiness_shows_advice_and_start_and_stays_green(refused: Gateway) -> None:
    until(lambda: rows(refused.url)["provider"] == "refused")

    body = rows(refused.url)

    assert body["status"] == "ok"
    assert body["details"]["provider"]["advice"].startswith("OPENAI_API_KEY was refused (401")
    assert body["details"]["provider"]["since"].endswith("+00:00")


def test_the_line_of_a_request_that_failed_over_it_is_a_warning_with_its_code(refused: Gateway) -> None:
    answer = order(refused.url)

    assert answer.json()["error"]["code"] == "backend_misconfigured"
    until(lambda: refused.log_lines("request"))
    line = next(line for line in refused.log_lines("request") if line["status"] == 502)
    assert (line["level"], line["code"]) == ("warning", "backend_misconfigured")
    assert PROMPT not in refused.log.read_text("utf-8")


def test_an_unreachable_provider_is_reported_with_its_address(tmp_path: Path) -> None:
    port = free_port()
    with run_gateway(tmp_path, openai_base_url=f"http://127.0.0.1:{port}/v1", openai_api_key=KEY) as gateway:
        until(lambda: rows(gateway.url)["provider"] == "unreachable")

        [line] = gateway.log_lines("provider failed")

        assert line["cause"] == f"connection refused at 127.0.0.1:{port}"
        assert str(port) not in str(rows(gateway.url))


def test_the_row_follows_calls(house: House) -> None:
    until(lambda: rows(house.gateway.url)["provider"] == "ok")
    house.behave(failures=[{"status": 429, "code": "insufficient_quota"}])

    order(house.gateway.url, prompt=f"{PROMPT} 1")
    after_failure = rows(house.gateway.url)
    order(house.gateway.url, prompt=f"{PROMPT} 2")

    assert after_failure["provider"] == "refused"
    assert "quota or billing" in after_failure["details"]["provider"]["advice"]
    assert rows(house.gateway.url)["provider"] == "ok"


def test_provider_messages_that_repeat_the_prompt_are_not_logged(house: House) -> None:
    prompt = f"{PROMPT} at dusk"
    house.behave(failures=[{"status": 503, "message": f"Too busy to paint {prompt}", "count": 9}])

    order(house.gateway.url, prompt=prompt)

    house.behave()
    line = house.gateway.log_lines("provider failed")[-1]
    assert (line["status"], line["kind"]) == (503, "overloaded")
    assert PROMPT not in house.gateway.log.read_text("utf-8")


def test_a_refused_prompt_is_no_failure_of_the_provider(house: House) -> None:
    before = rows(house.gateway.url)
    told = house.gateway.log_lines("provider failed")

    answer = order(house.gateway.url, prompt=f"{PROMPT} forbidden-word")

    assert answer.status_code == 400
    assert rows(house.gateway.url) == before
    assert house.gateway.log_lines("provider failed") == told
    until(lambda: any(line["status"] == 400 for line in house.gateway.log_lines("request")))
    line = next(line for line in house.gateway.log_lines("request") if line["status"] == 400)
    assert (line["level"], line["code"]) == ("info", "moderation_blocked")
    assert PROMPT not in house.gateway.log.read_text("utf-8")
