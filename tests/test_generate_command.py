"""Run `image-gateway generate` against gateways and other servers."""

import socket
import threading
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner, Result

from service.commands.ordering.client import Order, OrderNotMade, open_client
from service.commands.ordering.language import Words
from service.commands.root import cli
from tests.processes import free_port, run_gateway

STREAM = "text/event-stream; charset=utf-8"
ENGLISH = {"LC_ALL": "C.UTF-8"}
PIXELS = "iVBORw0KGgo="


def event(name: str, **fields: object) -> bytes:
    """Return an event as a gateway writes it."""
    return f"event: {name}\ndata: {orjson.dumps(fields).decode()}\n\n".encode()


IMAGE = event("image_generation.completed", b64_json=PIXELS)


@contextmanager
def answering(status: int, body: bytes, **headers: str) -> Iterator[str]:
    """Run a server that gives every order one answer; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["content-length"]))
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the base class
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def generate(url: str, out: Path, *words: str) -> Result:
    environment = {"GATEWAY_URL": url, "NO_PROXY": "*", **ENGLISH}
    return CliRunner().invoke(cli, ["generate", "a lighthouse", "--out", str(out), *words], env=environment)


def check_refused(result: Result, *hints: str) -> None:
    """Check that a command failed with one line that contains the hints."""
    assert isinstance(result.exception, SystemExit), result.exception
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: ")
    assert len(result.stderr.splitlines()) == 1
    for hint in hints:
        assert hint in result.stderr


def test_images_are_saved_and_their_paths_printed(tmp_path: Path) -> None:
    out = tmp_path / "out"
    with run_gateway(tmp_path / "data") as gateway:
        made = generate(gateway.url, out, "-n", "2")
        refused = generate(gateway.url, out, "-n", "11")

    paths = [Path(line) for line in made.stdout.splitlines()]
    assert made.exit_code == 0
    assert sorted(paths) == sorted(out.iterdir())
    assert len(paths) == 2
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    check_refused(refused, "integer above maximum value", "(request ")


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (502, b"<html><h1>502 Bad Gateway</h1></html>", "text/html"),
        (502, b"", "text/plain"),
        (404, b'{"detail": "Not Found"}', "application/json"),
        (500, b'{"error": "broken"}', "application/json"),
        (401, b'["no"]', "application/json"),
        (301, b"", "text/html"),
        (200, b"<html>Welcome</html>", "text/html"),
        (200, b'{"data": [{"b64_json": "iVBORw0KGgo="}]}', "application/json"),
        (200, event("image_generation.completed", url="http://host/1.png"), STREAM),
        (200, event("image_generation.completed", b64_json=None), STREAM),
        (200, event("image_generation.completed", b64_json="no base64"), STREAM),
        (200, b"event: image_generation.completed\ndata: none\n\n", STREAM),
        (200, b"event: error\ndata: []\n\n", STREAM),
    ],
)
def test_another_server_is_reported_in_one_line(tmp_path: Path, status: int, body: bytes, kind: str) -> None:
    with answering(status, body, content_type=kind) as url:
        result = generate(url, tmp_path)

    check_refused(result, url, "no gateway", f"status {status}, {kind}", "GATEWAY_URL")


def test_a_refusal_without_a_request_id_is_reported(tmp_path: Path) -> None:
    with answering(400, b'{"error": {"message": "No."}}') as url:
        check_refused(generate(url, tmp_path), "error: No. (request without an id)")


@pytest.mark.parametrize("given", ["../../../x", "", "/etc/passwd"])
def test_the_name_of_an_image_stays_in_its_directory(tmp_path: Path, given: str) -> None:
    with answering(200, IMAGE, content_type=STREAM, x_request_id=given) as url:
        result = generate(url, tmp_path / "out")

    (path,) = (tmp_path / "out").iterdir()
    assert result.stdout == f"{path}\n"


def test_an_address_without_a_listener_is_reported(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}"

    check_refused(generate(url, tmp_path), f"No gateway answers at {url}", "image-gateway serve")


@pytest.mark.parametrize("url", ["localhost:8080", "http://[", "ftp://host", "http://a b"])
def test_an_invalid_address_is_reported(tmp_path: Path, url: str) -> None:
    check_refused(generate(url, tmp_path), f"No gateway answers at {url}")


def test_a_connection_that_breaks_may_have_brought_the_order(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def hang_up() -> None:
            server.accept()[0].close()

        accepting = threading.Thread(target=hang_up)
        accepting.start()
        result = generate(f"http://127.0.0.1:{server.getsockname()[1]}", tmp_path)
        accepting.join()

    check_refused(result, "closed the connection after 0 of 1 image", "repeat the order")


async def test_a_timeout_says_that_the_order_may_continue() -> None:
    order = Order(operation="generate", fields={"prompt": "a lighthouse", "model": "dall-e-3", "n": 1})
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"

        with pytest.raises(OrderNotMade, match=r"did not answer for .* repeat the order to get it"):
            async with (
                open_client(url, "", Words(), patience_s=0.2) as client,
                aclosing(client.order(order)) as steps,
            ):
                await anext(steps)


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"GATEWAY_PORT": "1"}, "http://127.0.0.1:1"),
        ({"GATEWAY_PORT": "1", "GATEWAY_HOST": "0.0.0.0"}, "http://127.0.0.1:1"),  # noqa: S104 - nothing is bound here
        ({"GATEWAY_PORT": "1", "GATEWAY_HOST": "127.0.0.9"}, "http://127.0.0.9:1"),
        ({"GATEWAY_PORT": "1", "GATEWAY_HOST": "::"}, "http://[::1]:1"),
        ({"GATEWAY_PORT": "1", "GATEWAY_URL": "http://127.0.0.1:2"}, "http://127.0.0.1:2"),
        ({"GATEWAY_URL": "http://127.0.0.1:2/v1/"}, "http://127.0.0.1:2"),
    ],
)
def test_the_default_address_is_the_local_gateway(tmp_path: Path, given: dict[str, str], url: str) -> None:
    unset = dict.fromkeys(("GATEWAY_URL", "GATEWAY_HOST", "GATEWAY_PORT"))
    # A proxy without a listener, so that no gateway of this machine is reached.
    proxy = {"HTTP_PROXY": "http://127.0.0.1:1", "http_proxy": None, "NO_PROXY": None, "no_proxy": None}
    environment = {**unset, **given, **proxy, **ENGLISH}
    words = ["generate", "a lighthouse", "--out", str(tmp_path)]

    result = CliRunner().invoke(cli, words, env=environment)

    check_refused(result, f"No gateway answers at {url}:")


def test_an_invalid_key_is_reported(tmp_path: Path) -> None:
    check_refused(generate("http://127.0.0.1:1", tmp_path, "--key", "ключ"), "GATEWAY_KEY")


def test_an_unusable_proxy_is_reported(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        cli,
        ["generate", "a lighthouse", "--out", str(tmp_path), "--url", "http://host.test"],
        env={"HTTP_PROXY": "nonsense://host", "NO_PROXY": "", **ENGLISH},
    )

    check_refused(result, "No gateway answers at http://host.test")


def test_an_unwritable_output_directory_is_named() -> None:
    check_refused(generate("http://127.0.0.1:1", Path("/proc/nowhere")), "--out /proc/nowhere")
