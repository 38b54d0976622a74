"""Edits from the client's bytes to the provider's journal and back: pixels kept, digests cached, memory bounded."""

import threading
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest
from PIL import Image, ImageChops, ImageOps

from tests.http.house import (
    House,
    digest_of,
    file,
    file_of,
    files_of,
    form,
    mask_with_hole,
    noise,
    open_house,
    open_picture,
    pictures_of,
    png,
    post_form,
    text,
)

MIB = 1024 * 1024

pytestmark = pytest.mark.usefixtures("nothing_stays")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("edits")) as opened:
        yield opened


def edit_old(house: House, prompt: str, size: int, **files: Image.Image) -> Image.Image:
    """Order an edit of dall-e-2 and return its image."""
    named = [(name, file_of(image)) for name, image in files.items()]
    answer = house.edit(*named, prompt=prompt, model="dall-e-2", size=f"{size}x{size}")
    [picture] = pictures_of(answer)
    assert picture.size == (size, size)
    return picture.convert("RGB")


def left_half(image: Image.Image) -> Image.Image:
    return image.convert("RGB").crop((0, 0, image.width // 2, image.height))


def is_same(one: Image.Image, other: Image.Image) -> bool:
    return one.mode == other.mode and one.tobytes() == other.tobytes()


def test_the_provider_gets_each_input_with_the_type_of_its_bytes(house: House, prompt: str) -> None:
    first, second = png(seed=1), file_of(noise(80, seed=2), "JPEG")
    mask = file_of(mask_with_hole(64))

    answer = house.edit(
        ("image[]", first), ("image[]", second), ("mask", mask), prompt=prompt, model="gpt-image-2", n="2"
    )

    assert answer.status_code == 200, answer.text
    assert len(answer.json()["data"]) == 2
    [call] = house.journal(prompt=prompt)
    assert (call["path"], call["model"], call["parameters"]["n"]) == ("/v1/images/edits", "gpt-image-2", 2)
    assert [(each["content_type"], each["sha256"], each["width"]) for each in call["inputs"]] == [
        ("image/png", digest_of(first), 64),
        ("image/jpeg", digest_of(second), 80),
        ("image/png", digest_of(mask), 64),
    ]


@pytest.mark.parametrize("size", [256, 512, 1024])
def test_the_masked_area_is_bit_identical(house: House, prompt: str, size: int) -> None:
    source = noise(size, seed=size)

    picture = edit_old(house, prompt, size, image=source, mask=mask_with_hole(size))

    assert is_same(left_half(picture), left_half(source))
    assert not is_same(picture, source)


def test_the_sandbox_repaints_everything(house: House, prompt: str) -> None:
    """Or else the test above would prove nothing: a living model keeps to no mask."""
    source = noise(1024, seed=3)

    answer = house.edit(
        ("image", file_of(source)),
        ("mask", file_of(mask_with_hole(1024))),
        prompt=prompt,
        model="gpt-image-2",
        size="1024x1024",
    )

    [picture] = pictures_of(answer)
    difference = ImageChops.difference(left_half(picture), left_half(source)).convert("L")
    histogram = difference.histogram()
    assert histogram[0] < 0.05 * sum(histogram)


@pytest.mark.parametrize(("source_size", "size"), [(1024, 256), (300, 512), (64, 1024)])
def test_at_another_size_the_masked_area_is_resampled_by_lanczos(
    house: House, prompt: str, source_size: int, size: int
) -> None:
    source = noise(source_size, seed=4)

    picture = edit_old(house, prompt, size, image=source, mask=mask_with_hole(source_size))

    expected = source.resize((size, size), Image.Resampling.LANCZOS)
    # Beside the edge of the mask both are blended.
    kept = (0, 0, size // 2 - 8 * max(1, size // source_size), size)
    assert is_same(picture.crop(kept), expected.crop(kept))


def test_partial_alpha_blends(house: House, prompt: str) -> None:
    source = Image.new("RGB", (256, 256), (200, 100, 50))
    half = Image.new("RGBA", (256, 256), (0, 0, 0, 255))
    half.paste((0, 0, 0, 128), (0, 0, 256, 128))
    half.paste((0, 0, 0, 0), (0, 192, 256, 256))

    blended = edit_old(house, prompt, 256, image=source, mask=half)

    assert is_same(blended.crop((0, 128, 256, 192)), source.crop((0, 128, 256, 192)))
    top = blended.crop((0, 0, 256, 128)).tobytes()
    # Half of what was there is in every place, and half of something else.
    assert all(99 <= value <= 229 for value in top[0::3])
    assert all(49 <= value <= 179 for value in top[1::3])
    assert top != source.crop((0, 0, 256, 128)).tobytes()


def test_an_image_may_be_its_own_mask(house: House, prompt: str) -> None:
    source = noise(256, seed=5)
    source.putalpha(mask_with_hole(256).getchannel("A"))

    picture = edit_old(house, prompt, 256, image=source)

    assert is_same(left_half(picture), left_half(source))
    [call] = house.journal(prompt=prompt)
    assert [each["field"] for each in call["inputs"]] == ["image", "mask"]
    assert len({each["sha256"] for each in call["inputs"]}) == 1


def test_only_the_mask_decides_the_kept_area(house: House, prompt: str) -> None:
    """A colour that the image itself hides is its colour all the same, at every size."""
    for size in (256, 512):
        source = noise(256, seed=6)
        hidden = source.copy()
        hidden.putalpha(0)

        picture = edit_old(house, prompt, size, image=hidden, mask=mask_with_hole(256))

        expected = source.resize((size, size), Image.Resampling.LANCZOS)
        kept = (0, 0, size // 2 - 16, size)
        assert is_same(picture.crop(kept), expected.crop(kept))


@pytest.mark.parametrize("mode", ["L", "LA", "P", "1", "RGBA"])
def test_every_kind_of_png_is_kept_as_it_looks(house: House, prompt: str, mode: str) -> None:
    source = noise(256, seed=7).convert(mode)

    picture = edit_old(house, prompt, 256, image=source, mask=mask_with_hole(256))

    assert is_same(left_half(picture), left_half(source))


def test_a_deep_grey_png_is_kept_as_it_looks(house: House, prompt: str) -> None:
    """Of 16 bits the upper eight are what any screen shows."""
    source = Image.new("I;16", (256, 256), 30_000)

    picture = edit_old(house, prompt, 256, image=source, mask=mask_with_hole(256))

    grey = picture.getpixel((3, 3))
    assert grey in ((116, 116, 116), (117, 117, 117))


def test_an_image_that_is_not_square_is_kept_in_its_middle(house: House, prompt: str) -> None:
    """The bridge takes what the living model takes; the old sizes are square."""
    source = noise(768, 512, seed=8)
    mask = Image.new("RGBA", source.size, (0, 0, 0, 255))

    picture = edit_old(house, prompt, 512, image=source, mask=mask)

    expected = ImageOps.fit(source, (512, 512), method=Image.Resampling.LANCZOS)
    assert is_same(picture, expected)


def test_several_edits_each_keep_the_masked_area(house: House, prompt: str) -> None:
    source = noise(256, seed=9)

    answer = house.edit(
        ("image", file_of(source)),
        ("mask", file_of(mask_with_hole(256))),
        prompt=prompt,
        n="3",
        size="256x256",
    )

    pictures = [picture.convert("RGB") for picture in pictures_of(answer)]
    assert all(is_same(left_half(picture), left_half(source)) for picture in pictures)
    assert len({picture.tobytes() for picture in pictures}) == 3
    assert sum(len(call["images"]) for call in house.journal(prompt=prompt)) == 3


def test_an_edit_is_recognized_by_the_bytes_of_its_inputs(house: House, prompt: str) -> None:
    one, other, mask = png(seed=10), png(seed=11), file_of(mask_with_hole(64))
    fields = {"prompt": prompt, "model": "gpt-image-2"}

    answers = [
        house.edit(("image", one), **fields),
        house.edit(("image[]", one), **fields),
        house.edit(("image", other), **fields),
        house.edit(("image", one), ("mask", mask), **fields),
        house.edit(("image", one), ("image", other), **fields),
        house.edit(("image", other), ("image", one), **fields),
        house.edit(("image", other), **fields),
    ]

    states = [answer.headers["x-cache"] for answer in answers]
    assert states == ["miss", "hit", "miss", "miss", "miss", "miss", "hit"]
    assert len(house.journal(prompt=prompt)) == 5


def test_a_transparent_background_stays_transparent_beside_the_kept_area(house: House, prompt: str) -> None:
    source = noise(256, seed=15)
    parts = (("image", file_of(source)), ("mask", file_of(mask_with_hole(256))))

    answer = house.edit(
        *parts, prompt=prompt, model="dall-e-2", size="256x256", background="transparent", output_format="png"
    )

    [picture] = pictures_of(answer)
    assert picture.mode == "RGBA"
    assert is_same(left_half(picture), left_half(source))
    lowest, _ = picture.getchannel("A").getextrema()
    assert lowest == 0


def test_a_smaller_image_has_the_asked_compression(house: House, prompt: str) -> None:
    """At the provider's default it keeps its quality; 100 is as much."""
    fields = {"prompt": prompt, "model": "dall-e-2", "size": "256x256", "output_format": "jpeg"}

    sizes = [
        len(file)
        for compression in ("10", "100")
        for file in files_of(house.edit(("image", png(seed=16)), **fields, output_compression=compression))
    ]

    assert sizes[1] > 2 * sizes[0]


def test_the_answer_of_an_old_edit_has_the_old_shape(house: House, prompt: str) -> None:
    answer = house.edit(("image", png(seed=12)), prompt=prompt)

    body = answer.json()
    assert set(body) == {"created", "data"}
    assert set(body["data"][0]) == {"url"}
    assert answer.headers["x-model-sent"] == "gpt-image-2.6-flare"
    file = httpx.get(body["data"][0]["url"], trust_env=False).content
    assert open_picture(file).size == (1024, 1024)


def test_the_callers_get_the_providers_fault_of_an_input(house: House, prompt: str) -> None:
    """A header that is good before data that are not: only a decoder tells."""
    broken = png(seed=13)[:2000]

    answer = house.edit(("image", broken), prompt=prompt, model="gpt-image-2")

    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_image_file"
    [call] = house.journal(prompt=prompt)
    assert not call["billed"]


@pytest.mark.slow
def test_sixteen_large_uploads_do_not_fill_the_memory(house: House, prompt: str) -> None:
    """Spooled as they come, read from disk as they go: 320 MB raise the process by less than 120."""
    gateway = psutil.Process(house.gateway.process.pid)
    pictures = [file_of(noise(64, seed=i)) + bytes([i]) * (20 * MIB) for i in range(16)]
    body = form(
        text("prompt", prompt),
        text("model", "gpt-image-2"),
        text("quality", "low"),
        *(file("image[]", picture) for picture in pictures),
    )
    del pictures
    before, most = gateway.memory_info().rss, [0]
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(0.01):
            most[0] = max(most[0], gateway.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        answer = post_form(house.client, (body[i : i + MIB] for i in range(0, len(body), MIB)))
    finally:
        is_over.set()
        watcher.join()

    assert answer.status_code == 200, answer.text
    [call] = house.journal(prompt=prompt)
    assert len(call["inputs"]) == 16
    print(f"16 x 20 MB raised the process by {(most[0] - before) / MIB:.0f} MB")  # noqa: T201 - a measured figure
    assert most[0] - before < 120 * MIB


def test_the_cpu_time_of_a_large_edit_is_printed(house: House) -> None:
    """The figure is for the report: busy machines make it vary."""
    gateway = psutil.Process(house.gateway.process.pid)
    picture = file_of(noise(1170, seed=14))
    assert 4 * MIB - 150_000 < len(picture) < 4 * MIB
    fields = {"prompt": f"too long {'x' * 33_000}", "model": "gpt-image-2"}
    house.edit(("image", picture), **fields)
    started_s, spent = time.monotonic(), gateway.cpu_times()

    answers = [house.edit(("image", picture), **fields) for _ in range(10)]

    now = gateway.cpu_times()
    cpu_ms = (now.user + now.system - spent.user - spent.system) * 100
    print(f"a 4 MB edit: {cpu_ms:.0f} ms of CPU, {(time.monotonic() - started_s) * 100:.0f} ms")  # noqa: T201
    assert {answer.status_code for answer in answers} == {400}
