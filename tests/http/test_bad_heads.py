"""Send invalid heads: answered in the envelope, on a connection that is in order or closed."""

import httpx
import orjson
import pytest

from tests.http.house import until
from tests.http.wire import (
    ROUTE,
    Connection,
    ask,
    check_goes_on,
    check_has_id,
    check_refused,
    get,
    post,
)
from tests.processes import Gateway

pytestmark = pytest.mark.usefixtures("nothing_tried", "nothing_sent")

BODY = b'{"model": "dall-e-3", "prompt": "this must not be made"}'
HEAD = b"POST /v1/images/generations HTTP/1.1\r\nHost: gateway\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    ("method", "target", "status", "code"),
    [
        ("GET", ROUTE, 405, "method_not_allowed"),
        ("PUT", ROUTE, 405, "method_not_allowed"),
        ("DELETE", ROUTE, 405, "method_not_allowed"),
        ("PATCH", ROUTE, 405, "method_not_allowed"),
        ("TRACE", ROUTE, 405, "method_not_allowed"),
        ("POST", "/livez", 405, "method_not_allowed"),
        ("POST", "/metrics", 405, "method_not_allowed"),
        ("POST", "/v1/models", 405, "method_not_allowed"),
        ("DELETE", "/v1/models/dall-e-3", 405, "method_not_allowed"),
        ("GET", "/v1/images", 404, "unknown_url"),
        ("GET", "/v1/images/edits", 405, "method_not_allowed"),
        ("GET", "/v1/images/files/", 404, "unknown_url"),
        ("GET", "/%ff%fe", 404, "unknown_url"),
        ("GET", "/%00", 400, "malformed_request"),
        ("GET", "//livez", 404, "unknown_url"),
        ("GET", "/../livez", 404, "unknown_url"),
        ("GET", "/admin/", 403, "insufficient_permissions"),
        ("OPTIONS", "*", 404, "unknown_url"),
    ],
)
def test_unknown_routes_and_methods_answer_in_the_envelope(
    gateway: Gateway, method: str, target: str, status: int, code: str
) -> None:
    with Connection(gateway.url) as connection:
        connection.send(get(target, method=method))
        answer = connection.read_answer()

        check_refused(answer, status, code=code)
        check_has_id(answer)
        assert (answer.header("allow") is not None) == (status == 405)
        check_goes_on(connection)


@pytest.mark.parametrize(
    "hosts",
    ["", "Host: a\r\nHost: b\r\n", "Host: a\r\nHost: a\r\n", "Host: a\r\nhost: b\r\nHOST: c\r\n"],
    ids=["none", "two", "twice the same", "three"],
)
@pytest.mark.parametrize("route", ["/livez", ROUTE])
def test_a_request_names_exactly_one_host(gateway: Gateway, hosts: str, route: str) -> None:
    with Connection(gateway.url) as connection:
        lines = (
            f"POST {route} HTTP/1.1\r\n{hosts}Content-Type: application/json\r\nContent-Length: {len(BODY)}"
        )
        connection.send(lines.encode() + b"\r\n\r\n" + BODY)
        answer = connection.read_answer()

        check_refused(answer, 400, code="malformed_request")
        check_has_id(answer)
        check_goes_on(connection)


NO_HTTP = {
    "a length, then chunked": HEAD + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked, then a length": HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "two lengths": HEAD + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\n" + BODY,
    "the same length twice": HEAD + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "a negative length": HEAD + b"Content-Length: -1\r\n\r\n",
    "a length with a plus": HEAD + b"Content-Length: +2\r\n\r\n{}",
    "a length beyond all numbers": HEAD + b"Content-Length: 99999999999999999999999\r\n\r\n",
    "a length that is a word": HEAD + b"Content-Length: two\r\n\r\n{}",
    "a chunk of ZZ": HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n{}\r\n0\r\n\r\n",
    "a chunk of +2": HEAD + b"Transfer-Encoding: chunked\r\n\r\n+2\r\n{}\r\n0\r\n\r\n",
    "a chunk of 2**64": HEAD + b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n",
    "a chunk longer than told": HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}}}\r\n0\r\n\r\n",
    "an encoding nobody knows": HEAD + b"Transfer-Encoding: xchunked\r\n\r\n" + BODY,
    "chunked, then identity": HEAD + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "a folded field": b"GET /livez HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n",
    "a space before the colon": b"GET /livez HTTP/1.1\r\nHost : a\r\n\r\n",
    "a field without a name": b"GET /livez HTTP/1.1\r\nHost: a\r\n: b\r\n\r\n",
    "a field without a colon": b"GET /livez HTTP/1.1\r\nHost: a\r\nabc\r\n\r\n",
    "a NUL in a field": b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Request-Id: a\x00b\r\n\r\n",
    "a CR in a field": b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Request-Id: a\rSet-Cookie: b\r\n\r\n",
    "a LF in a field": b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Request-Id: a\nSet-Cookie: b\r\n\r\n",
    "a DEL in a field": b"GET /livez HTTP/1.1\r\nHost: a\r\nX-Request-Id: \x7f\r\n\r\n",
    "a NUL in a key": HEAD + b"Idempotency-Key: a\x00b\r\nContent-Length: 2\r\n\r\n{}",
    "a CR in a key": HEAD + b"Idempotency-Key: a\rb\r\nContent-Length: 2\r\n\r\n{}",
    "a raw non-ASCII path": "GET /é HTTP/1.1\r\nHost: a\r\n\r\n".encode(),
    "a method nobody knows": b"BREW /livez HTTP/1.1\r\nHost: a\r\n\r\n",
    "CONNECT": b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
    "the HTTP/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9.9": b"GET /livez HTTP/9.9\r\nHost: a\r\n\r\n",
    "a version that is a word": b"GET /livez HTTP/one\r\nHost: a\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(200)) + b"\r\n\r\n",
    "noise": bytes(range(128, 256)) * 3 + b"\r\n\r\n",
    "an order behind another body": HEAD + b"Content-Length: 2\r\n\r\n{}GARBAGE\r\n\r\n",
}


