"""Send large bodies: refused at the limit, discarded up to a bound, no delay for others."""

import itertools
import json

import httpx
import pytest

from tests.http.wire import ROUTE, Connection, ask, check_goes_on, check_has_id, check_refused, post
from tests.processes import Gateway

pytestmark = pytest.mark.usefixtures("nothing_tried", "nothing_sent")

MEGABYTE = 1024 * 1024
HEAD = f"POST {ROUTE} HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"
PIECE = b"x" * MEGABYTE


def test_a_prompt_of_a_megabyte_is_a_413_and_the_connection_stays_open(gateway: Gateway) -> None:
    with Connection(gateway.url) as connection:
        connection.send(post(json.dumps({"prompt": "x" * MEGABYTE}).encode()))
        answer = connection.read_answer()

        message = check_refused(answer, 413, code="request_too_large")
        check_has_id(answer)
        assert "262144 bytes" in message
        check_goes_on(connection)


def test_a_prompt_that_fits_into_the_body_is_refused_by_its_length(gateway: Gateway) -> None:
    body = json.dumps({"prompt": "x" * 262_100}).encode()

    check_refused(ask(gateway.url, post(body)), 400, code="string_above_max_length", param="prompt")


def test_a_hundred_megabytes_are_refused_at_once_and_then_discarded(gateway: Gateway) -> None:
    """A client that reads only after it has sent everything still gets to read its answer."""
    size_bytes = 100 * MEGABYTE
    with Connection(gateway.url) as connection:
        connection.send(f"{HEAD}Content-Length: {size_bytes}\r\n\r\n".encode())
        sent_bytes = connection.send_until_answered(itertools.repeat(PIECE, 100))
        answer = connection.read_answer()
        check_refused(answer, 413, code="request_too_large")
        assert sent_bytes < 50 * MEGABYTE

        for _ in range((size_bytes - sent_bytes) // MEGABYTE):
            connection.send(PIECE)

        check_goes_on(connection)


def test_an_endless_chunked_body_is_refused_and_cut_off(gateway: Gateway) -> None:
    chunk = f"{MEGABYTE:x}\r\n".encode() + PIECE + b"\r\n"
    with Connection(gateway.url) as connection:
        connection.send(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode())
        sent_bytes = connection.send_until_answered(itertools.repeat(chunk))
        check_refused(connection.read_answer(), 413, code="request_too_large")
        assert sent_bytes < 50 * MEGABYTE

        sent_bytes = connection.send_until_answered(itertools.repeat(chunk, 1000))

        assert sent_bytes < 300 * MEGABYTE
        assert connection.is_closed()


def test_a_body_may_have_chunks_of_one_byte(gateway: Gateway) -> None:
    body = b'{"prompt": "x", "n": 0}'
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body) + b"0\r\nX-Trailer: y\r\n\r\n"

    answer = ask(gateway.url, f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks)

    check_refused(answer, 400, code="integer_below_min_value", param="n")


def test_a_slow_body_delays_no_other_request(gateway: Gateway, client: httpx.Client) -> None:
    body = b'{"prompt": "x", "n": 0}'
    with Connection(gateway.url) as connection:
        connection.send(f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode())
        for byte in body:
            connection.send(bytes([byte]))
            # Nothing but another byte would let it go on with the body.
            assert client.get("/livez").status_code == 200
        answer = connection.read_answer()

    assert (answer.status, answer.json()["error"]["param"]) == (400, "n")


def test_a_client_that_disconnects_within_its_body_costs_nothing(gateway: Gateway) -> None:
    with Connection(gateway.url) as connection:
        connection.send(f"{HEAD}Content-Length: 1000\r\n\r\n".encode() + b'{"prompt": "x"')

    assert ask(gateway.url, post(b"{")).status == 400


def test_an_expect_continue_is_answered(gateway: Gateway) -> None:
    body = b'{"prompt": "x", "n": 0}'
    with Connection(gateway.url) as connection:
        connection.send(f"{HEAD}Content-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n".encode())
        assert connection.read_answer().status == 100
        connection.send(body)

        check_refused(connection.read_answer(), 400, code="integer_below_min_value", param="n")
