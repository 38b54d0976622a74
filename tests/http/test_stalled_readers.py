"""Stop reading answers: stalled readers are disconnected, slow ones are not.

On a real server with the gateway's own parser and loop, on real sockets; only its patience is shorter.
"""

import asyncio
import base64
import contextlib
import logging
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import orjson
import pytest
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from service.app import create_app
from service.http.protocol import GatewayHttpProtocol
from service.settings.environment import load_settings
from service.wiring.process import BackingServices
from tests.http.house import png
from tests.http.wire import ask, get, post
from tests.processes import Valkey, free_port

STALL_S = 1.5
PATIENCE_S = 20.0
ANSWER_BYTES = 24 * 2**20
"""More than the kernel takes from a server for a client that reads nothing."""
PIECE = bytes(2**20)
COMPLETED = {
    "type": "image_generation.completed",
    "usage": {"total_tokens": 7, "input_tokens": 3, "output_tokens": 4},
}


class ImpatientProtocol(GatewayHttpProtocol):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, max_stall_s=STALL_S, **kwargs)


@dataclass(slots=True)
class Server:
    port: int
    connections: set[Any]
    was_begun: threading.Event = field(default_factory=threading.Event)
    """Set once the request that waits for its client to leave has begun to."""
    was_left: threading.Event = field(default_factory=threading.Event)
    """Set once that request, or the endless stream, ended because its client had gone."""


@contextlib.contextmanager
def run_server(app: ASGIApp, *, lifespan: Literal["on", "off"] = "off") -> Iterator[Server]:
    """Serve *app* until the block ends."""
    port = free_port()
    config = uvicorn.Config(
        app, port=port, http=ImpatientProtocol, lifespan=lifespan, log_config=None, timeout_keep_alive=10
    )
    running = uvicorn.Server(config)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        thread = threading.Thread(target=runner.run, args=(running.serve(),))
        thread.start()
        until(lambda: running.started)
        try:
            yield Server(port, running.server_state.connections)
        finally:
            running.should_exit = True
            thread.join()


