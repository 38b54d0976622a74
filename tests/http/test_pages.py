"""Serve the pages for people: their files, and nothing beside them."""

import re
from importlib.resources import files
from pathlib import Path

import httpx
import pytest

PAGES = ("/", "/admin")
MOST_LINES = 300
MOST_BYTES = 150_000
"""Of a page with all modules that it loads at once."""


@pytest.mark.parametrize("path", PAGES)
def test_a_page_and_all_its_modules_come_from_the_gateway(client: httpx.Client, path: str) -> None:
    """A company's network may have no way out: by their policy not even a browser could ask."""
    at_once = load(client, path, r'(?:src|href)="(/web/[^"]+)"|from "(\.[^"]+)"')
    loaded = load(client, path, r'(?:src|href)="(/web/[^"]+)"|from "(\.[^"]+)"|import\("([^"]+)"\)')

    assert len(at_once) > 5
    assert at_once.keys() <= loaded.keys()
    # Templates, licences and the namespace of SVG name other sites; a browser asks none.
    assert (
        client.get(path)
        .headers["content-security-policy"]
        .startswith("default-src 'none'; script-src 'self';")
    )
    assert sum(len(text.encode()) for text in at_once.values()) < MOST_BYTES


def load(client: httpx.Client, path: str, links: str) -> dict[str, str]:
    """Return the files that the page at *path* loads by *links*, each by its path."""
    loaded: dict[str, str] = {}
    waiting = [path]
    while waiting:
        name = waiting.pop()
        answer = client.get(name)
        assert answer.status_code == 200, name
        loaded[name] = answer.text
        base = httpx.URL(f"http://page{name}")
        paths = {base.join(link).path for found in re.findall(links, answer.text) for link in found if link}
        waiting += paths - loaded.keys() - set(waiting)
    return loaded


def test_a_file_is_sent_again_only_if_it_changed(client: httpx.Client) -> None:
    first = client.get("/web/style.css")
    again = client.get("/web/style.css", headers={"if-none-match": first.headers["etag"]})

    assert (first.status_code, first.headers["content-type"]) == (200, "text/css; charset=utf-8")
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])


@pytest.mark.parametrize(
    "path", ["/web/", "/web/none.js", "/web/../app.py", "/web/%2e%2e/app.py", "/web/common"]
)
def test_only_files_of_pages_are_served(client: httpx.Client, path: str) -> None:
    answer = client.get(path)

    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "unknown_url"


@pytest.mark.parametrize("path", [*PAGES, "/web/style.css"])
def test_a_page_answers_head(client: httpx.Client, path: str) -> None:
    answer = client.head(path)

    assert (answer.status_code, answer.content) == (200, b"")


def test_no_form_can_be_sent_by_a_browser_itself(client: httpx.Client) -> None:
    for path in PAGES:
        assert "form-action 'none'" in client.get(path).headers["content-security-policy"]


def test_each_module_of_a_page_is_short() -> None:
    modules = list(Path(str(files("service") / "web")).rglob("*.js"))
    lines = {module.name: len(module.read_text("utf-8").splitlines()) for module in modules}

    assert lines
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}


def test_no_page_loads_an_image_of_another_site(client: httpx.Client) -> None:
    """A prompt or an answer that smuggles an address in tells nobody of the person."""
    for path in PAGES:
        (images,) = re.findall("img-src ([^;]*);", client.get(path).headers["content-security-policy"])
        assert set(images.split()) <= {"'self'", "data:", "blob:"}


def test_each_file_of_a_page_has_a_known_kind() -> None:
    web = Path(str(files("service") / "web"))

    assert {path.suffix for path in web.rglob("*") if path.is_file()} <= {
        ".css",
        ".html",
        ".js",
        ".svg",
        ".txt",
    }
