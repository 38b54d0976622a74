"""Give images to the page: drop, paste, choose, order and remove them, and fit them to their model."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from PIL import Image

from tests.browser.easel import (
    cancel,
    choose,
    held,
    quarters,
    received,
    send,
    start_edit,
    thumbnails,
    transfer,
    upload_of,
)
from tests.browser.visitor import barriers
from tests.http.house import House, digest_of, file_of, noise, open_house, open_picture, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Page

    from tests.browser.conftest import Visit

SMALL = file_of(quarters(24, 16))
TIMES = "\N{MULTIPLICATION SIGN}"
STRICT = """
[models."gpt-image-2"]
inputs = { formats = ["png"], max_bytes = 1048576, max_images = 1, square = true, needs_alpha = true }
[models."gpt-image-2.5-flare"]
inputs = { formats = ["png"], max_bytes = 1048576, max_images = 1, needs_alpha = true }
"""


@pytest.fixture(scope="module")
def strict(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """A house with a model that takes as little as DALL·E 2 once did."""
    directory = tmp_path_factory.mktemp("strict")
    config = directory / "gateway.toml"
    config.write_text(STRICT)
    with open_house(directory, config=config) as house:
        house.behave(paint="flat")
        yield house


def names(page: Page) -> list[str]:
    """Return the names of the images in their order."""
    return [text.split(" · ")[0].split(". ")[1] for text in page.locator(".input-words").all_inner_texts()]


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_images_come_from_outside_and_begin_an_edit(visit: Visit, house: House, way: str) -> None:
    page = visit(house.gateway.url)
    page.get_by_label("Quality").wait_for()

    transfer(page, way, SMALL, SMALL)
    thumbnails(page).nth(1).wait_for()

    assert page.get_by_label("Edit", exact=True).is_checked()
    assert page.get_by_text("2 images were added.").is_visible()


def test_text_that_comes_with_an_image_stays_text(visit: Visit, house: House) -> None:
    page = start_edit(visit, house)

    page.get_by_label("What to change").focus()
    transfer(page, "paste", SMALL, text="cells of a table")
    page.get_by_role("button", name="Choose images").focus()
    transfer(page, "paste", SMALL, SMALL, text="cells of a table")
    thumbnails(page).first.wait_for()

    assert page.get_by_text("2 images were added.").count() == 1
    assert thumbnails(page).count() == 2


def test_images_are_sent_as_they_are_and_in_their_order(visit: Visit, house: House) -> None:
    page = start_edit(visit, house)
    files = [file_of(quarters(24, 16 + number), kind) for number, kind in enumerate(("PNG", "JPEG", "WEBP"))]
    choose(page, *files)

    page.get_by_role("button", name="Move earlier: Image 3").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Move earlier: Image 2 of 3, photo-3").wait_for()
    # The keyboard goes with the image.
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Move later: Image 1 of 3, photo-3").wait_for()
    page.get_by_role("button", name=re.compile("Remove: Image 2")).click()
    page.get_by_role("button", name=re.compile("Remove: Image 2 of 2")).wait_for()

    assert names(page) == ["photo-3", "photo-2"]
    sent = received(house, send(page, "ordered"))
    assert [each["sha256"] for each in sent] == [digest_of(files[2]), digest_of(files[1])]


def test_the_seventeenth_image_is_refused_in_words(visit: Visit, house: House) -> None:
    page = start_edit(visit, house)

    transfer(page, "drop", *[SMALL] * 17)
    page.get_by_text("This model takes at most 16 images: one was not added.").wait_for()

    assert thumbnails(page).count() == 16


def test_a_file_that_is_no_image_is_told(visit: Visit, house: House) -> None:
    page = start_edit(visit, house)

    transfer(page, "drop", b"no image")

    page.get_by_text("dropped.png is no image that your browser can read.").wait_for()
    assert thumbnails(page).count() == 0


def test_an_edit_without_an_image_says_so(visit: Visit, house: House) -> None:
    page = start_edit(visit, house)

    send(page, "nothing to change")

    page.get_by_text("Choose an image first.").wait_for()
    # The keyboard is where it can be mended.
    page.keyboard.press("Tab")
    page.keyboard.press("Shift+Tab")
    assert page.evaluate("document.activeElement.textContent") == "Choose images"


def test_what_a_model_does_not_take_is_told_and_mended(visit: Visit, strict: House) -> None:
    """A part of the image is cut off only if the person asks for it, and comes back with another model."""
    page = start_edit(visit, strict, model="gpt-image-2")
    page.get_by_text("One image, square: PNG, at most 1 MB.").wait_for()
    shown = quarters(96, 64)
    choose(page, file_of(shown, "JPEG", quality=95))
    page.get_by_text(f"This model takes square images only; this one is 96 {TIMES} 64.").first.wait_for()
    prompt = send(page, "not square")
    page.get_by_text("Image 1: This model takes square images only").wait_for()

    page.get_by_role("button", name="Cut it square").click()
    page.get_by_text(f"Cut to 64 {TIMES} 64.").wait_for()
    assert page.get_by_text("Sent as PNG, without loss: this model takes no JPEG.").is_visible()
    [cut] = received(strict, send(page, "cut"))
    page.get_by_role("button", name="Use the original").click()
    page.get_by_role("button", name="Add transparent edges").click()
    page.get_by_text(f"Has transparent edges up to 96 {TIMES} 96").wait_for()
    assert page.get_by_text("Nothing is painted: the transparent part is to change.").is_visible()
    [padded] = received(strict, send(page, "padded"))
    page.get_by_label("Model", exact=True).select_option("gpt-image-2.6-flare")
    page.get_by_text(f"photo-1 · 96 {TIMES} 64").wait_for()
    [whole] = received(strict, send(page, "whole"))

    seen = [(each["format"], each["width"], each["height"]) for each in (cut, padded, whole)]
    assert seen == [("png", 64, 64), ("png", 96, 96), ("jpeg", 96, 64)]
    assert strict.journal(prompt=prompt) == []


def test_an_image_that_is_too_large_is_made_smaller_on_request(visit: Visit, strict: House) -> None:
    page = start_edit(visit, strict, model="gpt-image-2")
    page.get_by_text("One image, square").wait_for()
    choose(page, file_of(noise(800)))

    page.get_by_text(re.compile("This image has .* MB; this model takes at most 1 MB.")).first.wait_for()
    page.get_by_role("button", name="Make it smaller").click()
    page.get_by_text("Made smaller").wait_for()

    [sent] = received(strict, send(page, "smaller"))
    assert sent["width"] == sent["height"] < 800
    assert sent["size_bytes"] <= 2**20


def test_an_image_of_too_many_pixels_is_made_smaller_on_request(visit: Visit, house: House) -> None:
    """The largest photos of phones have more than the gateway takes, and a canvas of a phone far less."""
    page = start_edit(visit, house)
    choose(page, file_of(Image.new("1", (8064, 6048))))

    page.get_by_text("This image has 48.8 megapixels; at most 40 megapixels are taken.").first.wait_for()
    page.get_by_role("button", name="Make it smaller").click()
    page.get_by_text("Made smaller").wait_for()

    [sent] = received(house, send(page, "fewer pixels"))
    assert sent["width"] * 6048 == pytest.approx(sent["height"] * 8064, rel=0.001)
    assert 14e6 < sent["width"] * sent["height"] < 16e6


def test_an_image_that_a_browser_cannot_copy_is_told(visit: Visit, strict: House) -> None:
    page = start_edit(visit, strict, model="gpt-image-2.5-flare")
    page.get_by_text("One image: PNG").wait_for()

    # No canvas has a side of that length, and the model asks for an alpha channel.
    choose(page, file_of(Image.new("1", (66_000, 8))))

    page.get_by_text("Your browser cannot convert an image this large.").first.wait_for()
    assert page.get_by_text("Sent with an alpha channel").count() == 0
    page.get_by_role("button", name=re.compile("Remove: Image 1")).click()
    thumbnails(page).wait_for(state="detached")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("BMP", "Sent as PNG, without loss: this model takes no BMP."),
        ("PNG", "Sent with an alpha channel, without loss"),
    ],
)
def test_a_copy_without_loss_has_the_same_pixels(visit: Visit, strict: House, kind: str, words: str) -> None:
    page = start_edit(visit, strict, model="gpt-image-2")
    page.get_by_text("One image, square").wait_for()
    shown = noise(64)

    choose(page, file_of(shown, kind))
    page.get_by_text(words).wait_for()

    with held(strict):
        [sent] = received(strict, send(page, "without loss"))
        copy = open_picture(upload_of(strict, sent))
        cancel(page)
    assert (copy.format, copy.mode) == ("PNG", "RGBA")
    assert copy.convert("RGB").tobytes() == shown.tobytes()


def test_a_result_is_edited_and_varied(visit: Visit, house: House) -> None:
    page = visit(house.gateway.url)
    prompt = f"a result {uuid4().hex[:8]}"
    page.get_by_label("Description").fill(prompt)
    page.get_by_role("button", name="Make images", exact=True).click()
    card = page.locator("#gallery article").filter(has_text=prompt)
    card.get_by_role("button", name="Edit").click()
    thumbnails(page).wait_for()
    [painted] = house.painted(prompt)

    [sent] = received(house, send(page, "edited"))
    assert sent["sha256"] == painted["sha256"]

    page.locator("#gallery article").filter(has_text=re.compile("^edited")).wait_for()
    page.get_by_text(re.compile(r"^1 image in \d+ s")).last.wait_for()
    card.get_by_text("More", exact=True).click()
    card.get_by_role("button", name="Vary").click()
    page.get_by_role("group", name="Image to vary").wait_for()
    page.locator("form").get_by_role("button", name="Vary", exact=True).click()
    until(lambda: len(calls_with(house, painted["sha256"])) == 2)
    assert page.get_by_role("button", name="Paint what changes").count() == 0


def calls_with(house: House, digest: str) -> list[str]:
    """Return the paths of the provider's calls that an image came with."""
    calls = house.journal()
    return [call["path"] for call in calls if digest in [each["sha256"] for each in call["inputs"]]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("locale", ["en-GB", "zh-CN"])
def test_nothing_keeps_people_from_their_images(visit: Visit, house: House, scheme: str, locale: str) -> None:
    page = visit(
        house.gateway.url, color_scheme=scheme, locale=locale, viewport={"width": 320, "height": 700}
    )
    page.locator("#fields select").first.wait_for()
    transfer(page, "drop", SMALL, SMALL)
    thumbnails(page).nth(1).wait_for()

    assert barriers(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == 320
