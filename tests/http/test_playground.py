"""The page at `/`: its own script against running gateways, open and with keys."""

import shutil
import subprocess
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import httpx
import orjson
import pytest

from tests.http.offices import Office, open_office
from tests.processes import REPOSITORY


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    with open_office(tmp_path_factory.mktemp("page")) as office:
        yield office


def visit(gateway: str, *key: str) -> dict[str, Any]:
    """Return what a person sees who opens the page, types *key* and asks for pictures."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    script = str(REPOSITORY / "service/web/playground.js")
    browser = str(REPOSITORY / "tests/http/playground.mjs")
    done = subprocess.run(
        [node, browser, gateway, script, *key],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = orjson.loads(done.stdout)
    return seen


def test_an_open_gateway_paints_at_once(client: httpx.Client) -> None:
    seen = visit(str(client.base_url).rstrip("/"))

    assert (seen["opened"], seen["metrics"], seen["prevented"]) == ("", True, True)
    assert "dall-e-3" in seen["models"]
    assert seen["said"].startswith("2 images in ")
    assert len(seen["pictures"]) == 2


@pytest.mark.parametrize("when", ["first", "later"])
def test_where_keys_are_asked_for_one_is_enough_for_models_and_pictures(office: Office, when: str) -> None:
    seen = visit(office.gateway.url, office.create_key()["key"], when)

    assert "dall-e-3" in seen["models"]
    assert not seen["metrics"]
    assert seen["said"].startswith("2 images in ")
    # The pictures need no key: their links are signed.
    with httpx.Client(trust_env=False) as nobody:
        assert [nobody.get(link).status_code for link in seen["pictures"]] == [200, 200]


def test_without_a_key_or_with_a_wrong_one_the_page_says_what_is_missing(office: Office) -> None:
    without, wrong = visit(office.gateway.url), visit(office.gateway.url, f"ig_{'x' * 43}")

    assert "Your key" in without["opened"]
    assert (without["prevented"], without["failed"], without["pictures"]) == (True, True, [])
    assert "Your key" in without["said"]
    assert (wrong["prevented"], wrong["failed"], wrong["models"]) == (True, True, [])
    assert "not accept this key" in wrong["said"]


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


def test_a_browser_that_has_no_script_yet_sends_nothing(client: httpx.Client) -> None:
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
