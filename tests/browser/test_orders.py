"""Order images on the page, by mouse, keyboard and on a phone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.browser.conftest import Visit
from tests.http.house import House, until
from tests.http.offices import Office
from tests.processes import run_gateway

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page, Route

BUTTON = "Make images"
CHOSEN = {
    "model": "gpt-image-2.6-flare",
    "size": "1280x768",
    "quality": "low",
    "background": "opaque",
    "output_format": "webp",
    "output_compression": 50,
}


@pytest.fixture
def slow(house: House) -> Iterator[House]:
    """A house whose provider takes a while, so that a person sees an image being painted."""
    house.behave(paint="flat", latency_s=5)
    yield house
    house.behave(paint="flat")


def describe(page: Page, words: str) -> str:
    """Write a description that no other test has, and return it."""
    prompt = f"{words} {uuid4().hex[:8]}"
    page.get_by_label("Description").fill(prompt)
    return prompt


def send(page: Page) -> None:
    page.get_by_role("button", name=BUTTON, exact=True).click()


def card(page: Page) -> Locator:
    """Return what the page says of the last order."""
    return page.locator("article.run").last


def ended(page: Page) -> Locator:
    return card(page).get_by_role("paragraph").filter(has_text=re.compile(r" in \d+ s: "))


def wait_for_images(page: Page, count: int) -> None:
    """Wait until the page shows so many images, and no more."""
    images = page.locator("#gallery img")
    images.nth(count - 1).wait_for()
    assert images.count() == count


def test_an_order_that_is_sent_before_the_lists_have_come_is_made(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url)
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/v1/models", hold)
    page.reload(wait_until="commit")
    describe(page, "sent at once")
    send(page)
    page.wait_for_function("performance.now() > 0")
    assert held
    # Those that are held go on.
    page.unroute("**/v1/models", hold)

    wait_for_images(page, 1)


def test_a_newcomer_gets_an_image_by_one_button(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url)

    send(page)
    ended(page).wait_for()

    prompt = page.get_by_label("Description").input_value()
    assert prompt == "A lighthouse on a cliff at dusk, watercolour"
    wait_for_images(page, 1)
    assert len(house.painted(prompt)) == 1


def test_a_double_click_is_one_order(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url)
    page.get_by_label("Background").wait_for()
    prompt = describe(page, "clicked twice")

    page.get_by_role("button", name=BUTTON, exact=True).dblclick()
    wait_for_images(page, 1)

    assert page.locator("article.run").count() == 1
    assert len(house.painted(prompt)) == 1


def test_the_lists_follow_what_the_model_takes(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url)
    qualities = page.get_by_label("Quality").locator("option")
    qualities.first.wait_for(state="attached")

    page.get_by_label("Model", exact=True).select_option("dall-e-3")
    page.get_by_label("Style").wait_for()

    assert qualities.all_inner_texts()[0] == "Standard (usual)"
    assert "HD" in qualities.all_inner_texts()
    assert page.get_by_text(re.compile("Ended on .*2026: gpt-image-2.6-flare makes the images")).is_visible()

    page.get_by_label("Model", exact=True).select_option("gpt-image-2.6-flare")
    page.get_by_label("Style").wait_for(state="detached")
    assert page.get_by_text("Current model", exact=True).is_visible()


def test_only_formats_that_can_be_watched_are_offered(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url)
    page.get_by_label("Background").wait_for()

    formats = page.get_by_label("File format").locator("option").all_inner_texts()

    assert formats == ["PNG (usual)", "JPEG", "WebP"]


def test_all_that_a_person_chooses_reaches_the_provider(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url)
    page.get_by_label("Background").wait_for()
    prompt = describe(page, "chosen")

    page.get_by_label("Quality").select_option("low")
    page.get_by_label("Background").select_option("opaque")
    page.get_by_label("File format").select_option("webp")
    page.get_by_text("More settings").click()
    page.get_by_label("Compression (%)").fill("50")
    page.get_by_label("Size").select_option("free")
    page.get_by_label("Width").fill("1280")
    page.get_by_label("Height").fill("768")
    page.get_by_label("Number of images").fill("2")
    send(page)
    ended(page).wait_for()

    asked = [
        {name: entry["parameters"].get(name) for name in CHOSEN} for entry in house.journal(prompt=prompt)
    ]
    assert asked == [CHOSEN, CHOSEN]
    wait_for_images(page, 2)


def test_an_image_is_shown_while_it_is_painted(visit: Visit, slow: House) -> None:
    page = visit(slow.gateway.url)
    describe(page, "watched")
    send(page)

    page.get_by_role("img", name="Image 1 of 1 is being made").wait_for()
    page.get_by_role("img", name="Image 1 of 1, half painted").locator("img").wait_for()
    assert re.fullmatch(r"\d+ s", page.get_by_role("timer").inner_text())
    assert page.locator("#gallery img").count() == 0

    ended(page).wait_for()
    wait_for_images(page, 1)
    assert page.get_by_role("timer").count() == 0


def test_the_language_can_be_changed_while_an_order_runs(visit: Visit, slow: House) -> None:
    page = visit(slow.gateway.url)
    prompt = describe(page, "in two languages")
    page.get_by_label("Quality").select_option("low")
    send(page)
    page.get_by_role("img", name="Image 1 of 1 is being made").wait_for()

    page.get_by_label("Language").select_option("zh")

    page.get_by_role("img", name="第 1 张").wait_for()
    assert card(page).get_by_role("button", name="取消").is_visible()
    assert page.get_by_label("画面描述").input_value() == prompt
    assert page.get_by_label("质量").input_value() == "low"
    card(page).get_by_text(re.compile("1 张图片.用时 .* 秒")).wait_for()
    wait_for_images(page, 1)


def test_a_cancelled_order_is_finished_and_found_again(visit: Visit, slow: House) -> None:
    """The page promises it: what is being made is charged once, and the same order finds it."""
    page = visit(slow.gateway.url)
    prompt = describe(page, "cancelled")
    send(page)
    page.get_by_role("img", name="half painted").wait_for()

    page.get_by_role("button", name="Cancel").click()
    card(page).get_by_text("the same order finds them for free").wait_for()
    until(lambda: slow.painted(prompt))

    send(page)
    card(page).get_by_text("from the cache, free").wait_for()
    assert len(slow.painted(prompt)) == 1


def test_a_price_is_told_before_and_after(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url)
    describe(page, "priced")
    page.get_by_label("Number of images").fill("2")
    dearest = page.get_by_text(
        re.compile(r"At most \$0\.\d+ for 2 images: quality “Automatic” counts as the dearest")
    )
    dearest.wait_for()
    page.get_by_label("Quality").select_option("low")
    dearest.wait_for(state="detached")
    page.get_by_text(re.compile(r"^At most \$0\.\d+ for 2 images$")).wait_for()

    send(page)
    card(page).get_by_text(re.compile(r"2 images in \d+ s: \$0\.\d+\.")).wait_for()


def test_test_images_are_never_shown_with_a_price(visit: Visit, office: Office) -> None:
    page = visit(office.gateway.url, key=office.create_key()["key"])
    describe(page, "tested")
    page.get_by_text("1 image for testing: nothing is charged").wait_for()

    send(page)
    card(page).get_by_text("test images, nothing charged").wait_for()
    assert "$" not in page.locator("main").inner_text()


def test_a_wrong_field_is_marked_before_anything_is_sent(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url)
    page.get_by_label("Size").select_option("free")

    page.get_by_label("Width").fill("1000")
    page.get_by_text("The model does not paint this size.").wait_for()
    assert page.get_by_label("Width").get_attribute("aria-invalid") == "true"

    page.get_by_label("Width").fill("1024")
    page.get_by_text("The model does not paint this size.").wait_for(state="detached")
    assert page.get_by_label("Width").get_attribute("aria-invalid") is None


def test_an_empty_description_is_marked(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url)
    page.get_by_label("Background").wait_for()

    page.get_by_label("Description").fill("  ")
    send(page)

    page.get_by_text("Write what should be seen.").wait_for()
    assert page.get_by_label("Description").evaluate("each => each === document.activeElement")
    assert page.locator("article.run").count() == 0


def test_a_refused_description_is_told_in_words(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url)
    describe(page, "a forbidden-word")
    send(page)

    told = page.get_by_role("alert").filter(has_text="The rules of the provider do not allow this")
    told.wait_for()
    assert "Describe it in another way." in told.inner_text()
    assert page.get_by_role("button", name="Try again").count() == 0

    # The next order does not take the number for a report away.
    describe(page, "an allowed word")
    send(page)
    ended(page).wait_for()
    assert told.is_visible()
    page.locator("article.run").first.get_by_role("button", name="Close").click()
    assert page.locator("article.run").count() == 1


def test_a_busy_provider_is_told_with_the_time_of_the_next_try(visit: Visit, house: House) -> None:
    busy = [{"status": 429, "count": 1000, "retry_after_s": 1}]
    house.behave(paint="flat", failures=busy, failure_match="for the busy")
    page = visit(house.gateway.url)
    prompt = describe(page, "for the busy")
    send(page)
    card(page).get_by_text(
        re.compile(r"Nothing was spent\. Try again in (a minute|\d+ seconds?)\.")
    ).wait_for()

    house.behave(paint="flat")
    card(page).get_by_role("button", name="Try again").click()
    ended(page).wait_for()

    assert len(house.painted(prompt)) == 1
    # One card is left: the failure is over.
    assert page.locator("article.run").count() == 1


def test_a_used_up_limit_tells_what_is_left_and_when(visit: Visit, office: Office) -> None:
    policy = office.put_policy(images_per_day=2)
    page = visit(office.gateway.url, key=office.create_key(policy=policy)["key"])
    page.get_by_text("Images today: 2 of 2 left").first.wait_for()

    describe(page, "the last")
    page.get_by_label("Number of images").fill("2")
    send(page)
    ended(page).wait_for()
    page.get_by_text("It would be refused right now.").wait_for()

    describe(page, "one too many")
    send(page)
    told = page.get_by_role("alert").filter(has_text="A limit of the day or the month is used up.")
    told.wait_for()
    assert re.search(
        r"Images today: 0 of 2 left .*all of it again in \d+ (hour|minute|second)", told.inner_text()
    )


def test_a_limit_says_how_many_still_fit(visit: Visit, office: Office) -> None:
    policy = office.put_policy(images_per_min=5)
    page = visit(office.gateway.url, key=office.create_key(policy=policy)["key"])
    page.get_by_text("1 image for testing").wait_for()
    page.get_by_label("Number of images").fill("4")
    describe(page, "most of them")
    send(page)
    ended(page).wait_for()

    describe(page, "too many")
    send(page)

    told = page.get_by_role("alert").filter(has_text="This is more than a limit leaves right now.")
    told.wait_for()
    assert re.search(r"Images a minute: \d of 5 left \(this key's\)", told.inner_text())
    assert re.search(r"\d images? still fits?: order fewer\. Try again in", told.inner_text())


def test_a_closed_team_is_told_before_an_order(visit: Visit, office: Office) -> None:
    created = office.create_key()
    page = visit(office.gateway.url, key=created["key"])
    page.get_by_text("1 image for testing").wait_for()

    office.admin.put(f"/admin/teams/{created['team']}", json={"closed": True}).raise_for_status()
    page.get_by_label("Number of images").fill("2")

    page.get_by_text("The team of your key is closed.").wait_for()


def test_a_budget_of_test_images_has_no_sum(visit: Visit, office: Office) -> None:
    policy = office.put_policy(budget_per_month_microusd=5_000_000)
    page = visit(office.gateway.url, key=office.create_key(policy=policy)["key"])

    page.get_by_text("Budget this month: 100% left").first.wait_for()
    assert "$" not in page.locator("main").inner_text()


def test_an_old_estimate_never_replaces_a_newer_one(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url)
    page.get_by_text(" for 1 image").wait_for()
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    page.route("**/v1/images/estimate", hold, times=1)
    page.get_by_label("Number of images").fill("3")
    until(lambda: page.evaluate("1") and held)
    page.get_by_label("Number of images").fill("2")
    page.get_by_text(" for 2 images").wait_for()

    (old,) = held
    old.fulfill(response=old.fetch())
    # Comes after the old answer.
    page.evaluate("fetch('/livez').then((answer) => answer.text())")

    assert page.get_by_text(" for 2 images").is_visible()


def test_an_unknown_price_is_told_as_unknown(visit: Visit, house: House, tmp_path: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text('[models."gpt-image-2.6-flare"]\nprice = false\n')
    with run_gateway(tmp_path, config=config, **provider_of(house)) as gateway:
        page = visit(gateway.url)
        page.get_by_text("Price unknown").wait_for()
        describe(page, "unpriced")
        send(page)
        card(page).get_by_text("price unknown").wait_for()


def test_a_connection_that_breaks_is_told(visit: Visit, slow: House, tmp_path: Path) -> None:
    with run_gateway(tmp_path, **provider_of(slow)) as gateway:
        page = visit(gateway.url)
        page.get_by_label("Background").wait_for()
        describe(page, "broken off")
        send(page)
        page.get_by_role("img", name="half painted").wait_for()

        gateway.kill()

        card(page).get_by_text("The connection broke before the last image.").wait_for()
        assert card(page).get_by_role("button", name="Try again").is_visible()


def provider_of(house: House) -> dict[str, str]:
    """Return the settings of a gateway whose provider is the house's."""
    return {"openai_base_url": f"{str(house.sandbox.base_url).rstrip('/')}/v1", "openai_api_key": "sk-ours"}


