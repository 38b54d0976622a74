"""The label of a sandbox image shows its prompt, in the scripts its callers write."""

import io
from importlib.resources import files
from itertools import product

import pytest
from PIL import Image, ImageFont

from service.sandbox.painting.image_plan import ImagePlan
from service.sandbox.painting.painter import paint
from service.sandbox.painting.watermark import Watermark

UNKNOWN = "\ue000"
"""A letter of the private use area: every font draws its sign for a missing letter."""


def label(prompt: str) -> Image.Image:
    """Return the part of an image that shows *prompt*, which is all that depends on it there."""
    file = paint(
        ImagePlan(
            model="gpt-image-2",
            prompt=prompt,
            width=1024,
            height=1024,
            quality="low",
            output_format="png",
            output_compression=100,
            is_transparent=False,
            is_flat=False,
            watermark=Watermark(order_hash="0" * 16, serial=1),
        )
    )
    return Image.open(io.BytesIO(file)).crop((400, 930, 1024, 1000))


@pytest.mark.parametrize(
    "letters", ["猫狗", "ねこ", "ネコ", "눈속", "Жщ", "Ωσ", "\uff0c\u3002", "\uff21\uff22", "Éł", "“…"]
)
def test_a_prompt_is_written_in_its_own_letters(letters: str) -> None:
    shown = {label(letter).tobytes() for letter in (*letters, UNKNOWN, "\u00b7", " ")}

    assert len(shown) == len(letters) + 3


def test_chinese_prompts_of_equal_length_look_different() -> None:
    assert label("一只白色的暹罗猫").tobytes() != label("一只黑色的暹罗猫").tobytes()


def test_the_font_has_the_hanzi_of_gb_2312_and_the_hangul_of_ks_x_1001() -> None:
    path = files("service.sandbox.painting") / "fonts" / "wqy-microhei.ttf"
    font = ImageFont.truetype(io.BytesIO(path.read_bytes()), 12)
    missing = bytes(font.getmask(UNKNOWN))
    hanzi = {bytes(cell).decode("gb2312", "ignore") for cell in product(range(0xB0, 0xF8), range(0xA1, 0xFF))}
    hangul = {
        bytes(cell).decode("euc_kr", "ignore") for cell in product(range(0xB0, 0xC9), range(0xA1, 0xFF))
    }
    letters = (hanzi | hangul) - {""}

    assert len(letters) == 6_763 + 2_350
    assert [letter for letter in letters if bytes(font.getmask(letter)) == missing] == []


@pytest.mark.parametrize("letter", ["中", "글", "ア", "x"])
def test_a_long_prompt_ends_before_the_edge(letter: str) -> None:
    shown = label(letter * 200)

    background = shown.getpixel((0, 0))
    edge = shown.crop((shown.width - 10, 0, shown.width, shown.height))
    assert edge.getextrema() == (background, background)
    assert shown.getextrema() != (background, background)
