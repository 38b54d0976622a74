"""Announce and send many bytes at once: refused before they are read, and nobody else is stopped."""

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.http.access import name_network
from service.http.images import MAX_JSON_EDIT_BYTES
from tests.adapters.storage.disks import small_disk
from tests.http.house import (
    BOUNDARY,
    EDITS,
    House,
    check_error,
    data_url,
    file,
    form,
    open_house,
    png,
    post_form,
    text,
    until,
)
from tests.http.offices import open_office
from tests.http.wire import Connection, check_refused
from tests.processes import run_valkey

MEGABYTE = 2**20
LARGE_BYTES = 63 * MEGABYTE
assert LARGE_BYTES < MAX_JSON_EDIT_BYTES


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A gateway that allows one request a minute, with its default budgets."""
    directory = tmp_path_factory.mktemp("budgets")
    with open_house(directory, default_policy__requests_per_min=1) as house:
        yield house


def held(client: httpx.Client, place: str = "memory") -> float:
    return metric(client, "imagegw_request_bytes", place=place)


def metric(client: httpx.Client, name: str, **labels: str) -> float:
    return sum(
        sample.value
        for family in text_string_to_metric_families(client.get("/metrics").text)
        for sample in family.samples
        if sample.name == name and sample.labels.items() >= labels.items()
    )


def head(
    size_bytes: int | None, *, kind: str = "application/json", key: str = "", forwarded_for: str = ""
) -> bytes:
    length = "Transfer-Encoding: chunked" if size_bytes is None else f"Content-Length: {size_bytes}"
    lines = [f"POST {EDITS} HTTP/1.1", "Host: 127.0.0.1", f"Content-Type: {kind}", length]
    if key:
        lines.append(f"Authorization: Bearer {key}")
    if forwarded_for:
        lines.append(f"X-Forwarded-For: {forwarded_for}")
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


@contextlib.contextmanager
def announcing(
    house: House, size_bytes: int | None, *, source: str = "", forwarded_for: str = ""
) -> Iterator[Connection]:
    """Send the head of an edit, and nothing of its body yet."""
    with Connection(house.gateway.url, source=source) as connection:
        connection.send(head(size_bytes, forwarded_for=forwarded_for))
        yield connection


def test_twenty_large_edits_of_one_caller_hold_the_room_of_one(house: House) -> None:
    """They are refused before their bytes come, and the gateway answers others meanwhile."""
    process = psutil.Process(house.gateway.process.pid)
    before_bytes = process.memory_info().rss
    answers: Counter[int] = Counter()
    slowest_s = 0.0
    with contextlib.ExitStack() as stack:
        edits = [stack.enter_context(announcing(house, LARGE_BYTES)) for _ in range(20)]
        until(lambda: metric(house.client, "imagegw_bodies_refused_total", reason="caller") >= 19)
        assert held(house.client) == LARGE_BYTES
        most_bytes = 0
        for edit in edits:
            edit.send_until_answered([b"[" + b" " * (MEGABYTE - 1), *[b" " * MEGABYTE] * 62])
            began_s = time.monotonic()
            assert house.client.get("/livez").status_code == 200
            slowest_s = max(slowest_s, time.monotonic() - began_s)
            answers[edit.read_answer().status] += 1
            most_bytes = max(most_bytes, process.memory_info().rss)

    sys.stdout.write(
        f"{(most_bytes - before_bytes) / MEGABYTE:.0f} MB more, slowest /livez {slowest_s * 1000:.0f} ms"
    )
    assert answers == {400: 1, 429: 19}
    assert most_bytes - before_bytes < 4 * LARGE_BYTES
    until(lambda: held(house.client) == 0)


def test_a_refused_share_says_when_to_come_again(house: House) -> None:
    with announcing(house, LARGE_BYTES), contextlib.ExitStack() as stack:
        until(lambda: held(house.client))
        answer = stack.enter_context(announcing(house, LARGE_BYTES)).read_answer()

        check_refused(answer, 429, code="rate_limit_exceeded", kind="bytes")
        assert answer.header("retry-after") == "1"
    until(lambda: held(house.client) == 0)


def test_a_proxy_on_loopback_names_the_callers_and_no_other_address_does(house: House) -> None:
    with contextlib.ExitStack() as stack:
        for caller in ("203.0.113.1", "203.0.113.2"):
            stack.enter_context(announcing(house, LARGE_BYTES, forwarded_for=caller))
        until(lambda: held(house.client) == 2 * LARGE_BYTES)

        stack.enter_context(announcing(house, LARGE_BYTES, source="127.0.0.2", forwarded_for="203.0.113.3"))
        until(lambda: held(house.client) == 3 * LARGE_BYTES)
        with announcing(house, LARGE_BYTES, source="127.0.0.2", forwarded_for="203.0.113.4") as again:
            check_refused(again.read_answer(), 429, code="rate_limit_exceeded", kind="bytes")
    until(lambda: held(house.client) == 0)


def test_all_callers_together_hold_no_more_than_the_total(house: House) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(4):
            stack.enter_context(announcing(house, LARGE_BYTES, source=f"127.0.0.{number + 2}"))
        until(lambda: held(house.client) == 4 * LARGE_BYTES)

        with announcing(house, LARGE_BYTES, source="127.0.0.9") as connection:
            answer = connection.read_answer()
            check_refused(answer, 503, code="overloaded", kind="server_error")
            assert answer.header("retry-after") == "1"
        # Small orders still find room.
        assert house.client.post("/v1/images/generations", json={"prompt": "x", "n": 0}).status_code == 400
    until(lambda: held(house.client) == 0)


def test_small_bodies_find_room_when_others_have_announced_all_of_it(house: House) -> None:
    with contextlib.ExitStack() as stack:
        for number in range(4):
            stack.enter_context(announcing(house, 64 * MEGABYTE, source=f"127.0.0.{number + 2}"))
        until(lambda: held(house.client) == 256 * MEGABYTE)

        assert house.client.post("/v1/images/generations", json={"prompt": "x", "n": 0}).status_code == 400
        with announcing(house, 300_000, source="127.0.0.9") as connection:
            check_refused(connection.read_answer(), 503, code="overloaded", kind="server_error")
    until(lambda: held(house.client) == 0)


@pytest.mark.parametrize(
    ("address", "holder"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("a-socket", "a-socket"),
    ],
)
def test_whoever_has_a_network_of_addresses_is_one_holder(address: str, holder: str) -> None:
    assert name_network(address) == holder


def test_the_room_of_a_chunked_body_grows_as_it_comes(house: House) -> None:
    chunk = f"{MEGABYTE:x}\r\n".encode() + b" " * MEGABYTE + b"\r\n"
    with announcing(house, None) as first, announcing(house, None) as second:
        for _ in range(40):
            first.send(chunk)
        until(lambda: held(house.client) == 40 * MEGABYTE)

        sent_bytes = second.send_until_answered([chunk] * 63)

        check_refused(second.read_answer(), 429, code="rate_limit_exceeded", kind="bytes")
        # The rest is on its way.
        assert 24 * MEGABYTE < sent_bytes < 40 * MEGABYTE
    until(lambda: held(house.client) == 0)


def test_unfinished_forms_keep_their_room_on_the_disk_until_they_end(house: House) -> None:
    kind = "multipart/form-data; boundary=a-boundary"
    with contextlib.ExitStack() as stack:
        connections = []
        for _ in range(2):
            connection = stack.enter_context(Connection(house.gateway.url))
            connection.send(head(800 * MEGABYTE, kind=kind))
            connections.append(connection)
            until(lambda: held(house.client, "disk"))
        check_refused(connections[1].read_answer(), 429, code="rate_limit_exceeded", kind="bytes")
        # Others still edit.
        with Connection(house.gateway.url, source="127.0.0.2") as other:
            body = form(text("prompt", "a cat"), text("n", "0"), file("image", png()))
            other.send(head(len(body), kind=kind) + body)
            assert other.read_answer().status == 400
    until(lambda: held(house.client, "disk") == 0)
    house.check_uploads_gone()


def test_an_edit_keeps_its_room_on_the_disk_until_its_order_ends(house: House) -> None:
    body = form(text("prompt", "a boat"), file("image", png(256)))

    assert post_form(house.client, body).status_code == 200

    until(lambda: held(house.client, "disk") == 0)
    assert held(house.client) == 0


def test_callers_without_a_good_key_hold_nothing_and_keys_have_a_share_each(tmp_path: Path) -> None:
    with open_office(tmp_path) as office, contextlib.ExitStack() as stack:
        keys = [office.create_key()["key"] for _ in range(2)]
        for key in ("", "ig-wrong"):
            connection = stack.enter_context(Connection(office.gateway.url))
            connection.send(head(LARGE_BYTES, key=key))
            assert connection.read_answer().status == 401
        assert held(office.admin) == 0

        for key in keys:
            stack.enter_context(Connection(office.gateway.url)).send(head(LARGE_BYTES, key=key))
        until(lambda: held(office.admin) == 2 * LARGE_BYTES)
        third = stack.enter_context(Connection(office.gateway.url))
        third.send(head(LARGE_BYTES, key=keys[0]))
        assert third.read_answer().status == 429


def test_a_body_above_the_share_is_a_413_and_uploads_leave_the_disk_a_reserve(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk, run_valkey() as valkey:
        data_dir = disk.path / "data"
        store_url = (tmp_path / "files").as_uri()
        settings: dict[str, object] = {
            "body_bytes": MEGABYTE,
            "redis_url": valkey.url,
            "store_url": store_url,
        }
        with open_house(data_dir, **settings) as house:
            with announcing(house, MEGABYTE // 2) as connection:
                check_refused(connection.read_answer(), 413, code="request_too_large")
            disk.fill(but_bytes=MEGABYTE)

            answer = post_form(house.client, form(text("prompt", "a boat"), file("image", png())))

            check_error(answer, 503, code="disk_full", param=None)
            assert answer.headers["retry-after"] == "10"
            assert house.uploads() == []
            assert metric(house.client, "imagegw_bodies_refused_total", place="disk", reason="disk") == 1
            until(lambda: house.client.get("/readyz?verbose").json()["disk"] == "low")
            assert metric(house.client, "imagegw_disk_free_bytes", place="data") == MEGABYTE
            disk.free()
            until(lambda: house.client.get("/readyz?verbose").json()["disk"] == "ok")
            assert metric(house.client, "imagegw_disk_free_bytes", place="store") > 0
            for event in ("disk low on room", "disk has room again"):
                assert [line["place"] for line in house.gateway.log_lines(event)] == ["data"]


def test_a_disk_that_fills_up_while_an_edit_arrives_is_no_fault_of_the_gateway(tmp_path: Path) -> None:
    body = form(text("prompt", "a boat"), file("image", png() + bytes(MEGABYTE // 2)))
    with small_disk(tmp_path / "disk") as disk, run_valkey() as valkey:
        data_dir, store_url = disk.path / "data", (tmp_path / "files").as_uri()
        data_dir.mkdir()
        (data_dir / "gateway.log").symlink_to(tmp_path / "log")
        with open_house(data_dir, redis_url=valkey.url, store_url=store_url) as house:
            with Connection(house.gateway.url) as connection:
                connection.send(head(len(body), kind=f"multipart/form-data; boundary={BOUNDARY}"))
                connection.send(body[: MEGABYTE // 4])
                until(house.uploads)
                disk.fill(but_bytes=0)
                connection.send(body[MEGABYTE // 4 :])
                answer = connection.read_answer()
            disk.free()
            assert house.uploads() == []
            (data_dir / "uploads").rmdir()
            (data_dir / "uploads").write_text("in the way")
            json = {"prompt": "a boat", "images": [{"image_url": data_url(png())}]}
            answers = [house.client.post(EDITS, json=json), post_form(house.client, body)]

            check_refused(answer, 503, code="disk_full", kind="server_error")
            for each in answers:
                check_error(each, 503, code="disk_full", param=None)
            assert "Traceback" not in house.gateway.log.read_text()
            assert {line["reason"] for line in house.gateway.log_lines("upload not written")} == {
                "No space left on device",
                "File exists",
            }
