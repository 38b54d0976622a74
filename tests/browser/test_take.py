"""Take an order of the page along as code: it is the same order, which finds the same image."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

import pytest

from tests.browser.conftest import Visit
from tests.browser.test_keep import COPIES, cards, choose, link_of
from tests.compatibility.pictures import draw_inputs
from tests.http.house import House, until
from tests.snippets.code import Code, run_code

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Locator, Page

    Act = Callable[[Page, Path], Locator]

PROMPT = 'It\'s "half" of $HOME\n第二行 龙🐉 \\n `id` @file;type=x '


FILES = {"generate": [], "edit": ["image.png", "mask.png"], "vary": ["image.png"]}


def describe(page: Page) -> None:
    page.get_by_role("textbox", name=re.compile("Description|What to change")).fill(f"{PROMPT}{uuid4().hex}")


def send(page: Page) -> Locator:
    """Send the order and return the card of its image."""
    page.locator("#send").click()
    cards(page).first.wait_for()
    return cards(page).first


def give(page: Page, operation: str, folder: Path) -> None:
    """Choose what to do, and an image for it."""
    draw_inputs(folder)
    page.get_by_role("radio", name=operation).check(force=True)
    page.locator("input[type=file]").set_input_files(folder / "square.png")
    page.get_by_text("One image was added.").wait_for()


def generate(page: Page, folder: Path) -> Locator:
    page.get_by_label("Quality").select_option("low")
    describe(page)
    return send(page)


def edit(page: Page, folder: Path) -> Locator:
    give(page, "Edit", folder)
    page.get_by_role("button", name="Paint what changes").click()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Done").click()
    describe(page)
    return send(page)


def vary(page: Page, folder: Path) -> Locator:
    give(page, "Vary", folder)
    return send(page)


def code_of(page: Page, card: Locator, folder: Path) -> Code:
    """Return the code that the dialog shows, and the files that it offers."""
    choose(card, "As code")
    dialog = page.get_by_role("dialog", name="The same call as code")
    dialog.wait_for()
    texts = {}
    for tab in dialog.get_by_role("tab").all():
        tab.click()
        name = str(tab.get_attribute("data-name"))
        texts[name] = dialog.get_by_role("tabpanel").text_content() or ""
    files = {}
    for link in dialog.get_by_role("link").all():
        with page.expect_download() as download:
            link.click()
        files[download.value.suggested_filename] = download.value.path().read_bytes()
    page.keyboard.press("Escape")
    return Code(texts=texts, files=files)


@pytest.mark.parametrize("act", [generate, edit, vary], ids=lambda act: act.__name__)
def test_code_makes_the_call_that_was_made(visit: Visit, house: House, tmp_path: Path, act: Act) -> None:
    page = visit(house.gateway.url, **COPIES)
    page.get_by_label("Quality").wait_for()
    before = len(house.journal())
    card = act(page, tmp_path)
    name = urlsplit(link_of(page, card)).path
    code = code_of(page, card, tmp_path)
    asked = len(house.journal())

    assert sorted(code.files) == FILES[act.__name__]
    for language in ("curl", "python"):
        (link,) = run_code(code, language, tmp_path / language, key=None)
        # Equal orders share an image: any difference would have made another one.
        assert urlsplit(link).path == name
    assert asked == before + 1
    assert len(house.journal()) == asked


def test_a_repeated_edit_has_the_same_inputs_and_its_code_asks_for_a_new_image(
    visit: Visit, house: House, tmp_path: Path
) -> None:
    page = visit(house.gateway.url)
    page.get_by_label("Quality").wait_for()
    before = len(house.journal())
    choose(edit(page, tmp_path), "Again, a new one")
    until(lambda: cards(page).count() == 2)

    first, second = house.journal()[before:]
    assert first["inputs"] == second["inputs"]
    assert len(first["inputs"]) == 2
    assert "no-cache" in code_of(page, cards(page).nth(0), tmp_path).texts["curl"]
    assert "no-cache" not in code_of(page, cards(page).nth(1), tmp_path).texts["curl"]
