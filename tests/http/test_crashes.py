"""Crash inside the layers of the gateway: what a web page, a client and an operator see of it."""

from types import SimpleNamespace
from typing import Any

import httpx
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.adapters.clock import SystemClock
from service.http.cross_origin import CrossOrigin
from service.http.middleware import AnswerCrashes, RequestScope
from service.http.templates import Templates
from service.ports.telemetry import Crashed, RequestHandled
from tests.fakes.telemetry import FakeTelemetry

PAGE = "https://app.corp"


async def crash(scope: Scope, receive: Receive, send: Send) -> None:
    """Crash at once, or after the head of the answer at `/late`."""
    if scope["path"] == "/late":
        await send({"type": "http.response.start", "status": 200, "headers": []})
    raise ValueError("the password is swordfish")


def scope_of(path: str, telemetry: FakeTelemetry) -> Scope:
    services = SimpleNamespace(telemetry=telemetry)
    return {"type": "http", "path": path, "state": {"services": services, "request_id": "req_1"}}


async def receive_nothing() -> Message:
    return {"type": "http.disconnect"}


async def ask(path: str, telemetry: FakeTelemetry) -> httpx.Response:
    services = SimpleNamespace(
        clock=SystemClock(),
        telemetry=telemetry,
        operations=SimpleNamespace(runner=SimpleNamespace(is_ready=True)),
    )
    layers: ASGIApp = RequestScope(CrossOrigin(AnswerCrashes(crash), origins=[PAGE]), Templates(()))

    async def app(scope: Any, receive: Receive, send: Send) -> None:
        await layers({**scope, "state": {"services": services}}, receive, send)

    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        return await client.get(path, headers={"origin": PAGE})


async def test_a_page_reads_the_answer_to_a_crash() -> None:
    telemetry = FakeTelemetry()

    answer = await ask("/", telemetry)

    assert answer.status_code == 500
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.json()["error"]["code"] == "internal"
    assert "swordfish" not in answer.text


async def test_a_crash_is_counted_with_the_id_that_its_client_has() -> None:
    telemetry = FakeTelemetry()

    answer = await ask("/", telemetry)

    (crashed,), (handled,) = telemetry.of(Crashed), telemetry.of(RequestHandled)
    assert (crashed.where, crashed.id) == ("request", answer.headers["x-request-id"])
    assert handled.status == 500


async def test_a_crash_after_the_head_adds_nothing_to_the_answer() -> None:
    telemetry, sent = FakeTelemetry(), list[Message]()

    async def send(message: Message) -> None:
        sent.append(message)

    await AnswerCrashes(crash)(scope_of("/late", telemetry), receive_nothing, send)

    assert [message["type"] for message in sent] == ["http.response.start"]
    assert len(telemetry.of(Crashed)) == 1
