"""Send slowly: clients are cut off after the limits of `images` and `protocol`, on a faster clock.

The parser and the body reader run in a real server on a real socket; only its loop's clock is faster, so that
thirty seconds pass in little more than one.
"""

import asyncio
import selectors
import threading
import time
from collections.abc import Iterator, Mapping

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from service.http.bodies import MAX_BODY_S, MAX_SILENCE_S, Body
from service.http.errors import HANDLED, answer_error
from service.http.images import MAX_GENERATION_BYTES
from service.http.protocol import MAX_HEAD_S, GatewayHttpProtocol
from service.http.uploads import MAX_UPLOAD_S
from tests.fakes.rooms import a_room
from tests.http.wire import Connection, check_goes_on
from tests.processes import free_port

SPEED = 25
PATIENT_S = 3600
"""Longer than any test: a client cut off earlier was cut off for its head or its body."""
IDLE_S = 75
"""How long the gateway lets a connection idle."""
DRIP_S = 0.005
DRIPS = 2000
"""Many times what fits into the time for a head."""
REFUSED_BYTES = 100_000
REFUSED = b"POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % REFUSED_BYTES
"""An order that is answered before its body comes."""
LIVEZ = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"


class FastSelector(selectors.DefaultSelector):
    """Waits a fraction of the given time."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(None if timeout is None else timeout / SPEED)


class FastLoop(asyncio.SelectorEventLoop):
    """Lives many seconds in one."""

    def __init__(self) -> None:
        super().__init__(FastSelector())

    def time(self) -> float:
        return super().time() * SPEED


async def echo(request: Request) -> Response:
    chunks = Body(request, a_room(), MAX_GENERATION_BYTES, MAX_BODY_S)
    return PlainTextResponse(b"".join([chunk async for chunk in chunks]))


async def upload(request: Request) -> Response:
    chunks = Body(request, a_room(), MAX_GENERATION_BYTES, MAX_UPLOAD_S)
    return PlainTextResponse(b"".join([chunk async for chunk in chunks]))


async def refuse(_: Request) -> Response:
    return Response(status_code=401)


async def live(_: Request) -> Mapping[str, str] | Response:
    return Response(b'{"status":"ok"}', media_type="application/json")


@pytest.fixture(scope="module")
def fast_url() -> Iterator[str]:
    yield from serve(PATIENT_S)


@pytest.fixture(scope="module")
def hasty_url() -> Iterator[str]:
    """A gateway that disconnects idle clients, as by default."""
    yield from serve(IDLE_S)


def serve(idle_s: int) -> Iterator[str]:
    app = Starlette(
        routes=[
            Route("/echo", echo, methods=["POST"]),
            Route("/upload", upload, methods=["POST"]),
            Route("/refuse", refuse, methods=["POST"]),
            Route("/livez", live),
        ],
        exception_handlers=dict.fromkeys(HANDLED, answer_error),
    )
    port = free_port()
    config = uvicorn.Config(
        app,
        port=port,
        http=GatewayHttpProtocol,
        lifespan="off",
        log_config=None,
        timeout_keep_alive=idle_s,
    )
    server = uvicorn.Server(config)
    with asyncio.Runner(loop_factory=FastLoop) as runner:
        thread = threading.Thread(target=runner.run, args=(server.serve(),))
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{port}"
        server.should_exit = True
        thread.join()


def test_a_missing_body_is_a_408_and_closes_the_connection(fast_url: str) -> None:
    with Connection(fast_url) as connection:
        connection.send(
            b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
        )
        answer = connection.read_answer()

        assert answer.status == 408
        assert answer.json()["error"]["code"] == "request_timeout"
        assert answer.took_s > MAX_BODY_S / SPEED * 0.9
        assert connection.is_closed()


def test_an_upload_that_falls_silent_is_cut_off(fast_url: str) -> None:
    """Its room is kept from others: it does not get the time of an upload that goes on."""
    with Connection(fast_url) as connection:
        connection.send(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{")
        answer = connection.read_answer()

        assert answer.json()["error"]["code"] == "request_timeout"
        assert MAX_SILENCE_S / SPEED * 0.9 < answer.took_s < MAX_UPLOAD_S / SPEED * 0.5


def test_a_slow_upload_goes_on_for_longer_than_a_silence_may_last(fast_url: str) -> None:
    with Connection(fast_url) as connection:
        connection.send(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n")
        for _ in range(6):
            time.sleep(MAX_SILENCE_S / SPEED * 0.4)
            connection.send(b"x")
        answer = connection.read_answer()

    assert answer.body == b"xxxxxx"
    assert answer.took_s > MAX_SILENCE_S / SPEED * 1.5


@pytest.mark.parametrize("beginning", [b"", b"G", LIVEZ[:-1], LIVEZ[:-4]])
def test_an_endless_head_is_cut_off(fast_url: str, beginning: bytes) -> None:
    # Its time begins as soon as the server accepts, which may be before we know of it.
    started_s = time.monotonic()
    with Connection(fast_url) as connection:
        connection.send(beginning)

        assert connection.is_closed()

    assert time.monotonic() - started_s > MAX_HEAD_S / SPEED * 0.9


def test_a_dripping_head_is_cut_off(fast_url: str) -> None:
    """The time is for the whole head, not for each of its bytes."""
    with Connection(fast_url) as connection:
        connection.send(LIVEZ[:-2])

        assert connection.send_until_answered(_dripping(DRIPS)) < DRIPS


def test_the_time_for_a_head_restarts_with_each_request(fast_url: str) -> None:
    with Connection(fast_url) as connection:
        for _ in range(3):
            connection.send(LIVEZ[:10])
            time.sleep(MAX_HEAD_S / SPEED * 0.5)
            connection.send(LIVEZ[10:])
            assert connection.read_answer().status == 200


def test_an_idle_connection_is_not_an_unfinished_head(fast_url: str) -> None:
    with Connection(fast_url) as connection:
        check_goes_on(connection)
        assert connection.wait_quietly(MAX_HEAD_S / SPEED * 2) == b""
        check_goes_on(connection)


@pytest.mark.parametrize("rest", [b"", b"x"])
def test_an_answered_client_must_end_its_body_within_the_idle_time(hasty_url: str, rest: bytes) -> None:
    """Nothing reads it, and no other timer runs."""
    with Connection(hasty_url) as connection:
        connection.send(REFUSED)
        assert connection.read_answer().status == 401
        connection.send(rest)

        assert connection.is_closed()


def test_a_body_dripping_after_its_answer_is_cut_off(hasty_url: str) -> None:
    """The time is for all that is left of it, not for each of its bytes."""
    with Connection(hasty_url) as connection:
        connection.send(REFUSED)
        assert connection.read_answer().status == 401

        assert connection.send_until_answered(_dripping(DRIPS)) < DRIPS


@pytest.mark.slow
def test_a_client_that_ends_its_body_after_the_answer_may_go_on(hasty_url: str) -> None:
    with Connection(hasty_url) as connection:
        connection.send(REFUSED)
        assert connection.read_answer().status == 401
        time.sleep(IDLE_S / SPEED * 0.7)
        connection.send(bytes(REFUSED_BYTES))
        assert connection.wait_quietly(IDLE_S / SPEED * 0.7) == b""
        check_goes_on(connection)

        connection.send(REFUSED)
        assert connection.read_answer().status == 401
        connection.send(bytes(REFUSED_BYTES))
        assert connection.is_closed()


def test_blank_lines_do_not_keep_a_connection(hasty_url: str) -> None:
    """They may come before a head (RFC 9112, 2.2), and begin none."""
    with Connection(hasty_url) as connection:
        check_goes_on(connection)
        connection.send(b"\r\n")

        assert connection.is_closed()


def test_a_body_that_takes_longer_than_idling_is_read(hasty_url: str) -> None:
    """On a connection that was answered before, and idled."""
    with Connection(hasty_url) as connection:
        check_goes_on(connection)
        time.sleep((IDLE_S - MAX_BODY_S / 2) / SPEED)
        connection.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{")
        time.sleep(MAX_BODY_S * 0.8 / SPEED)
        connection.send(b"}")

        assert connection.read_answer().body == b"{}"


def _dripping(count: int) -> Iterator[bytes]:
    for _ in range(count):
        time.sleep(DRIP_S)
        yield b"x"
