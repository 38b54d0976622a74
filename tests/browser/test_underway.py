"""Leave the page while an order runs, and come back: what is paid for is found."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.browser.conftest import Visit
from tests.browser.test_orders import describe, ended, send, slow, wait_for_images  # noqa: F401 - a fixture
from tests.browser.visitor import barriers
from tests.http.house import House, file_of, noise

if TYPE_CHECKING:
    from playwright.sync_api import Dialog, Page

DIGESTS = """async () => {
  const { openHistory } = await import("/web/playground/keep/history.js");
  const history = openHistory();
  await new Promise((resolve) => history.onChange(resolve));
  return Promise.all((await history.list()).map(async ({ blob }) => `${new Uint8Array(await blob.arrayBuffer())}`));
}"""
"""Read the bytes of all images of the history."""
IS_FREE_TO_GO = "() => dispatchEvent(new Event('beforeunload', { cancelable: true }))"
IN_SIGHT = "(name) => document.querySelector(name).getBoundingClientRect().top < innerHeight"
LEFT = """async () => {
  const { openUnderway } = await import("/web/playground/underway.js");
  return (await openUnderway().left()).length;
}"""
"""Count the orders that no open page runs."""


def begin(page: Page, act: str) -> str:
    """Order an image by *act*, wait until it is half painted, and return its prompt."""
    page.get_by_label("Background").wait_for()
    if act == "edit":
        page.get_by_role("radio", name="Edit").check(force=True)
        image = {"name": "a.png", "mimeType": "image/png", "buffer": file_of(noise(64))}
        page.locator("input[type=file]").set_input_files(image)
        page.get_by_text("One image was added.").wait_for()
    prompt = f"reloaded {uuid4().hex[:8]}"
    page.locator("#field-prompt").fill(prompt)
    page.locator("#send").click()
    if act == "again":
        wait_for_images(page, 1)
        page.locator("#gallery summary").first.click()
        page.locator("#gallery").get_by_role("button", name="Again").click()
    page.get_by_role("img", name="half painted").wait_for()
    return prompt


@pytest.mark.parametrize(("act", "images"), [("make", 1), ("edit", 1), ("again", 2)])
def test_an_order_is_fetched_after_a_reload(visit: Visit, slow: House, act: str, images: int) -> None:  # noqa: F811 - the fixture
    page = visit(slow.gateway.url, viewport={"width": 390, "height": 844})
    prompt = begin(page, act)
    warnings: list[str] = []

    def leave(dialog: Dialog) -> None:
        warnings.append(dialog.type)
        dialog.accept()

    page.on("dialog", leave)

    page.reload()
    left = page.locator("article.left", has_text="The page was closed while this order was under way.")
    left.wait_for()
    page.wait_for_function(IN_SIGHT, arg="article.left")
    assert barriers(page) == []
    page.get_by_role("button", name="Get its images").click()
    ended(page).wait_for()
    wait_for_images(page, images)
    page.wait_for_function(IS_FREE_TO_GO)
    page.reload()
    wait_for_images(page, images)

    assert len(slow.painted(prompt)) == images
    assert len(set(page.evaluate(DIGESTS))) == images
    assert page.evaluate(LEFT) == 0
    assert warnings == ["beforeunload"]


def test_an_order_of_another_tab_is_not_taken_for_lost(visit: Visit, slow: House) -> None:  # noqa: F811 - the fixture
    page = visit(slow.gateway.url)
    describe(page, "of the first tab")
    send(page)
    page.get_by_role("img", name="half painted").wait_for()

    other = page.context.new_page()
    other.goto(slow.gateway.url)

    assert other.evaluate(LEFT) == 0
    ended(page).wait_for()