@pytest.fixture
def server() -> Iterator[Server]:
    async def answer(_: Request) -> Response:
        return Response(bytes(ANSWER_BYTES))

    async def stream(_: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield PIECE
                    await asyncio.sleep(0)
            finally:
                running.was_left.set()

        return StreamingResponse(pieces())

    async def wait(request: Request) -> Response:
        running.was_begun.set()
        while not await request.is_disconnected():
            await request.receive()
        running.was_left.set()
        return Response()

    routes = [Route("/answer", answer), Route("/stream", stream), Route("/wait", wait)]
    with run_server(Starlette(routes=routes)) as running:
        yield running


def until(condition: Any) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def connect(server: Server, request: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)
    connection.sendall(request)
    return connection


def read_to_the_end(connection: socket.socket) -> int:
    """Return how many bytes came before the server hung up."""
    count = 0
    try:
        while data := connection.recv(2**20):
            count += len(data)
    except ConnectionResetError:
        pass
    return count


def read_at_least(connection: socket.socket, size_bytes: int, *, at_once: int = 2**20) -> int:
    """Return how many bytes came; the server must not hang up before."""
    count = 0
    while count < size_bytes:
        data = connection.recv(at_once)
        assert data, f"it hung up {size_bytes - count} bytes too early"
        count += len(data)
    return count


@pytest.mark.parametrize("field", [(), ("Connection: close",)])
def test_a_client_that_stops_reading_is_disconnected(server: Server, field: tuple[str, ...]) -> None:
    """Written in one piece, so that the application is through with it long before."""
    with connect(server, get("/answer", *field)) as connection:
        until(lambda: server.connections)
        until(lambda: not server.connections)

        assert read_to_the_end(connection) < ANSWER_BYTES


def test_a_client_that_stops_reading_a_stream_counts_as_gone(server: Server) -> None:
    with connect(server, get("/stream")) as connection:
        assert connection.recv(1000)

        assert server.was_left.wait(PATIENCE_S)
        until(lambda: not server.connections)


def test_a_client_that_stops_reading_counts_as_gone_with_pipelined_requests(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """The running request is told, not the latest; it would go on writing to a closed connection."""
    with connect(server, get("/stream") + get("/answer")) as connection:
        assert connection.recv(1000)

        assert server.was_left.wait(PATIENCE_S)
        until(lambda: not server.connections)

    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize("behind", [b"", get("/wait"), get("/wait")[:-1], get("/wait") * 3])
def test_a_disconnect_is_noticed_with_pipelined_requests(server: Server, behind: bytes) -> None:
    with connect(server, get("/wait") + behind):
        assert server.was_begun.wait(PATIENCE_S)

    assert server.was_left.wait(PATIENCE_S)


def test_a_disconnect_is_noticed_with_a_later_request(server: Server) -> None:
    with connect(server, get("/wait")) as connection:
        assert server.was_begun.wait(PATIENCE_S)
        connection.sendall(get("/wait"))

    assert server.was_left.wait(PATIENCE_S)


@pytest.mark.slow
def test_a_slow_reader_gets_the_whole_answer(server: Server) -> None:
    """A little at a time, which the kernel does not even tell the server about."""
    with connect(server, get("/answer")) as connection:
        count, until_s = 0, time.monotonic() + 5 * STALL_S
        while time.monotonic() < until_s:
            count += read_at_least(connection, 16 * 1024, at_once=16 * 1024)
            time.sleep(STALL_S / 10)
        assert count < ANSWER_BYTES / 8

        count += read_at_least(connection, ANSWER_BYTES - count)

    assert count >= ANSWER_BYTES


def test_a_reader_with_short_pauses_gets_the_whole_answer(server: Server) -> None:
    with connect(server, get("/answer")) as connection:
        count = 0
        for _ in range(6):
            time.sleep(STALL_S / 2)
            count += read_at_least(connection, 2**18)
        count += read_at_least(connection, ANSWER_BYTES - count)

    assert count >= ANSWER_BYTES


def test_a_client_that_read_everything_may_idle(server: Server) -> None:
    with connect(server, get("/answer")) as connection:
        read_at_least(connection, ANSWER_BYTES)
        time.sleep(STALL_S)
        connection.sendall(get("/answer"))

        assert connection.recv(4) == b"HTTP"


def test_the_order_of_a_stalled_reader_is_finished_and_stored(valkey: Valkey, tmp_path: Path) -> None:
    """As for every client that leaves: paid for once, and cached for the next order."""
    orders: list[bytes] = []
    image = base64.b64encode(png(1024)).decode()
    look = {"b64_json": image, "created_at": 1, "size": "1024x1024", "quality": "low", "background": "auto"}

    async def paint(request: Request) -> Response:
        orders.append(await request.body())
        events = [
            {"type": "image_generation.partial_image", "partial_image_index": number, **look}
            for number in range(3)
        ]
        body = b"".join(b"data: " + orjson.dumps(event) + b"\n\n" for event in [*events, COMPLETED | look])
        return Response(body, media_type="text/event-stream")

    with contextlib.ExitStack() as stack:
        provider = stack.enter_context(
            run_server(Starlette(routes=[Route("/v1/{path:path}", paint, methods=["POST"])]))
        )
        settings = load_settings(
            {
                "GATEWAY_DATA_DIR": str(tmp_path),
                "OPENAI_BASE_URL": f"http://127.0.0.1:{provider.port}/v1",
                "OPENAI_API_KEY": "sk-ours",
            }
        )
        backing = BackingServices(
            redis_url=valkey.url, sandbox_url=None, public_url="http://gateway", secrets=(uuid4().hex,)
        )
        gateway = stack.enter_context(run_server(create_app(settings, backing), lifespan="on"))
        order = {"model": "gpt-image-2", "prompt": f"a boat, number {uuid4().hex}"}
        streamed = post(orjson.dumps({**order, "stream": True, "partial_images": 3}))
        with connect(gateway, streamed) as connection:
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
            until(lambda: not gateway.connections)

        again = ask(f"http://127.0.0.1:{gateway.port}", post(orjson.dumps(order)))

    assert (again.status, again.header("x-cache")) == (200, "hit")
    assert len(orders) == 1
