"""Paint on an image what changes: by mouse, finger and keys; the provider gets exactly what is seen."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from PIL import Image, ImageChops

from service.adapters.imaging import pixels
from tests.browser.easel import (
    RED,
    cancel,
    canvas_alpha,
    choose,
    close_easel,
    draw_line,
    easel,
    held,
    holes,
    open_easel,
    photo,
    quarters,
    received,
    send,
    start_edit,
    told,
    upload_of,
)
from tests.browser.visitor import barriers
from tests.http.house import digest_of, file_of, open_picture

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Page

    from tests.browser.conftest import Visit
    from tests.http.house import House

# At this size a pixel of the canvas is one of the image.
SIZE = (1600, 1250)
# With what two ways of drawing differ by.
HALF = 128 + 32


COUNT_TURNS = """
async () => {
  const { maskOf } = await import("/web/playground/edit/mask.js");
  const { Painting } = await import("/web/playground/edit/painting.js");
  const painting = new Painting();
  painting.add({ kind: "fill" });
  let turns = 0;
  let isOver = false;
  const take = () => isOver || ((turns += 1), setTimeout(take));
  take();
  const mask = await maskOf(painting, { x: 0, y: 0, width: 6000, height: 4000, scale: 1, inner: null });
  isOver = true;
  return [turns, mask.size];
}
"""
"""Draw a large mask, and count how often the page could do something else meanwhile."""


@pytest.fixture
def slow(house: House) -> Iterator[House]:
    with held(house):
        yield house


def button(page: Page, name: str) -> None:
    easel(page).get_by_role("button", name=name, exact=True).click()


def test_the_provider_gets_the_painting_pixel_by_pixel(visit: Visit, slow: House) -> None:
    page = start_edit(visit, slow)
    image = file_of(quarters(*SIZE))
    choose(page, image)
    open_easel(page)
    draw_line(page, (0.1, 0.1), (0.8, 0.6))
    page.keyboard.press("e")
    draw_line(page, (0.3, 0.1), (0.3, 0.9))
    page.keyboard.press("b")
    draw_line(page, (0.5, 0.9), (0.5, 0.9))
    # While a line is drawn, its pieces overlap, and their soft borders add up; drawn again, it is one.
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+Shift+Z")
    seen = canvas_alpha(page)
    close_easel(page)

    sent = received(slow, send(page, "byte by byte"))

    assert [(each["field"], each["width"], each["height"]) for each in sent] == [
        ("image", *SIZE),
        ("mask", *SIZE),
    ]
    assert sent[0]["sha256"] == digest_of(image)
    mask = open_png(upload_of(slow, sent[1]))
    assert [value for _, value in mask.getchannel("A").getcolors() or []] == [0, 255]
    # At the border of a line a pixel may be half painted, and the mask says yes or no.
    wrong = ImageChops.difference(holes(mask), seen)
    assert sum(wrong.histogram()[HALF + 1 :]) == 0
    border = wrong.point([0] + [255] * 255)
    assert 0 < share(border) < 0.02
    cancel(page)


def open_png(file: bytes) -> Image.Image:
    image = open_picture(file)
    assert (image.format, image.mode) == ("PNG", "RGBA")
    return image


def test_a_painting_can_be_undone_done_again_and_inverted(visit: Visit, house: House) -> None:
    page = start_edit(visit, house)
    choose(page, file_of(quarters(200, 100)))
    open_easel(page)
    assert told(page) == "Nothing is painted yet."
    draw_line(page, (0.2, 0.5), (0.8, 0.5))
    once = canvas_alpha(page)
    draw_line(page, (0.5, 0.1), (0.5, 0.9))
    twice = canvas_alpha(page)

    page.keyboard.press("Control+z")
    assert share(canvas_alpha(page)) == pytest.approx(share(once), abs=0.001)
    page.keyboard.press("Control+Shift+Z")
    assert share(canvas_alpha(page)) == pytest.approx(share(twice), abs=0.001)
    button(page, "Invert")
    assert share(canvas_alpha(page)) == pytest.approx(1 - share(twice), abs=0.001)
    button(page, "Clear")
    assert (share(canvas_alpha(page)), told(page)) == (0, "Nothing is painted yet.")
    button(page, "Fill")
    assert (share(canvas_alpha(page)), told(page)) == (1, "100% of the image is to change.")
    for _ in range(4):
        button(page, "Undo")
    assert share(canvas_alpha(page)) == pytest.approx(share(once), abs=0.001)
    button(page, "Undo")
    assert easel(page).get_by_role("button", name="Undo").get_attribute("aria-disabled") == "true"


def share(alpha: Image.Image) -> float:
    """Return the part of an image of one channel that is bright."""
    return sum(alpha.histogram()[128:]) / (alpha.width * alpha.height)


def test_the_keyboard_alone_paints_a_mask(visit: Visit, slow: House) -> None:
    page = start_edit(visit, slow)
    choose(page, file_of(quarters(400, 400)))
    page.get_by_role("button", name="Paint what changes").focus()
    page.keyboard.press("Enter")
    # The keyboard is on the image, in its middle.
    for _ in range(20):
        page.keyboard.press("]")
    for _ in range(3):
        page.keyboard.press("ArrowLeft")
    page.keyboard.down(" ")
    page.keyboard.press("ArrowUp")
    page.keyboard.up(" ")
    easel(page).get_by_text(re.compile("from the left, .* from the top: painted.")).wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Paint more").wait_for()
    assert page.evaluate("document.activeElement.textContent") == "Paint more"

    [_, mask] = received(slow, send(page, "by keys"))
    left, top, right, bottom = holes(open_png(upload_of(slow, mask))).getbbox() or (0, 0, 0, 0)

    # Half of the image is the widest brush: its middle went to that of the leftmost pixel, and up by a half of it.
    assert (left, top, right, bottom) == (0, 0, 101, 300)
    cancel(page)


def test_photos_of_every_orientation_stand_upright_with_their_masks(
    visit: Visit, house: House, tmp_path: Path
) -> None:
    page = start_edit(visit, house)
    # Odd sizes find a mask that is turned the wrong way.
    shown = quarters(120, 80)
    for orientation in range(1, 9):
        file = photo(shown, orientation)
        choose(page, file)
        open_easel(page)
        draw_line(page, (0.2, 0.2), (0.3, 0.3))
        seen = (
            easel(page).locator(".sheet img").evaluate("(image) => [image.naturalWidth, image.naturalHeight]")
        )
        close_easel(page)
        [image, mask] = received(house, send(page, f"turned {orientation}"))
        page.get_by_role("button", name=re.compile("Remove: ")).click()

        upright = turned(file, orientation, tmp_path)
        assert seen == [120, 80]
        assert [(each["width"], each["height"]) for each in (image, mask)] == [(120, 80)] * 2
        assert image["sha256"] == digest_of(upright), orientation
        assert near(open_picture(upright).convert("RGB").getpixel((30, 20)), RED), orientation


def turned(file: bytes, orientation: int, directory: Path) -> bytes:
    """Return the file that the gateway sends for a photo with a mask."""
    if orientation == 1:
        return file
    source, target = directory / "source", directory / "target"
    source.write_bytes(file)
    pixels.turn(b"", image=str(source), orientation=orientation, target=str(target))
    return target.read_bytes()


def near(one: object, other: tuple[int, ...]) -> bool:
    assert isinstance(one, tuple)
    return all(abs(a - b) < 16 for a, b in zip(one, other, strict=True))


def test_a_large_photo_is_painted_while_the_page_goes_on(visit: Visit, house: House) -> None:
    page = start_edit(visit, house)
    choose(page, file_of(Image.new("RGB", (6000, 4000), RED), "JPEG"))
    open_easel(page)
    draw_line(page, (0.1, 0.1), (0.9, 0.9))
    close_easel(page)

    [_, mask] = received(house, send(page, "large"))

    assert (mask["width"], mask["height"]) == (6000, 4000)
    assert mask["size_bytes"] < 2**20
    turns, _ = page.evaluate(COUNT_TURNS)
    assert turns > 40


def test_a_webp_with_exif_is_sent_as_it_is_shown(visit: Visit, house: House) -> None:
    """Some browsers do not turn it, and the gateway would: the mask would cover another part."""
    page = start_edit(visit, house)
    choose(page, photo(quarters(120, 80), 6, "WEBP"))
    open_easel(page)
    draw_line(page, (0.2, 0.2), (0.3, 0.3))
    seen = easel(page).locator(".sheet img").evaluate("(image) => [image.naturalWidth, image.naturalHeight]")
    close_easel(page)
    page.get_by_text("Sent as PNG, without loss, as it stands here.").wait_for()

    image, mask = received(house, send(page, "turned or not"))

    assert image["format"] == "png"
    assert [image["width"], image["height"]] == [mask["width"], mask["height"]] == seen


def test_a_mask_goes_with_its_image(visit: Visit, slow: House) -> None:
    """The painting of an image counts while it is the first."""
    page = start_edit(visit, slow)
    choose(page, file_of(quarters(60, 40)), file_of(quarters(40, 60)))
    open_easel(page)
    draw_line(page, (0.2, 0.2), (0.8, 0.8))
    close_easel(page)

    page.get_by_role("button", name="Move earlier: Image 2").click()
    page.get_by_role("button", name="Paint what changes").wait_for()
    inputs = received(slow, send(page, "unpainted first"))
    cancel(page)
    page.get_by_role("button", name="Move earlier: Image 2").click()
    page.get_by_role("button", name="Paint more").wait_for()
    others = received(slow, send(page, "painted first"))
    cancel(page)

    assert [(each["field"], each["width"]) for each in inputs] == [("image[]", 40), ("image[]", 60)]
    assert [(each["field"], each["width"]) for each in others] == [
        ("image[]", 60),
        ("image[]", 40),
        ("mask", 60),
    ]


def test_a_finger_paints_and_two_fingers_do_not(visit: Visit, house: House) -> None:
    page = start_edit(visit, house, viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    choose(page, file_of(quarters(120, 160)))
    open_easel(page)
    box = page.get_by_role("application").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    touches = page.context.new_cdp_session(page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": left, "y": top, "id": number} for number, (left, top) in enumerate(places)]
        touches.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", (x, y))
    touch("touchStart", (x, y), (x + 40, y + 40))
    for step in range(1, 12):
        touch("touchMove", (x - 4 * step, y - 4 * step), (x + 40 + 4 * step, y + 40 + 4 * step))
    touch("touchEnd")
    assert told(page) == "Nothing is painted yet."

    touch("touchStart", (x, y))
    for step in range(1, 6):
        touch("touchMove", (x + 5 * step, y + 5 * step))
    touch("touchEnd")
    # A busy browser handles a touch after it has taken it.
    page.get_by_text("of the image is to change.").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
def test_nothing_keeps_people_from_painting(visit: Visit, house: House, scheme: str, width: int) -> None:
    page = start_edit(visit, house, color_scheme=scheme, viewport={"width": width, "height": 720})
    choose(page, file_of(quarters(120, 80)))
    open_easel(page)
    draw_line(page, (0.2, 0.2), (0.8, 0.8))

    assert barriers(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
