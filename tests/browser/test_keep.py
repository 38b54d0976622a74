"""Keep, find, take and delete images on the page, in one tab, in two, and where a browser keeps nothing."""

from __future__ import annotations

import io
import json
import re
import shutil
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx
import pytest
from PIL import Image

from tests.browser.conftest import FLAGS, Visit
from tests.browser.visitor import Faults, barriers
from tests.http.house import House, open_house, until
from tests.http.offices import Office

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser, Locator, Page

FILL = """
async (count) => {
  const { openHistory } = await import("/web/playground/keep/history.js");
  const history = openHistory();
  const canvas = new OffscreenCanvas(512, 512);
  canvas.getContext("2d").fillRect(0, 0, 256, 256);
  const blob = await canvas.convertToBlob();
  for (let index = 0; index < count; index += 1) {
    const order = { operation: "generate", model: "dall-e-3", prompt: `image number ${index}`, n: 1, parameters: {} };
    await history.add({ order, blob, format: "png", width: 512, height: 512, index: 0, url: "/x", name: `x${index}`, costMicrousd: 40000,
      cache: "miss", sentModel: "gpt-image-2.6-flare", revisedPrompt: null, realm: "live", requestId: `r${index}` });
  }
}
"""
"""Put images into the history, without an order for each."""


def make(page: Page, words: str) -> Locator:
    """Order an image with these words, and return its card."""
    prompt = f"{words} {uuid4().hex[:8]}"
    page.get_by_label("Description").fill(prompt)
    page.get_by_role("button", name="Make images", exact=True).click()
    card = cards(page).filter(has_text=prompt)
    card.wait_for()
    return card


def cards(page: Page) -> Locator:
    return page.locator("#gallery article")


def choose(card: Locator, act: str) -> None:
    """Choose an act of the card's menu."""
    card.locator("summary").click()
    card.get_by_role("button", name=act, exact=True).click()


def notice(page: Page, words: str | re.Pattern[str]) -> None:
    page.locator(".notice").filter(has_text=words).wait_for()


def link_of(page: Page, card: Locator) -> str:
    choose(card, "Copy link")
    notice(page, "The link is copied")
    return str(page.evaluate("navigator.clipboard.readText()"))


COPIES = {"permissions": ["clipboard-read", "clipboard-write"]}


def test_a_reload_finds_all_images(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url)
    card = make(page, "kept")
    prompt = card.locator(".prompt").inner_text()
    page.get_by_role("heading", name="This visit").wait_for()

    page.reload()
    page.get_by_role("heading", name="Earlier").wait_for()

    assert cards(page).locator(".prompt").all_inner_texts() == [prompt]
    shown = cards(page).locator("img")
    until(lambda: shown.evaluate("image => image.complete && image.naturalWidth") > 0)


def test_words_find_images_by_prompt_and_model(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url)
    make(page, "a red fox")
    owl = make(page, "a grey owl")
    search = page.get_by_label("Search prompts and models")

    search.fill("OWL grey")
    page.get_by_text("1 image matches.").wait_for()
    assert cards(page).all_inner_texts() == [owl.inner_text()]
    search.fill("gpt-image fox")
    cards(page).filter(has_text="red fox").wait_for()
    search.fill("zebra")
    page.get_by_text("No image matches.").wait_for()
    search.fill("")
    owl.wait_for()
    assert cards(page).count() == 2


def test_a_download_has_the_bytes_and_a_readable_name(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url, **COPIES)
    card = make(page, "两只 red/foxes: ")
    prompt = card.locator(".prompt").inner_text()

    with page.expect_download() as download:
        card.get_by_role("button", name="Download").click()

    assert download.value.suggested_filename == f"两只-red-foxes-{prompt[-8:]}.png"
    content = download.value.path().read_bytes()
    assert content == httpx.get(link_of(page, card), trust_env=False).content


def test_copies_are_what_was_shown(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url, **COPIES)
    card = make(page, "copied 图像")
    prompt = card.locator(".prompt").inner_text()

    choose(card, "Copy prompt")
    notice(page, "The prompt is copied.")
    assert page.evaluate("navigator.clipboard.readText()") == prompt

    choose(card, "Copy image")
    notice(page, "The image is copied.")
    copied = page.evaluate(
        """async () => {
          const [item] = await navigator.clipboard.read();
          return [...new Uint8Array(await (await item.getType("image/png")).arrayBuffer())];
        }"""
    )
    made = httpx.get(link_of(page, card), trust_env=False).content
    assert _pixels(bytes(copied)) == _pixels(made)


