"""Call a gateway with keys from pages of two origins, in a real browser."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import orjson
import pytest

from tests.contract.browser import Page, open_browser
from tests.http.offices import Office, open_office
from tests.processes import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

CALLS = """
(async () => {
  const [url, key] = %s;
  const seen = {};
  const order = (body, path = '/v1/images/generations', more = {}) =>
    fetch(url + path, {
      method: 'POST',
      headers: {
        'content-type': 'application/json', authorization: `Bearer ${key}`, 'x-stainless-lang': 'js',
        'x-stainless-retry-count': '0', ...more,
      },
      body: JSON.stringify(body),
    });
  try {
    const made = await order({ model: 'dall-e-3', prompt: 'from a page' });
    seen.made = [made.status, made.headers.get('x-cache'), Boolean(made.headers.get('x-request-id'))];
    const image = await fetch((await made.json()).data[0].url);
    seen.image = [image.status, (await image.blob()).type, Boolean(image.headers.get('etag'))];
    const stream = await order({ model: 'gpt-image-2', prompt: 'from a page', stream: true, partial_images: 1 });
    seen.events = (await stream.text()).match(/^event: .*/gm);
    const refused = await order({}, undefined, { authorization: 'Bearer ig_wrong' });
    seen.refused = [refused.status, (await refused.json()).error.code];
    const azure = await order({ prompt: 'by a deployment' }, '/openai/deployments/dall-e-3/images/generations');
    seen.azure = azure.status;
  } catch (error) {
    seen.error = String(error);
  }
  return JSON.stringify(seen);
})()
"""


class _Empty(BaseHTTPRequestHandler):
    """An empty page at every path."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/html")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Log nothing."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """The port of pages whose origins are `localhost` and `127.0.0.1`."""
    # A browser opens connections in advance, and a server of one thread would wait for their requests.
    server = ThreadingHTTPServer(("127.0.0.1", free_port()), _Empty)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def office(port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A gateway with keys that lets one of the two call."""
    with open_office(tmp_path_factory.mktemp("office"), cors_origins=f"http://localhost:{port}") as office:
        yield office


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with open_browser(tmp_path_factory.mktemp("browser")) as page:
        if page is None:
            pytest.skip("chromium is not installed")
        yield page


def call(page: Page, office: Office, origin: str) -> dict[str, object]:
    page.open(f"{origin}/")
    arguments = [office.gateway.url, office.create_key()["key"]]
    seen: dict[str, object] = orjson.loads(page.run(CALLS % orjson.dumps(arguments).decode()))
    return seen


def test_an_allowed_page_does_all_that_a_program_can(page: Page, office: Office, port: int) -> None:
    assert call(page, office, f"http://localhost:{port}") == {
        "made": [200, "miss", True],
        "image": [200, "image/png", True],
        "events": ["event: image_generation.partial_image", "event: image_generation.completed"],
        "refused": [401, "invalid_api_key"],
        "azure": 200,
    }


def test_another_page_does_nothing(page: Page, office: Office, port: int) -> None:
    assert call(page, office, f"http://127.0.0.1:{port}") == {"error": "TypeError: Failed to fetch"}
