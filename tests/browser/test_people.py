"""Use the page as people are: without a key, offline, on a phone, by keyboard alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.browser.conftest import Visit
from tests.browser.images import IS_IN_SIGHT
from tests.browser.test_orders import card, describe, ended, send, slow  # noqa: F401 - a fixture
from tests.browser.visitor import barriers
from tests.http.house import House, until
from tests.http.offices import ADMIN_KEY, Office

if TYPE_CHECKING:
    from playwright.sync_api import Page

PHONES = (320, 360, 430)


def models(page: Page) -> list[str]:
    page.get_by_label("Background").wait_for()
    names: list[str] = page.get_by_label("Model", exact=True).locator("option").all_inner_texts()
    return names


def test_a_key_is_asked_for_and_then_enough(visit: Visit, office: Office) -> None:
    page = visit(office.gateway.url)
    page.get_by_text("This gateway needs a key.").wait_for()
    field = page.get_by_label("Your key")
    assert field.evaluate("each => each === document.activeElement")

    field.fill(office.create_key()["key"])
    field.press("Enter")

    assert "dall-e-3" in models(page)
    assert page.get_by_text("The gateway wants a key").is_hidden()
    assert not field.is_visible()
    # No form was sent by the browser itself.
    assert page.url == f"{office.gateway.url}/"
    describe(page, "with a key")
    send(page)
    ended(page).wait_for()


def test_who_sends_without_a_key_is_asked_again(visit: Visit, office: Office) -> None:
    page = visit(office.gateway.url)
    page.get_by_text("This gateway needs a key.").wait_for()
    page.keyboard.press("Escape")
    page.get_by_label("Your key").wait_for(state="hidden")

    send(page)

    page.get_by_label("Your key").wait_for()


@pytest.mark.parametrize("width", [320, 430, 1280])
def test_the_panel_of_the_key_is_on_the_screen(visit: Visit, office: Office, width: int) -> None:
    page = visit(office.gateway.url, viewport={"width": width, "height": 700})
    page.get_by_label("Your key").wait_for()

    panel = page.locator("#key-menu form").bounding_box()

    assert panel is not None
    assert panel["x"] >= 0
    assert panel["x"] + panel["width"] <= width


def test_a_wrong_key_is_told_and_can_be_replaced(visit: Visit, office: Office) -> None:
    page = visit(office.gateway.url, key=f"ig_{'x' * 43}")
    page.get_by_text("The gateway does not accept this key").wait_for()

    page.get_by_label("Your key").fill(office.create_key()["key"])
    page.get_by_role("button", name="Use this key").click()

    assert "dall-e-3" in models(page)


def test_a_key_that_is_lost_meanwhile_is_asked_for_again(visit: Visit, office: Office) -> None:
    created = office.create_key()
    page = visit(office.gateway.url, key=created["key"])
    models(page)
    page.get_by_label("Model", exact=True).select_option("dall-e-3")
    page.get_by_label("Style").wait_for()
    prompt = describe(page, "unlucky")

    office.admin.delete(f"/admin/keys/{created['team']}/{created['id']}").raise_for_status()
    send(page)

    page.get_by_text("The gateway does not accept this key").wait_for()
    page.get_by_label("Your key").fill(office.create_key()["key"])
    page.get_by_role("button", name="Use this key").click()
    page.get_by_text("1 image for testing").wait_for()
    assert page.get_by_label("Model", exact=True).input_value() == "dall-e-3"
    assert page.get_by_label("Description").input_value() == prompt
    send(page)
    ended(page).wait_for()


def test_a_remembered_key_outlives_the_tab(visit: Visit, office: Office) -> None:
    page = visit(office.gateway.url)
    page.get_by_label("Remember it on this device").check()
    page.get_by_label("Your key").fill(office.create_key()["key"])
    page.get_by_role("button", name="Use this key").click()
    models(page)

    again = page.context.new_page()
    again.goto(office.gateway.url)

    assert "dall-e-3" in models(again)


def test_a_person_without_connection_is_told_and_can_go_on_later(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url)
    models(page)
    prompt = describe(page, "offline")

    page.context.set_offline(offline=True)
    page.get_by_text("The gateway does not answer.").first.wait_for()
    send(page)
    card(page).get_by_text("The gateway does not answer.").wait_for()
    card(page).get_by_text("Nothing is charged if the order has not arrived").wait_for()
    assert "The gateway says" not in page.locator("main").inner_text()
    assert "the same order" not in page.locator("#trouble").inner_text()

    page.context.set_offline(offline=False)
    page.locator("#trouble").wait_for(state="hidden")
    card(page).get_by_role("button", name="Try again").click()
    ended(page).wait_for()
    assert len(house.painted(prompt)) == 1


@pytest.mark.parametrize("width", PHONES)
@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
def test_a_phone_shows_all_without_scrolling_sideways(
    visit: Visit, house: House, width: int, locale: str
) -> None:
    page = visit(house.gateway.url, viewport={"width": width, "height": 700}, locale=locale, has_touch=True)
    page.locator("#field-background").wait_for()

    assert page.evaluate("document.documentElement.scrollWidth") <= width
    # The button is in reach at once.
    button = page.locator("#send").bounding_box()
    assert button is not None
    assert 0 < button["y"] < 700 - button["height"]

    page.locator("#send").tap()
    # Without a finger, the person sees what was made.
    page.wait_for_function(IS_IN_SIGHT)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_keyboard_alone_is_enough(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url)
    models(page)
    press = page.keyboard.press

    def focus_by_tab(selector: str) -> None:
        for _ in range(40):
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
            press("Tab")
        raise AssertionError(f"Tab does not lead to {selector}")

    focus_by_tab("[name=operation]")
    press("ArrowRight")
    assert page.get_by_role("radio", name="Edit").is_checked()
    press("ArrowLeft")
    focus_by_tab("textarea")
    press("ControlOrMeta+a")
    page.keyboard.type("by keyboard")
    focus_by_tab("select[name=model]")
    page.keyboard.type("dall-e-3")
    focus_by_tab("select[name=style]")
    press("ArrowDown")
    focus_by_tab("#send")
    press("Enter")
    ended(page).wait_for()

    assert card(page).get_by_text("dall-e-3 · 1 image").is_visible()
    assert len(house.painted("by keyboard")) == 1
    focus_by_tab("textarea")
    press("ControlOrMeta+a")
    page.keyboard.type("sent by keys")
    press("Control+Enter")
    until(lambda: house.painted("sent by keys"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
def test_a_missing_key_and_a_missing_gateway_keep_nobody_out(
    visit: Visit, office: Office, scheme: str, locale: str
) -> None:
    page = visit(office.gateway.url, color_scheme=scheme, locale=locale)
    page.locator("#key").wait_for()
    assert barriers(page) == []

    page.context.set_offline(offline=True)
    page.locator("#trouble").wait_for()
    assert barriers(page) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_state_of_an_order_keeps_people_out(visit: Visit, slow: House, scheme: str) -> None:  # noqa: F811 - the fixture
    page = visit(slow.gateway.url, color_scheme=scheme)
    models(page)
    page.get_by_text("More settings").click()
    page.get_by_label("Size").select_option("free")
    page.get_by_label("Width").fill("1000")
    page.locator(".wrong").wait_for()
    assert barriers(page) == []

    page.get_by_label("Width").fill("1024")
    describe(page, "reached by all")
    send(page)
    page.get_by_role("img", name="half painted").wait_for()
    assert barriers(page) == []

    ended(page).wait_for()
    assert barriers(page) == []

    describe(page, "a forbidden-word")
    send(page)
    page.get_by_role("alert").filter(has_text="The rules of the provider").wait_for()
    assert barriers(page) == []


def test_the_panel_of_the_key_tells_the_truth(visit: Visit, office: Office) -> None:
    page = visit(office.gateway.url, key=f"ig_{'x' * 43}")
    page.get_by_text("The gateway does not accept this key").wait_for()
    assert page.locator("#key-summary").inner_text() == "Key"

    created = office.create_key(team="shop")
    page.get_by_label("Your key").fill(created["key"])
    page.get_by_text("It stays in this tab until you close it.").wait_for()
    page.get_by_label("Remember it on this device").check()
    page.get_by_text("It stays in this browser until you forget it here").wait_for()
    page.get_by_role("button", name="Use this key").click()
    models(page)
    page.get_by_text("Key ✓").click()
    page.get_by_text("team shop pays for its images").wait_for()
    assert barriers(page) == []

    page.get_by_role("button", name="Forget this key").click()
    page.get_by_text("This gateway needs a key.").wait_for()
    assert page.evaluate(
        "[localStorage, sessionStorage].map((store) => store['image-gateway.key'] ?? '')"
    ) == ["", ""]


def test_the_operators_key_is_named_if_it_orders_images(visit: Visit, office: Office) -> None:
    page = visit(office.gateway.url, key=ADMIN_KEY)
    models(page)

    page.get_by_text("Key ✓").click()

    page.get_by_text("This is the operators' own key (GATEWAY_ADMIN_KEY).").wait_for()