@pytest.mark.parametrize("request_bytes", NO_HTTP.values(), ids=NO_HTTP)
def test_bytes_that_are_not_http_are_answered_and_disconnected(
    gateway: Gateway, request_bytes: bytes
) -> None:
    with Connection(gateway.url) as connection:
        connection.send(request_bytes)
        answer = connection.read_answer()

        check_refused(answer, 400, code="malformed_request")
        assert answer.header("connection") == "close"
        assert connection.is_closed()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),
        bytes(range(128, 256)) * 3,
        b"GET /livez HTTP/1.1\nHost: a\n\n",
    ],
    ids=["TLS", "noise", "bare line feeds"],
)
def test_bytes_that_cannot_become_http_are_refused_at_once(gateway: Gateway, request_bytes: bytes) -> None:
    """A client that opens the plain port with https:// would otherwise wait for ten seconds.

    A head that was waited for is cut off without a word; these have no line end, and are answered.
    """
    with Connection(gateway.url) as connection:
        connection.send(request_bytes)

        check_refused(connection.read_answer(), 400, code="malformed_request")


def test_http_1_0_is_served_without_a_host_and_closed(gateway: Gateway) -> None:
    with Connection(gateway.url) as connection:
        connection.send(b"GET /livez HTTP/1.0\r\n\r\n")
        answer = connection.read_answer()

        assert (answer.status, answer.json()) == (200, {"status": "ok"})
        check_has_id(answer)
        assert connection.is_closed()


def test_http_1_0_gets_the_envelope_too(gateway: Gateway) -> None:
    answer = ask(gateway.url, post(b"{").replace(b"HTTP/1.1", b"HTTP/1.0"))

    check_refused(answer, 400, code=None)