def _pixels(content: bytes) -> tuple[tuple[int, int], bytes]:
    with Image.open(io.BytesIO(content)) as image:
        return image.size, image.convert("RGB").tobytes()


def test_a_link_that_ends_says_when(visit: Visit, tmp_path: Path) -> None:
    with open_house(tmp_path, url_ttl_s=7200) as house:
        page = visit(house.gateway.url)

        choose(make(page, "linked"), "Copy link")

        notice(page, re.compile(r"It works without a key until .+ \(in 2 hours\)"))


def test_an_image_deleted_for_good_is_gone_everywhere(visit: Visit, office: Office) -> None:
    page = visit(office.gateway.url, key=office.create_key()["key"], **COPIES)
    card = make(page, "deleted")
    link = link_of(page, card)
    assert httpx.get(link, trust_env=False).status_code == 200
    elsewhere = page.context.new_page()
    elsewhere.goto(link)

    choose(card, "Delete for good")
    dialog = page.get_by_role("alertdialog", name="Delete this image for good?")
    assert dialog.get_by_role("button", name="Cancel").evaluate("each => each === document.activeElement")
    dialog.get_by_role("button", name="Delete for good").click()
    notice(page, "The image is deleted")

    assert httpx.get(link, trust_env=False).status_code == 410
    # Also in a browser that kept it.
    again = elsewhere.goto(link)
    assert again is not None
    assert again.status == 410
    assert cards(page).count() == 0
    page.reload()
    page.get_by_text("Images that you make appear here.").wait_for()


def test_a_deletion_can_be_called_off(visit: Visit, office: Office) -> None:
    page = visit(office.gateway.url, key=office.create_key()["key"], **COPIES)
    card = make(page, "spared")
    link = link_of(page, card)

    choose(card, "Delete for good")
    page.keyboard.press("Escape")
    page.get_by_role("alertdialog").wait_for(state="detached")

    assert card.locator("summary").evaluate("each => each === document.activeElement")
    assert httpx.get(link, trust_env=False).status_code == 200


def test_images_of_another_key_can_be_removed_from_the_browser_only(visit: Visit, office: Office) -> None:
    page = visit(office.gateway.url, key=office.create_key()["key"], **COPIES)
    card = make(page, "not mine")
    link = link_of(page, card)
    other = office.create_key()["key"]
    page.evaluate("key => sessionStorage.setItem('image-gateway.key', key)", other)

    choose(card, "Delete for good")
    page.get_by_role("alertdialog").get_by_role("button", name="Delete for good").click()
    dialog = page.get_by_role("alertdialog", name="The image is not deleted")
    assert "was ordered with another key" in dialog.inner_text()
    dialog.get_by_role("button", name="Remove from this browser").click()
    notice(page, "removed from this browser")

    assert cards(page).count() == 0
    assert httpx.get(link, trust_env=False).status_code == 200


def test_again_makes_another_image_of_the_same_order(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url, **COPIES)
    card = make(page, "twice")
    prompt = card.locator(".prompt").inner_text()
    both = cards(page).filter(has_text=prompt)

    choose(card, "Again, a new one")
    until(lambda: both.count() == 2)

    contents = {httpx.get(link_of(page, both.nth(place)), trust_env=False).content for place in (0, 1)}
    assert len(contents) == 2
    first, second = (entry["parameters"] for entry in house.journal(prompt=prompt))
    of_streams = {"stream", "partial_images"}
    assert {name: first[name] for name in first.keys() - of_streams} == {
        name: second[name] for name in second.keys() - of_streams
    }


def test_two_tabs_share_their_images(visit: Visit, house: House) -> None:
    first = visit(house.gateway.url)
    second = first.context.new_page()
    second.goto(house.gateway.url)
    second.get_by_text("Images that you make appear here.").wait_for()

    card = make(first, "shared")
    prompt = card.locator(".prompt").inner_text()
    cards(second).filter(has_text=prompt).wait_for()

    second.get_by_role("button", name="Clear history").click()
    second.get_by_role("alertdialog").get_by_role("button", name="Clear history").click()
    first.get_by_text("Images that you make appear here.").wait_for()


