"""Share a browser, gateways in front of a sandbox, and visits to their pages.

How to add a test: ask for `visit` and a gateway (`house`: open, its provider is a sandbox that obeys `behave`; `office`:
keys, test images), and look for elements as a person does: by role, label or text.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.browser.visitor import Faults
from tests.http.house import House, open_house
from tests.http.offices import Office, open_office
from tests.processes import REPOSITORY

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATIENCE_MS = 60_000
"""A limit on a wait, several times what a busy machine needs."""
TIMEOUT_S = 180
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # A name that is not of this machine alone: browsers trust it less.
    "--host-resolver-rules=MAP gateway 127.0.0.1",
)

_HAS_FAILED = pytest.StashKey[bool]()
_LAST_LINES = 40

KEYS = ("image-gateway.key", "image-gateway.admin-key")
"""The names of the key to order with, and of that of the page for admins, in the stores of a browser."""

Visit = Callable[..., "Page"]
"""`visit(url, key="", **options of the context)` opens a page for a new person."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(REPOSITORY / "tests/browser"):
            item.add_marker(pytest.mark.browser)
            if not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(TIMEOUT_S))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[_HAS_FAILED] = item.stash.get(_HAS_FAILED, False) or report.failed
    return report


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    # Only `make test-browser` installs it.
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    chromium = shutil.which("chromium")
    assert chromium, "Chromium is not installed"
    with sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))


@pytest.fixture
def visit(request: pytest.FixtureRequest, browser: Browser) -> Iterator[Visit]:
    """Open pages for people of their own; at the end none of them may have met an error that the page did not handle.

    If the test fails, its report has what they showed.
    """
    watched: list[Faults] = []
    pages: list[Page] = []
    with ExitStack() as stack:

        def open_page(url: str, *, key: str = "", **options: Any) -> Page:
            context = browser.new_context(**{"locale": "en-GB", "reduced_motion": "reduce", **options})
            stack.callback(context.close)
            context.set_default_timeout(PATIENCE_MS)
            if key:
                for name in KEYS:
                    context.add_init_script(f"sessionStorage['{name}'] ??= '{key}'")
            page = context.new_page()
            watched.append(Faults(page))
            pages.append(page)
            page.goto(url)
            return page

        yield open_page
        if request.node.stash.get(_HAS_FAILED, False):
            for page in pages:
                print(f"{page.url} showed:\n{page.inner_text('body')}\n")
            for fixture in ("house", "office"):
                if fixture in request.fixturenames:
                    lines = request.getfixturevalue(fixture).gateway.log.read_text("utf-8").splitlines()
                    print(f"The last lines of the gateway's log, {fixture}:", *lines[-_LAST_LINES:], sep="\n")
        assert [fault for faults in watched for fault in faults.found] == []


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """An open gateway whose images have a price; its provider is a sandbox that paints plain images."""
    with open_house(tmp_path_factory.mktemp("house")) as house:
        house.behave(paint="flat")
        yield house


@pytest.fixture(scope="session")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """A gateway that asks for keys and makes test images."""
    with open_office(tmp_path_factory.mktemp("office")) as office:
        yield office
