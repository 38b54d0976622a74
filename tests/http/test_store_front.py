"""nginx in front, as `deploy/nginx` has it, sends stored images once the gateway has checked their links."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.http.callers import Caller, name_of
from tests.http.house import until
from tests.nginx_front import NGINX, run_front
from tests.processes import Gateway, run_gateway, run_sandbox

pytestmark = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")

KEY = "front-key-of-the-tests"
INTERNAL = "x-accel-redirect"


@dataclass(frozen=True, slots=True)
class Fronted:
    """A gateway, and an nginx before it at *url*."""

    gateway: Gateway
    url: str
    store: Path
    log: Path

    def orders(self) -> httpx.URL:
        """Order an image, and return its link, which leads to the gateway itself."""
        with httpx.Client(base_url=self.gateway.url, trust_env=False, timeout=20) as client:
            return Caller(client).orders(f"behind nginx, {uuid4().hex}")

    def at_front(self, link: httpx.URL) -> httpx.URL:
        return link.copy_with(port=httpx.URL(self.url).port)

    def asks(self, link: httpx.URL, method: str = "GET", **headers: str) -> httpx.Response:
        """Follow a link through nginx."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.request(method, self.at_front(link), headers=named, trust_env=False, timeout=20)

    def asks_gateway(self, link: httpx.URL, method: str = "GET", **headers: str) -> httpx.Response:
        """Follow a link past nginx."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.request(method, link, headers=named, trust_env=False, timeout=20)

    def file_behind(self, link: httpx.URL) -> Path:
        (path,) = self.store.rglob(name_of(link))
        return path

    def bytes_of(self, answer: httpx.Response) -> list[int]:
        """Return the bytes that the gateway sent for an answer, once its log has the line."""
        request_id = answer.headers["x-request-id"]

        def lines() -> list[int]:
            found = self.gateway.log_lines("request")
            return [line["bytes_out"] for line in found if line["request_id"] == request_id]

        until(lines)
        return lines()


@pytest.fixture(scope="module")
def fronted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fronted]:
    directory = tmp_path_factory.mktemp("fronted")
    store, front = directory / "store", directory / "nginx"
    front.mkdir()
    with (
        run_sandbox() as sandbox,
        run_gateway(
            directory / "data",
            openai_base_url=f"{sandbox}/v1",
            openai_api_key="sk-ours",
            store_url=store.as_uri(),
            store_front_key=KEY,
            cors_origins="https://app.corp",
        ) as gateway,
        run_front(front, gateway=gateway.url, store=store, key=KEY) as running,
    ):
        yield Fronted(gateway, running.url, store, front / "access.log")


@pytest.fixture
def link(fronted: Fronted) -> httpx.URL:
    return fronted.orders()


def headers_of(answer: httpx.Response) -> dict[str, str]:
    """Return the headers but for those of a connection or of one request."""
    varying = {"date", "server", "connection", "x-request-id", "request-id"}
    if answer.status_code == 206:
        # nginx offers ranges with whole files only.
        varying.add("accept-ranges")
    return {name: value for name, value in answer.headers.items() if name not in varying}


def test_nginx_sends_the_file_with_the_headers_of_the_gateway(fronted: Fronted, link: httpx.URL) -> None:
    page = {"origin": "https://app.corp"}
    answer, directly = fronted.asks(link, **page, x_request_id="mine"), fronted.asks_gateway(link, **page)

    assert answer.status_code == directly.status_code == 200
    assert answer.content == directly.content
    assert headers_of(answer) == headers_of(directly)
    assert answer.headers["access-control-allow-origin"] == "https://app.corp"
    assert answer.headers["x-request-id"] == "mine"
    assert fronted.bytes_of(answer) == [0]
    assert fronted.bytes_of(directly) == [len(answer.content)]


@pytest.mark.parametrize(
    "headers",
    [
        {"range": "bytes=10-99"},
        {"range": "bytes=-7"},
        {"range": "bytes=5-"},
        {"range": "bytes=0-1,5-6"},
        {"range": "bytes=99999999-"},
        {"range": "bytes=99999999999999999999-"},
        {"range": "bytes=0-99999999999999999999"},
        {"range": "bytes=abc"},
        {"range": "bytes=-"},
        {"range": "Bytes=0-1"},
        {"range": "bytes=99999999-,0-1"},
        {"range": "bytes=3-9", "if_range": '"of another image"'},
        {"if_none_match": '"of another image"'},
        {"if_none_match": "*"},
        {"if_match": '"of another image"'},
        {"if_unmodified_since": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"if_modified_since": "Fri, 01 Jan 2100 00:00:00 GMT"},
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_every_condition_and_range_is_answered_alike(
    fronted: Fronted, link: httpx.URL, method: str, headers: dict[str, str]
) -> None:
    answer = fronted.asks(link, method, **headers)
    directly = fronted.asks_gateway(link, method, **headers)

    assert (answer.status_code, answer.content) == (directly.status_code, directly.content)
    assert headers_of(answer) == headers_of(directly)


def test_a_download_goes_on_by_the_tag_of_the_image(fronted: Fronted, link: httpx.URL) -> None:
    etag = fronted.asks(link).headers["etag"]

    answer = fronted.asks(link, range="bytes=3-9", if_range=etag)

    assert (answer.status_code, len(answer.content)) == (206, 7)
    assert fronted.bytes_of(answer) == [0]


def test_no_client_sees_the_place_of_the_file(fronted: Fronted, link: httpx.URL) -> None:
    answers = [
        fronted.asks(link),
        fronted.asks(link, x_store_front="a-key-that-a-client-made-up"),
        fronted.asks_gateway(link),
        fronted.asks_gateway(link, x_store_front="a-key-that-a-client-made-up"),
        fronted.asks_gateway(link, x_store_front=""),
    ]

    assert [answer.status_code for answer in answers] == [200] * 5
    assert len({answer.content for answer in answers}) == 1
    assert not any(INTERNAL in answer.headers for answer in answers)
    # What nginx is told.
    told = fronted.asks_gateway(link, x_store_front=KEY)
    assert told.headers[INTERNAL] == f"/stored/images/{name_of(link)[:2]}/{name_of(link)}"
    assert told.content == b""


def test_no_client_reaches_the_directory(fronted: Fronted, link: httpx.URL) -> None:
    name = name_of(link)
    paths = [f"/stored/images/{name[:2]}/{name}", f"//stored//images/{name[:2]}/{name}", "/stored/probe"]

    answers = [httpx.get(f"{fronted.url}{path}", trust_env=False) for path in paths]

    assert [answer.status_code for answer in answers] == [404] * 3


def test_a_link_that_was_changed_or_deleted_is_refused_as_ever(fronted: Fronted, link: httpx.URL) -> None:
    assert fronted.asks(link.copy_set_param("sig", "x" * 43)).status_code == 403
    assert fronted.asks(link).status_code == 200

    httpx.delete(f"{fronted.gateway.url}{link.path}", trust_env=False).raise_for_status()

    gone = fronted.asks(link)
    assert (gone.status_code, gone.json()["error"]["code"]) == (410, "image_gone")
    # Its bytes are still there, for an hour.
    assert fronted.file_behind(link).exists()


def test_a_damaged_file_is_found_before_nginx_sends_it(fronted: Fronted, link: httpx.URL) -> None:
    file = fronted.file_behind(link)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)

    assert fronted.asks(link).status_code == 410
    assert not file.exists()


def test_a_file_that_is_damaged_after_it_was_sent_is_found_too(fronted: Fronted, link: httpx.URL) -> None:
    for _ in range(3):
        assert fronted.asks(link).status_code == 200
    file = fronted.file_behind(link)
    with file.open("r+b") as opened:
        opened.seek(100)
        opened.write(b"\0\1\2")

    assert fronted.asks(link).status_code == 410


def test_a_missing_file_is_a_410(fronted: Fronted, link: httpx.URL) -> None:
    fronted.file_behind(link).unlink()

    assert fronted.asks(link).status_code == 410


def test_the_gateway_sends_what_nginx_cannot_read(fronted: Fronted, tmp_path: Path) -> None:
    """Here another directory is mounted."""
    link = fronted.orders()
    (tmp_path / "elsewhere").mkdir()
    with run_front(tmp_path, gateway=fronted.gateway.url, store=tmp_path / "elsewhere", key=KEY) as running:
        elsewhere = Fronted(fronted.gateway, running.url, fronted.store, tmp_path / "access.log")
        answer = elsewhere.asks(link, range="bytes=1-8", x_request_id="read-elsewhere")

        assert (answer.status_code, answer.content) == (206, fronted.asks_gateway(link).content[1:9])
        assert INTERNAL not in answer.headers
        until(lambda: sorted(fronted.bytes_of(answer)) == [0, 8])


def test_another_key_turns_the_front_off(fronted: Fronted, link: httpx.URL, tmp_path: Path) -> None:
    with run_front(
        tmp_path, gateway=fronted.gateway.url, store=fronted.store, key="of-another-gateway"
    ) as running:
        fronted_otherwise = Fronted(fronted.gateway, running.url, fronted.store, tmp_path / "access.log")
        answer = fronted_otherwise.asks(link)

        assert answer.content == fronted.asks(link).content
        assert fronted.bytes_of(answer) == [len(answer.content)]


def test_the_log_of_nginx_has_no_signature(fronted: Fronted, link: httpx.URL) -> None:
    fronted.asks(link)

    until(lambda: name_of(link) in fronted.log.read_text("utf-8"))
    assert link.params["sig"] not in fronted.log.read_text("utf-8")
