"""Look at what all pages share: languages, themes, the key, and the way in for everyone."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from service.domain.errors import OrderFailed
from service.domain.failures import FailureKind
from service.http.errors import describe
from service.http.pages import _read_files
from tests.browser.conftest import Visit
from tests.browser.visitor import barriers
from tests.http.house import House
from tests.http.offices import Office
from tests.http.test_error_table import EXAMPLES, failure

if TYPE_CHECKING:
    from playwright.sync_api import Page

PAGES = ("/", "/admin")
WORDS = sorted(name for name in _read_files() if name.endswith(".en-zh.js"))


def names_of(page: Page, module: str) -> dict[str, list[str]]:
    """Return the names of a module's words in each language, with those that a function of how many values."""
    names: dict[str, list[str]] = page.evaluate(
        """async (module) => {
          const { words } = await import(module);
          const name = ([name, word]) => (typeof word === "function" ? `${name} of values` : name);
          return Object.fromEntries(Object.entries(words).map(([language, all]) => [language, Object.entries(all).map(name)]));
        }""",
        f"/web/{module}",
    )
    return names


@pytest.mark.parametrize("path", PAGES)
def test_a_page_speaks_the_language_of_its_reader(visit: Visit, house: House, path: str) -> None:
    english = visit(f"{house.gateway.url}{path}")
    chinese = visit(f"{house.gateway.url}{path}", locale="zh-CN")

    assert (lang_of(english), english.get_by_role("link", name="Administration").count()) == ("en", 1)
    assert (lang_of(chinese), chinese.get_by_role("link", name="管理").count()) == ("zh-CN", 1)


def lang_of(page: Page) -> str:
    page.get_by_role("navigation", name=re.compile("Pages|页面")).wait_for()
    return str(page.evaluate("document.documentElement.lang"))


def test_the_language_can_be_changed_and_is_remembered(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url)

    page.get_by_label("Language").focus()
    page.get_by_label("Language").select_option("zh")
    assert lang_of(page) == "zh-CN"
    # The keyboard stays where it was.
    assert page.evaluate("document.activeElement.id") == "language"

    page.reload()
    assert lang_of(page) == "zh-CN"


def test_every_word_exists_in_both_languages(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url)
    found = {module: names_of(page, module) for module in WORDS}

    assert len(found) > 1
    assert {module: sorted(names["en"]) for module, names in found.items()} == {
        module: sorted(names["zh"]) for module, names in found.items()
    }


NOT_OF_AN_ORDER = {
    # Of links, of admins, and of headers that the page does not send.
    *("conflict", "idempotency_key_reuse", "image_gone", "image_not_found", "invalid_link", "link_expired"),
    *("not_cached", "not_found", "order_under_way"),
    # Of a field: said beside it.
    "x",
}


def test_every_failure_of_an_order_has_words(visit: Visit, house: House) -> None:
    failed = [OrderFailed((failure(kind),)) for kind in FailureKind]
    codes = {describe(error).code for error in (*failed, *(error for error, _, _ in EXAMPLES.values()))}
    names = names_of(visit(house.gateway.url), "playground/failurewords.en-zh.js")["en"]

    missing = {code for code in codes if code and f"failure.{code}" not in names}

    assert missing == NOT_OF_AN_ORDER


@pytest.mark.parametrize("part", ["playground", "admin"])
def test_no_part_of_a_page_replaces_a_word_of_another(visit: Visit, house: House, part: str) -> None:
    page = visit(house.gateway.url)
    modules = [module for module in WORDS if module.startswith(("page/", f"{part}/"))]
    names = Counter(name for module in modules for name in names_of(page, module)["en"])

    assert len(modules) > 1
    assert [name for name, times in names.items() if times > 1] == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_theme_can_be_chosen_and_is_remembered(visit: Visit, house: House, theme: str) -> None:
    page = visit(house.gateway.url, color_scheme="dark" if theme == "light" else "light")
    before = ground_of(page)

    page.get_by_label("Appearance").select_option(theme)
    after = ground_of(page)
    page.reload()

    assert before != after
    assert ground_of(page) == after


def ground_of(page: Page) -> str:
    page.get_by_role("navigation", name=re.compile("Pages|页面")).wait_for()
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


@pytest.mark.parametrize("path", PAGES)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_on_an_open_page_keeps_people_out(
    visit: Visit, office: Office, path: str, scheme: Any
) -> None:
    page = visit(f"{office.gateway.url}{path}", color_scheme=scheme)
    page.get_by_text("Key", exact=True).first.wait_for()

    assert barriers(page) == []
