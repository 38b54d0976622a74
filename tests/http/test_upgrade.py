"""Offer HTTP/2 with a body, as Java clients do: the offer is ignored, the body read."""

import time
from collections.abc import Sequence

import orjson
import pytest

from tests.http.wire import Connection, check_goes_on, check_refused, post
from tests.processes import Gateway

pytestmark = pytest.mark.usefixtures("nothing_tried", "nothing_sent")

BODY = orjson.dumps({"model": "dall-e-3", "prompt": "x" * 300, "n": 0})
OFFER = (
    "Connection: Upgrade, HTTP2-Settings",
    "Upgrade: h2c",
    "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    "User-Agent: Java-http-client/17.0.15",
)
REQUEST = post(BODY, *OFFER)
END_OF_HEAD = REQUEST.index(b"\r\n\r\n") + 4
UPGRADE = REQUEST.index(b"Upgrade: h2c")


def check_understood(connection: Connection) -> None:
    """Check that the body was read: the refusal names its `n`."""
    check_refused(connection.read_answer(), 400, code="integer_below_min_value", param="n")


def send_split(connection: Connection, request: bytes, cuts: Sequence[int]) -> None:
    for start, end in zip([0, *cuts], [*cuts, len(request)], strict=True):
        connection.send(request[start:end])
        time.sleep(0.005)


def test_an_upgrade_with_its_body_in_one_segment_is_ignored(gateway: Gateway) -> None:
    with Connection(gateway.url) as connection:
        connection.send(REQUEST)

        check_understood(connection)
        check_goes_on(connection)


@pytest.mark.parametrize(
    "cuts",
    [
        [END_OF_HEAD],
        [END_OF_HEAD - 1],
        [END_OF_HEAD - 2],
        [END_OF_HEAD - 3],
        [END_OF_HEAD - 4],
        [END_OF_HEAD + 1],
        [1],
        [UPGRADE],
        [UPGRADE - 1],
        [UPGRADE - 2],
        [UPGRADE + 3],
        [UPGRADE + 9],
        [UPGRADE + 12],
        [UPGRADE + 13],
        [UPGRADE + 3, UPGRADE + 9, END_OF_HEAD - 2, END_OF_HEAD + 5, len(REQUEST) - 1],
        list(range(1, END_OF_HEAD, 17)),
    ],
    ids=str,
)
def test_an_upgrade_split_at_any_byte_is_ignored(gateway: Gateway, cuts: list[int]) -> None:
    with Connection(gateway.url) as connection:
        send_split(connection, REQUEST, cuts)

        check_understood(connection)
        check_goes_on(connection)


@pytest.mark.parametrize("is_split", [False, True])
def test_a_chunked_body(gateway: Gateway, *, is_split: bool) -> None:
    head = REQUEST[:END_OF_HEAD].replace(
        f"Content-Length: {len(BODY)}".encode(), b"Transfer-Encoding: chunked"
    )
    chunks = [BODY[start : start + 100] for start in range(0, len(BODY), 100)]
    coded = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    cuts = [len(head) - 1, len(head) + 1, len(head) + 50, len(head) + len(coded) - 2] if is_split else []

    with Connection(gateway.url) as connection:
        send_split(connection, head + coded, cuts)

        check_understood(connection)
        check_goes_on(connection)


@pytest.mark.parametrize(
    "field", ["upgrade: h2c", "UPGRADE:h2c", "Upgrade:   h2c  ", "Upgrade:\th2c", "uPgRaDe: H2C"]
)
def test_an_upgrade_in_any_spelling_is_ignored(gateway: Gateway, field: str) -> None:
    with Connection(gateway.url) as connection:
        connection.send(REQUEST.replace(b"Upgrade: h2c", field.encode()))

        check_understood(connection)
        check_goes_on(connection)


def test_every_request_of_a_connection_may_offer_an_upgrade(gateway: Gateway) -> None:
    with Connection(gateway.url) as connection:
        for _ in range(3):
            connection.send(REQUEST)
            check_understood(connection)


def test_an_offer_in_the_body_is_part_of_the_body(gateway: Gateway) -> None:
    body = orjson.dumps({"model": "\r\nUpgrade: h2c\r\n", "prompt": "x"})
    assert b"Upgrade: h2c" in body

    with Connection(gateway.url) as connection:
        connection.send(post(body, *OFFER))
        answer = connection.read_answer()

    assert "\r\nUpgrade: h2c\r\n" in answer.json()["error"]["message"]


@pytest.mark.parametrize("offer", ["Upgrade: websocket", "Upgrade: TLS/1.2", "Upgrade: h2c, websocket"])
def test_other_upgrades_are_ignored_too(gateway: Gateway, offer: str) -> None:
    """RFC 9110, 7.8: a server may ignore an upgrade; the request then is what it would be without."""
    with Connection(gateway.url) as connection:
        connection.send(post(BODY, "Connection: Upgrade", offer))

        check_understood(connection)
        check_goes_on(connection)
