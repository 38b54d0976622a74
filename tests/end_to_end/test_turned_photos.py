"""Photos that a camera stored on their side: masks fit what is shown, and kept pixels are upright."""

from collections.abc import Iterator

import pytest
from PIL import Image, ImageOps

from tests.http.house import House, file_of, mask_with_hole, noise, open_house, open_picture, pictures_of

ORIENTATION = 0x0112

pytestmark = pytest.mark.usefixtures("nothing_stays")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("photos")) as opened:
        yield opened


def photo(shown: Image.Image, orientation: int, kind: str = "PNG", **options: object) -> bytes:
    """Return a file that is shown as *shown*, with its pixels stored as *orientation* says."""
    back = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    file = file_of(shown.transpose(back[orientation]), kind, exif=exif.tobytes(), **options)
    if kind == "PNG":
        assert ImageOps.exif_transpose(open_picture(file)).tobytes() == shown.tobytes()
    return file


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_mask_may_have_the_size_a_photo_is_shown_at(house: House, prompt: str, kind: str) -> None:
    """The provider gets pixels of the mask's size."""
    answer = house.edit(
        ("image", photo(noise(64, 96), 6, kind)),
        ("mask", file_of(mask_with_hole(64, 96))),
        prompt=prompt,
        model="gpt-image-2",
    )

    assert answer.status_code == 200, answer.text
    [call] = house.journal(prompt=prompt)
    assert [(each["width"], each["height"]) for each in call["inputs"]] == [(64, 96), (64, 96)]
    house.check_uploads_gone()


@pytest.mark.parametrize("orientation", range(2, 9))
def test_kept_pixels_are_those_that_are_shown(house: House, prompt: str, orientation: int) -> None:
    source = noise(256, seed=orientation)

    answer = house.edit(
        ("image", photo(source, orientation)),
        ("mask", file_of(mask_with_hole(256))),
        prompt=prompt,
        model="dall-e-2",
        size="256x256",
    )

    [picture] = pictures_of(answer)
    kept = (0, 0, 128, 256)
    assert picture.convert("RGB").crop(kept).tobytes() == source.crop(kept).tobytes()


def test_a_mask_of_the_stored_size_is_turned_like_the_photo(house: House, prompt: str) -> None:
    """Programs that ignore Exif draw it so; it names the same pixels as before."""
    source, mask = noise(256, 512, seed=3), mask_with_hole(256, 512)
    stored_mask = mask.transpose(Image.Transpose.ROTATE_90)
    assert stored_mask.size == (512, 256)

    answer = house.edit(
        ("image", photo(source, 6)),
        ("mask", file_of(stored_mask)),
        prompt=prompt,
        model="dall-e-2",
        size="256x256",
    )

    [picture] = pictures_of(answer)
    shown = ImageOps.fit(source, (256, 256), method=Image.Resampling.LANCZOS)
    kept = (0, 0, 128 - 8, 256)
    assert picture.convert("RGB").crop(kept).tobytes() == shown.crop(kept).tobytes()


def test_a_photo_without_a_mask_is_sent_as_it_is(house: House, prompt: str) -> None:
    """Nothing has to fit to it, and encoding it anew would lose quality."""
    file = photo(noise(64, 96), 6, "JPEG")

    assert house.edit(("image", file), prompt=prompt, model="gpt-image-2").status_code == 200

    assert len(house.journal_of_input(file)) == 1


def test_equal_photos_share_their_image(house: House, prompt: str) -> None:
    parts = (("image", photo(noise(64, 96), 6, "JPEG")), ("mask", file_of(mask_with_hole(64, 96))))

    answers = [house.edit(*parts, prompt=prompt, model="gpt-image-2") for _ in range(2)]

    assert [answer.headers["x-cache"] for answer in answers] == ["miss", "hit"]


def test_a_photo_that_is_its_own_mask_is_kept_upright(house: House, prompt: str) -> None:
    source = noise(256, seed=5)
    source.putalpha(mask_with_hole(256).getchannel("A"))

    answer = house.edit(("image", photo(source, 8)), prompt=prompt, model="dall-e-2", size="256x256")

    [picture] = pictures_of(answer)
    kept = (0, 0, 128, 256)
    assert picture.convert("RGB").crop(kept).tobytes() == source.convert("RGB").crop(kept).tobytes()