@pytest.mark.parametrize(
    ("device", "hints"), [({}, 1), ({"is_mobile": True, "has_touch": True}, 0)], ids=["keys", "phone"]
)
def test_the_form_names_the_act_and_only_keys_that_exist(
    visit: Visit, house: House, device: dict[str, bool], hints: int
) -> None:
    page = visit(house.gateway.url, **device)
    assert page.get_by_placeholder("Ctrl+Enter").count() == hints

    for mode, title in [("Edit", "Edit images"), ("Vary", "Vary an image"), ("Make", "Make images")]:
        page.get_by_role("radio", name=mode).check(force=True)
        page.get_by_role("heading", level=1, name=title).wait_for()

    page.get_by_role("radio", name="Edit").check(force=True)
    page.get_by_role("button", name="Choose images").wait_for()
    assert page.get_by_text("drop or paste them").count() == hints


def test_a_variation_is_ordered_of_a_model_that_makes_some(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url)
    prompt = describe(page, "to be varied")
    send(page)
    wait_for_images(page, 1)

    page.locator("#gallery summary").first.click()
    page.locator("#gallery").get_by_role("button", name="Vary").click()
    page.get_by_text("Give an image, and get others like it.").wait_for()
    models = page.get_by_label("Model", exact=True).locator("option")
    models.nth(1).wait_for(state="detached")
    assert models.all_inner_texts() == ["dall-e-2"]
    page.locator("#send").click()
    wait_for_images(page, 2)

    (original,) = house.painted(prompt)
    assert house.journal()[-1]["inputs"][0]["sha256"] == original["sha256"]


def test_an_order_can_be_made_again(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url)
    prompt = describe(page, "again")
    page.get_by_label("Number of images").fill("2")
    send(page)
    wait_for_images(page, 2)

    page.locator("#gallery summary").first.click()
    page.locator("#gallery").get_by_role("button", name="Again, a new one").click()
    ended(page).wait_for()
    wait_for_images(page, 3)

    assert len(house.painted(prompt)) == 3
