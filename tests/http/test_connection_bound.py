"""Hold more connections than the process may have: idle ones give way, and then newcomers are refused.

On a real server with the gateway's own parser and loop, on real sockets.
"""

import asyncio
import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import orjson
import pytest
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.http.connections import ConnectionBound
from service.http.protocol import GatewayHttpProtocol
from tests.http.house import until
from tests.http.wire import Answer, Connection, ConnectionEnded, get
from tests.processes import free_port

MOST = 4


class Server:
    """A server for at most `MOST` connections; */wait* is answered once *may_answer* is set."""

    def __init__(self) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self.may_answer = threading.Event()
        self.waiting = 0
        routes = [Route("/", self.answer), Route("/wait", self.wait)]
        protocol: Any = partial(GatewayHttpProtocol, bound=ConnectionBound(MOST))
        config = uvicorn.Config(
            Starlette(routes=routes), port=int(self.url.rpartition(":")[2]), http=protocol, log_config=None
        )
        self.server = uvicorn.Server(config)

    async def answer(self, _: Request) -> Response:
        return Response("answer")

    async def wait(self, _: Request) -> Response:
        self.waiting += 1
        await asyncio.to_thread(self.may_answer.wait)
        return Response("waited")

    @property
    def connections(self) -> int:
        return len(self.server.server_state.connections)


@pytest.fixture
def server() -> Iterator[Server]:
    held = Server()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        thread = threading.Thread(target=runner.run, args=(held.server.serve(),))
        thread.start()
        until(lambda: held.server.started)
        try:
            yield held
        finally:
            held.may_answer.set()
            held.server.should_exit = True
            thread.join()


def ask(connection: Connection) -> Answer:
    connection.send(get("/"))
    return connection.read_answer()


def test_the_connection_that_idles_for_longest_gives_way(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), ExitStack() as stack:
        kept = [stack.enter_context(Connection(server.url)) for _ in range(MOST)]
        for each in (*kept, kept[0]):
            assert ask(each).status == 200
            # The loop counts milliseconds.
            time.sleep(0.01)
        newcomers = [stack.enter_context(Connection(server.url)) for _ in range(2)]
        assert [ask(each).status for each in newcomers] == [200, 200]

        for each in kept[1:3]:
            with pytest.raises((ConnectionEnded, OSError)):
                ask(each)
        assert [ask(each).status for each in (kept[0], kept[3], *newcomers)] == [200] * 4

    [line] = [record for record in caplog.records if record.message == "connections full"]
    assert "ulimit -n" in vars(line)["advice"]


def test_connections_that_send_no_head_give_way(server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(3 * MOST):
            silent = stack.enter_context(socket.create_connection(("127.0.0.1", int(server.url[-5:]))))
            silent.sendall(b"GET / HT")
        with Connection(server.url) as newcomer:
            assert ask(newcomer).status == 200
        until(lambda: server.connections <= MOST)


def test_newcomers_are_refused_while_all_have_requests(server: Server) -> None:
    with ExitStack() as stack:
        busy = [stack.enter_context(Connection(server.url)) for _ in range(MOST)]
        for each in busy:
            each.send(get("/wait"))
        until(lambda: server.waiting == MOST)
        with Connection(server.url) as newcomer:
            answer = newcomer.read_answer()
        assert (answer.status, orjson.loads(answer.body)["error"]["code"]) == (503, "overloaded")
        assert answer.header("retry-after") == "1"

        server.may_answer.set()
        assert [each.read_answer().status for each in busy] == [200] * MOST