def test_a_full_disk_is_told_and_images_stay_for_the_visit(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url)
    page.get_by_text("Images that you make appear here.").wait_for()
    devtools = page.context.new_cdp_session(page)
    devtools.send("Storage.overrideQuotaForOrigin", {"origin": house.gateway.url, "quotaSize": 1000})

    make(page, "too large for the disk")

    page.get_by_text("The disk is full").wait_for()
    page.reload()
    page.get_by_text("Images that you make appear here.").wait_for()


HOLD = """
async () => {
  const opened = indexedDB.open("image-gateway.history", 1);
  await new Promise((resolve) => { opened.onsuccess = resolve; });
  indexedDB.deleteDatabase("image-gateway.history");
}
"""
"""Hold the database, as a tab that hangs does, while another waits for it."""


def test_a_tab_that_holds_the_history_stops_no_other(visit: Visit, house: House) -> None:
    holder = visit(f"{house.gateway.url}/web/favicon.svg")
    holder.evaluate(HOLD)
    page = holder.context.new_page()
    page.goto(house.gateway.url)

    make(page, "unkept")

    page.get_by_text("Another tab holds the history").wait_for()


def test_a_newer_page_takes_the_history(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url)
    make(page, "kept by the older")
    newer = page.context.new_page()
    newer.goto(f"{house.gateway.url}/web/favicon.svg")

    newer.evaluate(
        "new Promise((resolve) => { indexedDB.open('image-gateway.history', 2).onsuccess = resolve; })"
    )

    page.get_by_text("Another tab has a newer version of this page").wait_for()
    make(page, "made afterwards")
    assert cards(page).count() == 1


def test_hundreds_of_images_take_the_memory_of_a_few(visit: Visit, house: House) -> None:
    page = visit(f"{house.gateway.url}/web/favicon.svg")
    page.evaluate(FILL, 200)
    page.goto(house.gateway.url)
    cards(page).first.wait_for()
    assert cards(page).count() < 60

    last = cards(page).filter(has_text="image number 0")
    while not last.count():
        cards(page).last.scroll_into_view_if_needed()
    last.scroll_into_view_if_needed()
    until(lambda: last.locator("img[src^='blob:']").count() == 1)

    assert cards(page).count() == 200
    assert cards(page).locator("img[src^='blob:']").count() < 60


def test_only_the_newest_five_hundred_stay(visit: Visit, house: House) -> None:
    page = visit(f"{house.gateway.url}/web/favicon.svg")
    page.evaluate(FILL, 503)
    page.goto(house.gateway.url)
    cards(page).first.wait_for()

    page.get_by_role("button", name="Clear history").click()

    dialog = page.get_by_role("alertdialog", name="Clear the history?")
    assert "500 images leave this browser" in dialog.inner_text()


def test_a_browser_that_stores_nothing_still_shows_the_visit(
    browser: Browser, house: House, tmp_path: Path
) -> None:
    """As its user has it who refuses cookies: not even `localStorage` works."""
    profile = tmp_path / "Default"
    profile.mkdir()
    refused = {"profile": {"default_content_setting_values": {"cookies": 2}}}
    (profile / "Preferences").write_text(json.dumps(refused), "utf-8")
    with browser.browser_type.launch_persistent_context(
        tmp_path, executable_path=shutil.which("chromium"), args=list(FLAGS), locale="en-GB"
    ) as context:
        page = context.pages[0]
        faults = Faults(page)
        page.goto(house.gateway.url)

        make(page, "unkept")
        page.get_by_text("This browser refuses to keep images").wait_for()

        assert faults.found == []


def test_the_viewer_leads_from_image_to_image_by_keys(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url)
    older, newer = make(page, "the first"), make(page, "the second")

    newer.locator(".shown").focus()
    page.keyboard.press("Enter")
    viewer = page.get_by_role("dialog", name="Image")
    viewer.get_by_role("img", name="the second").wait_for()
    page.keyboard.press("ArrowRight")
    viewer.get_by_role("img", name="the first").wait_for()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    viewer.get_by_role("img", name="the second").wait_for()
    page.keyboard.press("Escape")
    viewer.wait_for(state="detached")

    assert newer.locator(".shown").evaluate("each => each === document.activeElement")
    assert older.is_visible()


