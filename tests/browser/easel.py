"""Give images to the page, paint on them, and look at what is painted and sent."""

from __future__ import annotations

import base64
import io
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from PIL import Image

from tests.http.house import House, digest_of, file_of, until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Locator, Page

    from tests.browser.conftest import Visit

RED, BLUE, YELLOW, GREEN = (230, 30, 30), (40, 60, 220), (240, 220, 40), (20, 120, 60)
ORIENTATION = 0x0112
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a camera stores an upright image under each Exif orientation."""

TRANSFER = """
([way, files, text]) => {
  const transfer = new DataTransfer();
  if (text) transfer.items.add(text, "text/plain");
  for (const [name, type, data] of files) {
    const bytes = Uint8Array.from(atob(data), (character) => character.charCodeAt(0));
    transfer.items.add(new File([bytes], name, { type }));
  }
  const options = { bubbles: true, cancelable: true };
  const target = way === "paste" ? document.activeElement : document.querySelector("h1");
  if (way === "paste") target.dispatchEvent(new ClipboardEvent("paste", { clipboardData: transfer, ...options }));
  else for (const name of ["dragover", "drop"]) target.dispatchEvent(new DragEvent(name, { dataTransfer: transfer, ...options }));
}
"""


def quarters(width: int, height: int) -> Image.Image:
    """Return an image whose quarters are red, blue, yellow and green, from the upper left."""
    image = Image.new("RGB", (width, height), GREEN)
    image.paste(RED, (0, 0, width // 2, height // 2))
    image.paste(BLUE, (width // 2, 0, width, height // 2))
    image.paste(YELLOW, (0, height // 2, width // 2, height))
    return image


def photo(shown: Image.Image, orientation: int, kind: str = "JPEG") -> bytes:
    """Return a file that is shown as *shown*, with its pixels stored as a camera does."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return file_of(shown.transpose(STORED[orientation]) if orientation > 1 else shown, kind, exif=exif)


def start_edit(visit: Visit, house: House, *, model: str = "", **options: Any) -> Page:
    """Open the page, and choose to edit an image."""
    page = visit(house.gateway.url, **options)
    page.get_by_label("Quality").wait_for()
    page.get_by_text("Edit", exact=True).first.click()
    if model:
        page.get_by_label("Model", exact=True).select_option(model)
    return page


def choose(page: Page, *files: bytes, name: str = "photo") -> None:
    """Choose files, and wait until the page has read them."""
    before = thumbnails(page).count()
    chosen = [
        {"name": f"{name}-{number}", "mimeType": "image/png", "buffer": file}
        for number, file in enumerate(files, 1)
    ]
    page.locator("input[type=file]").set_input_files(chosen)
    thumbnails(page).nth(before + len(files) - 1).wait_for()


def transfer(page: Page, way: str, *files: bytes, text: str = "") -> None:
    """Drop or paste files, with the text that an office adds to its images."""
    sent = [["dropped.png", "image/png", base64.b64encode(file).decode()] for file in files]
    page.evaluate(TRANSFER, [way, sent, text])


def thumbnails(page: Page) -> Locator:
    return page.locator("ol.inputs > li")


def easel(page: Page) -> Locator:
    """Return the open dialog."""
    return page.get_by_role("dialog", name="Paint what changes")


def open_easel(page: Page) -> Locator:
    page.get_by_role("button", name=re.compile("Paint")).click()
    return easel(page)


def close_easel(page: Page) -> None:
    easel(page).get_by_role("button", name="Done").click()
    page.get_by_role("button", name="Paint more").wait_for()


def draw_line(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Draw with the mouse between two places, in shares of the image."""
    box = page.get_by_role("application").bounding_box()
    assert box is not None
    for number, (left, top) in enumerate((start, end)):
        page.mouse.move(box["x"] + left * box["width"], box["y"] + top * box["height"], steps=4)
        if number == 0:
            page.mouse.down()
    page.mouse.up()


def told(page: Page) -> str:
    """Return what the dialog says of the painting."""
    return str(easel(page).get_by_role("status").inner_text())


def canvas_alpha(page: Page) -> Image.Image:
    """Return how much the canvas shows of the paint, pixel by pixel: 255 is all of it."""
    text = page.evaluate("document.querySelector('.sheet canvas').toDataURL().split(',')[1]")
    return Image.open(io.BytesIO(base64.b64decode(text))).getchannel("A")


def send(page: Page, words: str) -> str:
    """Order the edit under a prompt of its own; returns the prompt."""
    prompt = f"{words} {uuid4().hex[:8]}"
    page.get_by_label("What to change").fill(prompt)
    page.locator("form").get_by_role("button", name="Edit", exact=True).click()
    return prompt


def received(house: House, prompt: str) -> list[dict[str, Any]]:
    """Return the images that came with the call for *prompt*, as the provider notes them when it gets them."""
    calls: list[dict[str, Any]] = []

    def look() -> bool:
        entries = house.sandbox.get("/sandbox/journal").json()["entries"]
        calls[:] = [entry for entry in entries if (entry["prompt"] or "") == prompt and entry["inputs"]]
        return bool(calls)

    until(look)
    inputs: list[dict[str, Any]] = calls[0]["inputs"]
    return inputs


@contextmanager
def held(house: House) -> Iterator[House]:
    """Let orders last until they are cancelled, and with them what was uploaded."""
    house.behave(paint="flat", latency_s=60)
    yield house
    house.behave(paint="flat")


def upload_of(house: House, sent: dict[str, Any]) -> bytes:
    """Return the file of an image that the provider *received*: the gateway keeps it while its order runs."""
    found: list[bytes] = []

    def look() -> bool:
        files = [path.read_bytes() for path in house.uploads() if path.is_file()]
        found[:] = [file for file in files if digest_of(file) == sent["sha256"]]
        return bool(found)

    until(look)
    return found[0]


def cancel(page: Page) -> None:
    page.get_by_role("button", name="Cancel").last.click()


def holes(mask: Image.Image) -> Image.Image:
    """Return where a mask lets an image change, white."""
    return mask.getchannel("A").point([255] + [0] * 255)