@pytest.mark.parametrize("size_bytes", [33 * 1024, 70_000, 10_000_000])
@pytest.mark.parametrize("part", ["path", "field", "many fields"])
def test_a_head_that_is_too_large_is_refused(gateway: Gateway, part: str, size_bytes: int) -> None:
    heads = {
        "path": b"GET /" + b"a" * size_bytes + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        "field": b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"a" * size_bytes + b"\r\n\r\n",
        "many fields": b"GET /livez HTTP/1.1\r\nHost: a\r\n"
        + b"X: abcd\r\n" * (size_bytes // 9 + 1)
        + b"\r\n",
    }
    head = heads[part]
    with Connection(gateway.url) as connection:
        pieces = (head[start : start + 16_384] for start in range(0, len(head), 16_384))
        sent_bytes = connection.send_until_answered(pieces)
        answer = connection.read_answer()

        check_refused(answer, 431, code="headers_too_large")
        assert answer.header("connection") == "close"
        assert sent_bytes <= 4_000_000


def test_a_head_of_the_maximum_size_is_served(gateway: Gateway) -> None:
    answer = ask(gateway.url, get("/livez", "X: " + "a" * 32_000))

    assert answer.status == 200


HARMLESS_IDS = ["abc", "req_0123.x-Y", "a" * 128]
HARMFUL_IDS = [
    "a b",
    "a" * 129,
    "\xe9",
    "a%0d%0aSet-Cookie:x",
    '"><script>',
    "",
    "{}",
    "a,b",
    "\t",
]


@pytest.mark.parametrize("value", HARMLESS_IDS)
@pytest.mark.parametrize(
    "request_bytes", [get("/livez"), get("/nowhere"), post(b"{")], ids=["200", "404", "400"]
)
def test_a_valid_request_id_is_returned(gateway: Gateway, request_bytes: bytes, value: str) -> None:
    head, _, rest = request_bytes.partition(b"\r\n")

    answer = ask(gateway.url, head + f"\r\nX-Request-ID: {value}\r\n".encode("latin-1") + rest)

    assert answer.all("x-request-id") == [value]


@pytest.mark.parametrize("value", HARMFUL_IDS)
def test_any_other_request_id_is_replaced(gateway: Gateway, value: str) -> None:
    request = get("/livez", f"X-Request-ID: {value}")

    with Connection(gateway.url) as connection:
        connection.send(request)
        answer = connection.read_answer()

    assert answer.status == 200
    check_has_id(answer)
    assert answer.all("set-cookie") == []


def test_the_first_of_two_request_ids_counts_and_comes_back_once(gateway: Gateway) -> None:
    answer = ask(gateway.url, get("/livez", "X-Request-ID: one", "X-Request-ID: two"))

    assert answer.all("x-request-id") == ["one"]


def test_every_log_line_stays_one_json_object(gateway: Gateway) -> None:
    """Callers must not be able to forge lines of the log."""
    forged = '{"event":"request","user":"somebody"}'
    log_bytes = gateway.log.stat().st_size

    for field in ("X-Request-ID", "User-Agent", "Idempotency-Key", "Authorization"):
        ask(gateway.url, get("/v1/models", f"{field}: a\\n{forged}"))
        ask(gateway.url, get(f"/nowhere?a=%0a{forged}".replace('"', "%22")))
    ask(gateway.url, post(orjson.dumps({"prompt": "x", "model": f"a\n{forged}", "user": f"b\n{forged}"})))

    # A line is written after its answer.
    until(lambda: gateway.log.read_bytes().count(b"\n", log_bytes) >= 9)
    lines = gateway.log.read_bytes()[log_bytes:].splitlines()
    assert all(isinstance(orjson.loads(line), dict) for line in lines)
    assert b"somebody" not in b"".join(lines)


def test_other_clients_are_served_while_one_is_sending_a_large_head(
    gateway: Gateway, client: httpx.Client
) -> None:
    head = b"GET /livez HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 30_000
    with Connection(gateway.url) as connection:
        for start in range(0, len(head), 1000):
            connection.send(head[start : start + 1000])
            assert client.get("/livez").status_code == 200

        connection.send(b"\r\n\r\n")
        assert connection.read_answer().json() == {"status": "ok"}


@pytest.mark.parametrize("host", ["a/?x=y", "a#", "[", "@", "a b", "a:99999", "[::1", "a\\b"])
def test_a_malformed_host_is_none_of_an_open_gateway(gateway: Gateway, host: str) -> None:
    lines = f"GET /v1/images/files/{'0' * 64}.png?t=open&exp=0&sig=x HTTP/1.1\r\nHost: {host}\r\n\r\n"

    answer = ask(gateway.url, lines.encode())

    check_refused(answer, 403, code="host_not_allowed")


@pytest.mark.parametrize("host", ["gateway", "", "127.0.0.1/?x=y", "localhost#", "[::1]:8080"])
def test_a_host_does_not_change_the_route(gateway: Gateway, host: str) -> None:
    """Host confusion made a framework route by one path and check another (2026)."""
    lines = f"GET /v1/images/files/{'0' * 64}.png?t=open&exp=0&sig=x HTTP/1.1\r\nHost: {host}\r\n\r\n"

    answer = ask(gateway.url, lines.encode())

    check_refused(answer, 403, code="invalid_link")


@pytest.mark.parametrize("target", ["http://elsewhere/livez", "http://gateway/livez?x=y"])
def test_an_absolute_url_as_target_is_accepted(gateway: Gateway, target: str) -> None:
    """RFC 9112, 3.2.2: servers must take it."""
    answer = ask(gateway.url, get(target))

    assert answer.json() == {"status": "ok"}


PIPELINED = get("/livez") + get("/v1/models/dall-e-3") + get("/livez")


@pytest.mark.parametrize(
    "left", [0, 4, 5, 10, len(get("/livez")) - 1, len(get("/livez")), len(get("/livez")) + 1]
)
def test_pipelined_requests_are_answered_in_order(gateway: Gateway, left: int) -> None:
    check_pipelined(gateway, left)


@pytest.mark.parametrize("left", [1, 2, 3])
def test_a_pipelined_head_may_be_split_within_its_end(gateway: Gateway, left: int) -> None:
    """The last *left* bytes of the blank line come in a segment of their own."""
    check_pipelined(gateway, left)


def check_pipelined(gateway: Gateway, left: int) -> None:
    cut = len(PIPELINED) - left
    with Connection(gateway.url) as connection:
        connection.send(PIPELINED[:cut])
        first = connection.read_answer()
        second = connection.read_answer() if left <= len(get("/livez")) else None
        connection.send(PIPELINED[cut:])
        second = second or connection.read_answer()
        third = connection.read_answer()

    bodies = [first.json(), second.json()["id"], third.json()]
    assert bodies == [{"status": "ok"}, "dall-e-3", {"status": "ok"}]
