"""A provider whose answers are odd: every paid image is delivered, and nothing it says is too much."""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import orjson
import pytest

from tests.http.house import GENERATIONS, check_error, data_url, digest_of, files_of, png
from tests.processes import run_gateway

IMAGE = png()
PLAIN = base64.b64encode(IMAGE).decode()
LONG = "9" * 2_000_000
MOST_BYTES = 100_000
"""Most bytes of a failure's answer, and of the facts about an image."""


def nested(levels: int) -> dict[str, Any]:
    details: dict[str, Any] = {}
    for _ in range(levels):
        details = {"inner": details}
    return details


class Provider(BaseHTTPRequestHandler):
    """Answers each order with the JSON that its prompt names."""

    answers: dict[str, tuple[int, bytes]] = {}  # noqa: RUF012 - one for all connections

    def do_POST(self) -> None:
        order: dict[str, Any] = orjson.loads(self.rfile.read(int(self.headers["content-length"])))
        status, body = self.answers[order["prompt"]]
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


Order = Callable[[int, object], httpx.Response]


@pytest.fixture(scope="module")
def order(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Order]:
    """Return a way to order from a provider that answers as told."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Provider) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        provider = {
            "openai_base_url": f"http://127.0.0.1:{server.server_port}/v1",
            "openai_api_key": "sk-ours",
        }
        with (
            run_gateway(tmp_path_factory.mktemp("odd"), **provider) as gateway,
            httpx.Client(base_url=gateway.url, trust_env=False, timeout=30) as client,
        ):

            def send(status: int, answer: object) -> httpx.Response:
                prompt = f"odd answer {len(Provider.answers)}"
                Provider.answers[prompt] = (status, json.dumps(answer).encode())
                n = len(answer["data"]) if isinstance(answer, dict) and "data" in answer else 1
                return client.post(GENERATIONS, json={"model": "gpt-image-2", "prompt": prompt, "n": n})

            yield send
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    "entry",
    [
        {"b64_json": base64.encodebytes(IMAGE).decode()},
        {"b64_json": data_url(IMAGE)},
        {"b64_json": base64.urlsafe_b64encode(IMAGE).decode().rstrip("=")},
        {"url": data_url(IMAGE)},
    ],
    ids=["lines", "data url", "url-safe", "data url as link"],
)
def test_an_image_in_any_spelling_of_base64_is_delivered(order: Order, entry: dict[str, str]) -> None:
    answer = order(200, {"created": 1, "data": [entry]})

    assert answer.status_code == 200, answer.text
    assert [digest_of(file) for file in files_of(answer)] == [digest_of(IMAGE)]


def test_one_unreadable_image_does_not_lose_its_siblings(order: Order) -> None:
    answer = order(200, {"created": 1, "data": [{"b64_json": PLAIN}, {"b64_json": "*"}, None]})

    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["images_kept"]) == (502, "partial_failure", 1)


@pytest.mark.parametrize(
    "extra",
    [
        {"size": LONG, "quality": LONG, "model": LONG},
        {"usage": {LONG: 1, "output_tokens": 5, **{f"n{i}": i for i in range(5000)}}},
    ],
    ids=["strings", "counts"],
)
def test_what_a_provider_says_about_an_image_is_bounded(order: Order, extra: dict[str, object]) -> None:
    answer = order(200, {"created": 1, "data": [{"b64_json": PLAIN}], **extra})

    assert answer.status_code == 200
    assert [digest_of(file) for file in files_of(answer)] == [digest_of(IMAGE)]
    assert len(answer.content) < MOST_BYTES


@pytest.mark.parametrize(
    "details",
    [nested(250), nested(260), {"inner_error": LONG}, {LONG: 1}, {str(i): i for i in range(100_000)}],
    ids=["deep", "deeper", "long", "name", "many"],
)
def test_details_of_any_size_are_survived(order: Order, details: dict[str, Any]) -> None:
    answer = order(400, {"error": {"message": "No.", "code": "odd", "hint": "less", **details}})

    assert check_error(answer, 400, code="odd", param=None) == "No."
    assert answer.json()["error"]["hint"] == "less"
    assert len(answer.content) < MOST_BYTES
