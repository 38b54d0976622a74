"""Join the trace of a caller by its `traceparent` header."""

import asyncio
import socket
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from service.adapters.clock import SystemClock
from service.adapters.telemetry.trace_ids import current_trace_id, note_trace_id
from service.http.middleware import RequestScope
from service.http.templates import Templates
from service.http.trace_context import trace_id_of
from service.serve.server import make_server
from service.settings.variables import Settings
from tests.fakes.telemetry import FakeTelemetry

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


async def trace_ids(*traceparents: str) -> tuple[str, str]:
    """Return the ids of a request's trace: that of its log line, and that of exemplars in its order."""
    seen: list[str] = []

    async def order() -> None:
        seen.append(current_trace_id())

    async def app(scope: Scope, _: Receive, send: Send) -> None:
        seen.append(trace_id_of(scope))
        async with asyncio.TaskGroup() as group:
            group.create_task(order())
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    services = SimpleNamespace(
        clock=SystemClock(),
        telemetry=FakeTelemetry(),
        operations=SimpleNamespace(runner=SimpleNamespace(is_ready=True)),
        note_trace_id=note_trace_id,
    )

    async def with_services(scope: Any, receive: Receive, send: Send) -> None:
        await RequestScope(app, Templates(()))({**scope, "state": {"services": services}}, receive, send)

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(with_services), base_url="http://gateway"
    ) as client:
        await client.get("/", headers=[("traceparent", value) for value in traceparents])
    logged, exemplar = seen
    return logged, exemplar


@pytest.mark.parametrize("value", [f"00-{TRACE}-{SPAN}-01", f"cc-{TRACE}-{SPAN}-03-what-the-future-holds"])
async def test_a_request_has_the_trace_id_of_its_caller(value: str) -> None:
    assert await trace_ids(value) == (TRACE, TRACE)


async def test_a_trace_that_is_not_recorded_makes_no_exemplar() -> None:
    assert await trace_ids(f"00-{TRACE}-{SPAN}-00") == (TRACE, "")


@pytest.mark.parametrize(
    "values",
    [
        [],
        [""],
        [f"00-{'0' * 32}-{SPAN}-01"],
        [f"00-{TRACE}-{'0' * 16}-01"],
        [f"ff-{TRACE}-{SPAN}-01"],
        [f"00-{TRACE}-{SPAN}-01-more"],
        [f"00-{TRACE.upper()}-{SPAN}-01"],
        [f"00-{TRACE}-{SPAN}-1"],
        [f"00-{TRACE}-{SPAN}-01\t"],
        [f"00-{TRACE}-{SPAN}-01"] * 2,
    ],
    ids=lambda values: str(len(values)) + "".join(values)[:3],
)
async def test_a_malformed_context_counts_as_none(values: list[str]) -> None:
    assert await trace_ids(*values) == ("", "")


async def test_a_pipelined_request_does_not_inherit_the_trace_of_the_one_before() -> None:
    seen: list[str] = []
    app = FastAPI()

    @app.get("/{name}")
    async def note(name: str) -> None:
        if name == "first":
            note_trace_id(TRACE)
        seen.append(current_trace_id())

    started = asyncio.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    server = make_server(app, Settings(), started.set)
    async with asyncio.timeout(20), asyncio.TaskGroup() as group:
        group.create_task(server.serve([listener]))
        await started.wait()
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        heads = [f"GET /{name} HTTP/1.1\r\nhost: gateway\r\n" for name in ("first", "second")]
        writer.write(f"{heads[0]}\r\n{heads[1]}connection: close\r\n\r\n".encode())
        await reader.read()
        writer.close()
        server.should_exit = True

    assert seen == [TRACE, ""]
