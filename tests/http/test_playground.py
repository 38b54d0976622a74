"""Run the script of the page at `/` against gateways, open and with keys."""

import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tests.http.conftest import SandboxJournal
from tests.http.offices import Office, open_office
from tests.processes import REPOSITORY, run_gateway


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with open_office(tmp_path_factory.mktemp("page")) as office:
        yield office


def visit(gateway: str, *key: str, **typed: str) -> dict[str, Any]:
    """Open the page, type *key* and the other *typed* fields, order images, and return the page."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    script = str(REPOSITORY / "service/web/playground.js")
    browser = str(REPOSITORY / "tests/http/playground.mjs")
    done = subprocess.run(
        [node, browser, gateway, script, orjson.dumps(typed).decode(), *key],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = orjson.loads(done.stdout)
    return seen


def test_an_open_gateway_makes_images_at_once(client: httpx.Client) -> None:
    seen = visit(str(client.base_url).rstrip("/"))

    assert (seen["opened"], seen["metrics"], seen["prevented"]) == ("", True, True)
    assert "dall-e-3" in seen["models"]
    assert seen["said"].startswith("2 images in ")
    assert len(seen["images"]) == 2


@pytest.mark.parametrize("when", ["first", "later"])
def test_one_key_is_enough_for_models_and_images(office: Office, when: str) -> None:
    seen = visit(office.gateway.url, office.create_key()["key"], when)

    assert "dall-e-3" in seen["models"]
    assert not seen["metrics"]
    assert seen["said"].startswith("2 images in ")
    # The images need no key: their links are signed.
    with httpx.Client(trust_env=False) as nobody:
        assert [nobody.get(link).status_code for link in seen["images"]] == [200, 200]


def test_the_page_reports_a_missing_or_wrong_key(office: Office) -> None:
    without, wrong = visit(office.gateway.url), visit(office.gateway.url, f"ig_{'x' * 43}")

    assert "Your key" in without["opened"]
    assert (without["prevented"], without["failed"], without["images"]) == (True, True, [])
    assert "Your key" in without["said"]
    assert (wrong["prevented"], wrong["failed"], wrong["models"]) == (True, True, [])
    assert "not accept this key" in wrong["said"]


def test_an_empty_number_of_images_means_one(client: httpx.Client) -> None:
    seen = visit(str(client.base_url).rstrip("/"), n="")

    assert seen["said"].startswith("1 image in ")
    assert len(seen["images"]) == 1


def test_an_invalid_number_of_images_is_refused_with_a_message(client: httpx.Client) -> None:
    seen = visit(str(client.base_url).rstrip("/"), n="0")

    assert seen["failed"]
    assert "Expected a value >= 1, but got 0" in seen["said"]


def test_an_image_without_a_link_can_be_downloaded(client: httpx.Client) -> None:
    url = str(client.base_url).rstrip("/")
    without, linked = visit(url, model="gpt-image-2"), visit(url, model="dall-e-3")

    assert all(image.startswith("data:image/png;base64,") for image in without["images"])
    assert without["files"] == ["image.png", "image.png"]
    assert linked["files"] == ["", ""]


def test_paid_images_show_their_price(client: httpx.Client) -> None:
    seen = visit(str(client.base_url).rstrip("/"), prompt="a priced cat")

    assert seen["said"].endswith(", cache miss, $0.1054")


def test_test_images_show_no_price(office: Office) -> None:
    seen = visit(office.gateway.url, office.create_key()["key"])

    assert seen["said"].endswith(", test images, nothing charged")


@pytest.mark.slow
def test_an_unknown_price_is_shown_as_unknown(tmp_path: Path, journal: SandboxJournal) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text('[models."gpt-image-2"]\nprice = false\n')
    provider = {"openai_base_url": f"{journal.url}/v1", "openai_api_key": "sk-ours"}
    with run_gateway(tmp_path, config=config, **provider) as gateway:
        seen = visit(gateway.url, model="gpt-image-2")

    assert seen["said"].endswith(", cache miss, price unknown")


class _Fields(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.form: dict[str, str | None] = {}
        self.key: dict[str, str | None] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "form":
            self.form = dict(attrs)
        if ("type", "password") in attrs:
            self.key = dict(attrs)


def test_the_page_sends_nothing_before_its_script_is_loaded(client: httpx.Client) -> None:
    page = client.get("/")
    fields = _Fields()
    fields.feed(page.text)

    assert fields.form["method"] == "dialog"
    assert fields.key["id"] == "key"
    assert "name" not in fields.key
    assert "form-action 'none'" in page.headers["content-security-policy"]


def test_the_page_answers_head(client: httpx.Client) -> None:
    answer = client.head("/")

    assert (answer.status_code, answer.content) == (200, b"")
