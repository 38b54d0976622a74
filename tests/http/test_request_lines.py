"""Check the log lines of failed requests: their reason and their level."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest

from tests.http.conftest import SandboxJournal
from tests.http.house import until
from tests.processes import Gateway

ORDERS = "/v1/images/generations"
Send = Callable[[httpx.Client, dict[str, str]], httpx.Response]


def line_of(gateway: Gateway, request_id: str) -> dict[str, Any]:
    """Return what the gateway wrote down of a request."""

    def found() -> list[dict[str, Any]]:
        return [line for line in gateway.log_lines("request") if line["request_id"] == request_id]

    until(found)
    [line] = found()
    return line


@pytest.mark.parametrize(
    ("send", "status", "code"),
    [
        (
            lambda client, id_: client.post(ORDERS, json={"prompt": "x", "n": 11}, headers=id_),
            400,
            "integer_above",
        ),
        (
            lambda client, id_: client.post(ORDERS, json={"n": 1}, headers=id_),
            400,
            "missing_required_parameter",
        ),
        (lambda client, id_: client.post(ORDERS, content=b"{", headers=id_), 415, "unsupported_media_type"),
        (lambda client, id_: client.get("/nowhere", headers=id_), 404, "unknown_url"),
        (lambda client, id_: client.get(ORDERS, headers=id_), 405, "method_not_allowed"),
        (lambda client, id_: client.get("/v1/images/files/x?sig=y", headers=id_), 404, "image_not_found"),
        (lambda client, id_: client.get("/%0a", headers=id_), 400, "malformed_request"),
        (lambda client, id_: client.get("/admin/keys", headers=id_), 403, "insufficient_permissions"),
        (
            lambda client, id_: client.post("/generate_image", json={}, headers=id_),
            400,
            "missing_required_parameter",
        ),
        (
            lambda client, id_: client.post(
                ORDERS,
                json={"prompt": uuid4().hex, "model": "dall-e-3"},
                headers={**id_, "cache-control": "only-if-cached"},
            ),
            504,
            "not_cached",
        ),
    ],
)
def test_failures_of_the_caller_are_logged_as_info_with_a_code(
    gateway: Gateway, client: httpx.Client, send: Send, status: int, code: str
) -> None:
    request_id = uuid4().hex

    answer = send(client, {"x-request-id": request_id})

    assert answer.status_code == status, answer.text
    line = line_of(gateway, request_id)
    assert (line["level"], line["status"]) == ("info", status)
    assert line["code"].startswith(code)


@pytest.fixture
def behave(journal: SandboxJournal) -> Iterator[Callable[..., None]]:
    """Replace the provider's behaviour for a test."""

    def behave(**fields: object) -> None:
        httpx.put(f"{journal.url}/sandbox/behaviour", json=fields, trust_env=False).raise_for_status()

    yield behave
    httpx.delete(f"{journal.url}/sandbox/behaviour", trust_env=False)


@pytest.mark.parametrize("body", [{"stream": True}, {}])
def test_failures_of_the_provider_are_logged_as_warnings(
    gateway: Gateway,
    client: httpx.Client,
    behave: Callable[..., None],
    prompt: str,
    body: dict[str, object],
) -> None:
    behave(failures=[{"status": 401}], failure_match=prompt)
    request_id = uuid4().hex

    order = {"model": "gpt-image-2", "prompt": prompt, **body}
    client.post(ORDERS, json=order, headers={"x-request-id": request_id})

    line = line_of(gateway, request_id)
    assert (line["status"], line["level"], line["code"]) == (502, "warning", "backend_misconfigured")


def test_a_stream_that_ends_in_an_error_is_a_warning_with_status_200(
    gateway: Gateway, client: httpx.Client, behave: Callable[..., None], prompt: str
) -> None:
    behave(stream_fault="silent_end")
    request_id = uuid4().hex

    order = {"model": "gpt-image-2", "prompt": prompt, "stream": True, "partial_images": 1}
    client.post(ORDERS, json=order, headers={"x-request-id": request_id})

    line = line_of(gateway, request_id)
    assert (line["status"], line["level"], line["code"]) == (200, "warning", "upstream_invalid_response")


def test_an_answer_without_a_failure_has_no_code(gateway: Gateway, client: httpx.Client) -> None:
    request_id = uuid4().hex

    client.get("/v1/models", headers={"x-request-id": request_id})

    assert "code" not in line_of(gateway, request_id)


@pytest.mark.parametrize("body", [b"nonsense", b"--b\r\n: x\r\n\r\n", b"--b\r\nA\x01: x\r\n\r\n"])
def test_a_malformed_form_is_one_line_with_its_request(
    gateway: Gateway, client: httpx.Client, body: bytes
) -> None:
    before = gateway.log.stat().st_size
    headers = {"content-type": "multipart/form-data; boundary=b", "x-request-id": uuid4().hex}
    assert client.post("/v1/images/edits", content=body, headers=headers).status_code == 400

    until(lambda: headers["x-request-id"] in gateway.log.read_text("utf-8"))
    written = gateway.log.read_bytes()[before:].decode().splitlines()
    [line] = [orjson.loads(each) for each in written if "/livez" not in each]
    assert (line["event"], line["level"], line["request_id"]) == ("request", "info", headers["x-request-id"])
    assert line["code"] == "invalid_multipart"