def test_the_code_of_an_order_is_chosen_and_copied_by_keys(visit: Visit, office: Office) -> None:
    key = office.create_key()["key"]
    page = visit(office.gateway.url, key=key, **COPIES)
    card = make(page, "as code: it's $5")
    prompt = card.locator(".prompt").inner_text()

    card.locator("summary").focus()
    page.keyboard.press("Enter")
    card.get_by_role("button", name="As code", exact=True).press("Enter")
    dialog = page.get_by_role("dialog", name="The same call as code")
    tab = dialog.get_by_role("tab", name="curl")
    tab.focus()
    page.keyboard.press("End")
    assert dialog.get_by_role("tab", name="Java", selected=True).evaluate(
        "each => each === document.activeElement"
    )
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    dialog.get_by_role("tab", name="Python", selected=True).wait_for()
    dialog.get_by_role("button", name="Copy code").press("Enter")
    dialog.get_by_text("Copied.").wait_for()

    code = page.evaluate("navigator.clipboard.readText()")
    assert code == dialog.get_by_role("tabpanel").inner_text()
    assert json.dumps(prompt, ensure_ascii=False) in code
    assert f'base_url="{office.gateway.url}/v1"' in code
    assert key not in code


def test_code_that_cannot_be_loaded_is_told(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url)
    card = make(page, "offline")
    page.context.set_offline(True)

    choose(card, "As code")

    notice(page, "The gateway does not answer.")


def test_an_open_gateway_deletes_what_it_made(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url, **COPIES)
    card = make(page, "open")
    link = link_of(page, card)

    choose(card, "Delete for good")
    page.get_by_role("alertdialog").get_by_role("button", name="Delete for good").click()
    notice(page, "The image is deleted")

    assert httpx.get(link, trust_env=False).status_code == 410


def test_a_menu_closes_by_escape_and_by_a_click_elsewhere(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url)
    card = make(page, "a menu")
    summary = card.locator("summary")
    item = card.get_by_role("button", name="As code")

    summary.press("Enter")
    item.press("Escape")
    item.wait_for(state="hidden")
    assert summary.evaluate("each => each === document.activeElement")
    summary.click()
    item.wait_for()
    page.get_by_role("heading", name="Your images").click()
    item.wait_for(state="hidden")


def test_pages_on_http_copy_texts_and_say_why_not_images(visit: Visit, house: House) -> None:
    """A company's gateway is often reached by http, where browsers have no clipboard."""
    page = visit(house.gateway.url.replace("127.0.0.1", "gateway"))
    assert page.evaluate("window.isSecureContext") is False
    card = make(page, "insecure")

    choose(card, "Copy prompt")
    notice(page, "The prompt is copied.")
    page.get_by_label("Search prompts and models").press("Control+v")
    assert (
        page.get_by_label("Search prompts and models").input_value() == card.locator(".prompt").inner_text()
    )
    choose(card, "Copy image")
    notice(page, "Browsers copy images only on https and localhost.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_keeps_people_out_of_the_gallery(visit: Visit, house: House, scheme: Any) -> None:
    page = visit(house.gateway.url, color_scheme=scheme, viewport={"width": 320, "height": 700})
    card = make(page, "for everyone")
    found = barriers(page)

    card.locator(".shown").click()
    page.get_by_role("dialog").wait_for()
    found += barriers(page)
    page.keyboard.press("Escape")
    choose(card, "As code")
    page.get_by_role("dialog").wait_for()
    found += barriers(page)
    page.keyboard.press("Escape")
    card.locator("summary").click()
    card.get_by_role("button", name="Delete for good").wait_for()
    found += barriers(page)
    card.get_by_role("button", name="Delete for good").click()
    page.get_by_role("alertdialog").wait_for()
    found += barriers(page)

    assert found == []
    assert page.evaluate("document.documentElement.scrollWidth") == 320


def test_the_gallery_speaks_chinese(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url)
    card = make(page, "translated")

    page.get_by_label("Language").select_option("zh")
    page.get_by_role("heading", name="你的图片").wait_for()

    choose(card, "永久删除")
    page.get_by_role("alertdialog", name="永久删除这张图片").wait_for()
