"""`make page-images`: use the page as the documents show it, and take its images into docs/images/."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from tests.browser.conftest import FLAGS
from tests.browser.easel import draw_line, easel, open_easel
from tests.browser.spending import NOVEMBER, book
from tests.http.house import House, open_house
from tests.http.offices import ADMIN_KEY, Office, open_office
from tests.processes import REPOSITORY, run_valkey

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

IMAGES = REPOSITORY / "docs" / "images"
FONT = REPOSITORY / "service/sandbox/painting/fonts/wqy-microhei.ttf"
LAPTOP: dict[str, Any] = {"viewport": {"width": 1280, "height": 860}}
PHONE = {"viewport": {"width": 390, "height": 780}, "device_scale_factor": 2, "has_touch": True}
WATCHED_S = 20
IS_IN_SIGHT = """() => {
  const box = document.querySelector("#gallery img")?.getBoundingClientRect();
  return box && box.top >= 0 && (box.top + box.bottom) / 2 < innerHeight;
}"""


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as directory,
        open_house(Path(directory, "house")) as house,
        open_chromium(Path(directory)) as browser,
    ):
        for name, take in SCENES.items():
            page = open_page(browser, house, **OPTIONS[name])
            take(page, house)
            keep(page, IMAGES / f"page-{name}.png")
        with spenders(Path(directory, "spenders")) as office:
            keep(open_spend(browser, office), IMAGES / "admin-spend.png")


def keep(page: Page, path: Path) -> None:
    """Write an image of the page as it is now, and close it."""
    page.screenshot(path=path)
    reduce_colours(path)
    page.context.close()
    print(f"{path.relative_to(REPOSITORY)}: {path.stat().st_size / 1000:.0f} kB")


def show_partial_images(page: Page, house: House) -> None:
    house.behave(latency_s=WATCHED_S)
    page.locator("[name=n]").fill("3")
    page.locator("#send").click()
    # Two of three stages.
    page.locator(".slot img").nth(2).wait_for()
    stage = page.locator(".slot img").first.get_attribute("src")
    page.wait_for_function("stage => document.querySelector('.slot img').src !== stage", arg=stage)
    page.wait_for_function("[...document.querySelectorAll('.slot img')].every((image) => image.complete)")


def make(page: Page, house: House, n: int = 1) -> None:
    house.behave(latency_s=0)
    page.locator("[name=n]").fill(str(n))
    page.locator("#send").click()
    page.locator("#gallery img").nth(n - 1).wait_for()
    page.wait_for_function("[...document.querySelectorAll('#gallery img')].every((image) => image.complete)")


def paint_a_mask(page: Page, house: House) -> None:
    make(page, house)
    page.locator("#gallery").get_by_role("button", name="Edit", exact=True).click()
    page.get_by_label("What to change").fill("Put a red balloon into the sky")
    open_easel(page)
    for top in (0.14, 0.2, 0.26):
        draw_line(page, (0.55, top), (0.85, top))
    easel(page).get_by_role("application").hover(position={"x": 120, "y": 120})


def show_a_phone(page: Page, house: House) -> None:
    make(page, house)
    page.wait_for_function(IS_IN_SIGHT)


def show_the_dark(page: Page, house: House) -> None:
    make(page, house, n=3)


Scene = Callable[["Page", House], None]
SCENES: dict[str, Scene] = {
    "generating": show_partial_images,
    "painting": paint_a_mask,
    "phone": show_a_phone,
    "dark": show_the_dark,
}
OPTIONS: dict[str, dict[str, Any]] = {
    "generating": {**LAPTOP, "locale": "en-GB"},
    "painting": {**LAPTOP, "locale": "en-GB"},
    "phone": {**PHONE, "locale": "zh-CN"},
    "dark": {**LAPTOP, "locale": "en-GB", "color_scheme": "dark"},
}


@contextmanager
def open_chromium(directory: Path) -> Iterator[Browser]:
    """Run a Chromium that has the sandbox's font, as a machine of tests has none for Chinese."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - installed by its own target

    fonts = directory / "fonts"
    fonts.mkdir()
    shutil.copy(FONT, fonts)
    environment: dict[str, Any] = {**os.environ, "XDG_DATA_HOME": str(directory)}  # noqa: TID251 - a child needs PATH
    with sync_playwright() as playwright:
        path = shutil.which("chromium")
        yield playwright.chromium.launch(executable_path=path, args=list(FLAGS), env=environment)


def open_page(browser: Browser, house: House, **options: Any) -> Page:
    page = browser.new_context(reduced_motion="reduce", **options).new_page()
    page.goto(house.gateway.url)
    page.locator("#price").wait_for()
    return page


@contextmanager
def spenders(directory: Path) -> Iterator[Office]:
    """Run a gateway whose ledger has `NOVEMBER`."""
    with (
        run_valkey() as valkey,
        open_office(directory, redis_url=valkey.url, secrets="a-long-secret-of-these-images") as office,
    ):
        book(valkey.url, NOVEMBER)
        yield office


def open_spend(browser: Browser, office: Office) -> Page:
    """Open the spend of `NOVEMBER`, with the day on which images of unknown outcome cost most."""
    page = browser.new_context(**LAPTOP, locale="en-GB").new_page()
    page.clock.set_fixed_time("2026-11-30T12:00:00Z")
    page.add_init_script(f"sessionStorage['image-gateway.admin-key'] = '{ADMIN_KEY}'")
    page.goto(f"{office.gateway.url}/admin")
    slider = page.get_by_role("slider")
    slider.press("Home")
    for _ in range(17):
        slider.press("ArrowRight")
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    return page


def reduce_colours(path: Path) -> None:
    """Reduce an image to a palette, a third of the bytes."""
    with Image.open(path) as image:
        reduced = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    reduced.save(path, optimize=True)


if __name__ == "__main__":
    main()
