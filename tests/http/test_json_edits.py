"""Send edits as JSON: images in the body, only as data URLs."""

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import orjson
import pytest

from tests.http.house import (
    EDITS,
    House,
    check_error,
    data_url,
    digest_of,
    file_of,
    mask_with_hole,
    noise,
    open_house,
    png,
)
from tests.http.wire import Connection, check_refused

MAX_IMAGES = 16

pytestmark = pytest.mark.usefixtures("nothing_stays")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("json")) as opened:
        opened.behave(paint="flat")
        yield opened


def order(house: House, *urls: str, **fields: Any) -> httpx.Response:
    body = {
        "model": "gpt-image-2",
        "prompt": "a boat",
        "images": [{"image_url": url} for url in urls],
        **fields,
    }
    return house.client.post(EDITS, json=body)


def refused(house: House, answer: httpx.Response, before: int) -> dict[str, Any]:
    assert answer.status_code == 400, answer.text
    assert len(house.journal()) == before
    error: dict[str, Any] = answer.json()["error"]
    return error


def test_data_urls_are_sent_as_files(house: House) -> None:
    first, second = png(seed=1), file_of(noise(32, seed=2), "JPEG")
    mask = file_of(mask_with_hole(64))

    answer = order(
        house,
        data_url(first),
        data_url(second, "application/octet-stream"),
        mask={"image_url": data_url(mask)},
    )

    assert answer.status_code == 200, answer.text
    [entry] = house.journal_of_input(first)
    assert [(each["field"], each["content_type"], each["sha256"]) for each in entry["inputs"]] == [
        ("image[]", "image/png", digest_of(first)),
        ("image[]", "image/jpeg", digest_of(second)),
        ("mask", "image/png", digest_of(mask)),
    ]


def test_json_and_form_edits_are_equal_orders(house: House) -> None:
    image = png(seed=3)
    order(house, data_url(image))

    answer = house.edit(("image", image), prompt="a boat", model="gpt-image-2")

    assert answer.headers["x-cache"] == "hit"
    assert len(house.journal_of_input(image)) == 1


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://127.0.0.1:1/x.png", "invalid_image_url"),
        ("https://example.com/x.png", "invalid_image_url"),
        ("file:///etc/passwd", "invalid_image_url"),
        ("/etc/passwd", "invalid_image_url"),
        ("", "invalid_image_url"),
        ("data:", "invalid_image_url"),
        ("data:image/png,plain", "invalid_image_url"),
        ("data:image/png;base64", "invalid_image_url"),
        ("data:image/png;base64,%%%", "invalid_base64_image"),
        ("data:image/png;base64,QUJ", "invalid_base64_image"),
        ("data:image/png;base64,-_-_", "invalid_base64_image"),
        ("data:image/png;base64,QUJD\nREVG", "invalid_base64_image"),
        ("data:image/png;base64,\N{LATIN SMALL LETTER E WITH ACUTE}", "invalid_base64_image"),
        ("data:image/png;base64,", "unsupported_file_mimetype"),
        (data_url(b"no picture"), "unsupported_file_mimetype"),
    ],
)
def test_other_urls_are_refused_and_never_fetched(house: House, url: str, code: str) -> None:
    before = len(house.journal())

    error = refused(house, order(house, url), before)

    # A file is named as in a form.
    place = "image" if code == "unsupported_file_mimetype" else "images[0].image_url"
    assert (error["code"], error["param"]) == (code, place)


def test_an_invalid_later_reference_leaves_no_file_of_the_first(house: House) -> None:
    before = len(house.journal())

    error = refused(house, order(house, data_url(png()), "https://example.com/x.png"), before)

    assert (error["code"], error["param"]) == ("invalid_image_url", "images[1].image_url")


def test_the_field_of_a_form_is_corrected(house: House) -> None:
    before = len(house.journal())
    body = {"prompt": "a boat", "image": data_url(png())}

    error = refused(house, house.client.post(EDITS, json=body), before)

    assert (error["code"], error["param"]) == ("missing_required_parameter", "images")
    assert "'images': [{'image_url': 'data:image/png;base64,...'}]" in error["message"]


@pytest.mark.parametrize(
    "images",
    [
        [{"file_id": "file-1"}],
        [{"file_id": "file-1", "image_url": data_url(b"x")}],
        [{}],
        ["data:image/png;base64,"],
        [None],
        {"image_url": "data:"},
        "data:",
        7,
        [{"image_url": 7}],
        [{"image_url": {"url": "data:"}}],
        [{"image_url": None}],
    ],
)
def test_other_references_are_refused_by_name(house: House, images: Any) -> None:
    before = len(house.journal())

    error = refused(house, order(house, images=images), before)

    assert error["type"] == "invalid_request_error"
    assert error["param"].startswith("images")


def test_a_file_id_is_named_as_the_mistake(house: House) -> None:
    """It is in the contract, so a caller must learn that it is known and not taken here."""
    before = len(house.journal())

    error = refused(house, order(house, images=[{"file_id": "file-1"}]), before)

    assert error["code"] != "missing_required_parameter"
    assert "file_id" in error["message"]


@pytest.mark.parametrize("images", [[], None])
def test_an_edit_needs_an_image(house: House, images: Any) -> None:
    before = len(house.journal())

    error = refused(house, order(house, images=images), before)

    assert error["code"] == "missing_required_parameter"
    assert error["param"] in ("image", "images")


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"prompt": None}, "prompt", "missing_required_parameter"),
        ({"prompt": 7}, "prompt", "invalid_type"),
        ({"n": "two"}, "n", "invalid_type"),
        ({"mask": "data:"}, "mask", "invalid_type"),
        ({"mask": ""}, "mask", "invalid_type"),
        ({"markup": ""}, "markup", "invalid_type"),
        ({"images": ""}, "images", "invalid_type"),
        ({"image": ""}, "image", "unknown_parameter"),
        ({"image": "data:"}, "image", "unknown_parameter"),
        ({"style": "vivid"}, "style", "unknown_parameter"),
        ({"mask": {"image_url": data_url(file_of(mask_with_hole(32)))}}, "mask", "invalid_image_format"),
    ],
)
def test_a_wrong_field_is_refused_by_name(
    house: House, fields: dict[str, Any], param: str, code: str
) -> None:
    before = len(house.journal())

    error = refused(house, order(house, data_url(png()), **fields), before)

    assert (error["param"], error["code"]) == (param, code)


def test_more_than_sixteen_images_are_refused(house: House) -> None:
    before = len(house.journal())

    error = refused(house, order(house, *[data_url(png(8))] * 17), before)

    assert (error["param"], error["code"]) == ("image", "array_above_max_length")


def test_a_body_above_64_mb_is_refused(house: House) -> None:
    answer = order(house, "data:image/png;base64," + "A" * (64 * 1024 * 1024))

    check_error(answer, 413, code="request_too_large", param=None)


@pytest.mark.parametrize("value", [b"0,", b'{"":[', b'"a":"",'], ids=["numbers", "nested", "members"])
def test_a_large_body_of_small_values_is_refused_while_it_comes(house: House, value: bytes) -> None:
    """Parsing 43 MB of them would take seconds, and no thread could help."""
    piece = value * (2**20 // len(value))
    head = f"POST {EDITS} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    with house.sparing(), Connection(house.gateway.url) as connection:
        connection.send(f"{head}Content-Length: {43 * 2**20}\r\n\r\n".encode() + b'{"images": [')
        sent_bytes = connection.send_until_answered([piece] * 42)

        check_refused(connection.read_answer(), 400, code="json_too_complex")
    # The rest is on its way.
    assert sent_bytes < 20 * 2**20


@pytest.mark.parametrize("field", ["prompt", "image"])
def test_a_large_text_is_refused_before_anything_waits_with_it(house: House, field: str) -> None:
    large, before = "x" * 15 * 2**20 + "\N{SAILBOAT}", len(house.journal())

    answer = order(
        house, data_url(png()) + large * (field == "image"), prompt="a boat" + large * (field == "prompt")
    )

    assert refused(house, answer, before)["code"] == "string_above_max_length"


def test_the_slashes_of_base64_may_be_escaped(house: House) -> None:
    image = png(1024, seed=8)
    body = orjson.dumps({"prompt": "a boat", "n": 0, "images": [{"image_url": data_url(image)}]})

    answer = house.client.post(
        EDITS, content=body.replace(b"/", b"\\/"), headers={"content-type": "application/json"}
    )

    assert (len(body) > 2**20, refused(house, answer, len(house.journal()))["param"]) == (True, "n")


def test_a_large_body_may_have_a_prompt_full_of_commas(house: House) -> None:
    before = len(house.journal())

    answer = order(house, data_url(png(512)), prompt=",:[]{}" * 5000, n=0)

    assert refused(house, answer, before)["param"] == "n"


@pytest.mark.parametrize("junk", ["=", "==", "AA==", "*", "\n"])
def test_malformed_base64_is_refused_wherever_it_is(house: House, junk: str) -> None:
    """Parts of it are decoded apart."""
    before, url = len(house.journal()), data_url(png(1024, seed=9))
    start = url.index(",") + 1
    for place in (start, start + 2**20 - len(junk), start + 2**20):
        answer = order(house, url[:place] + junk + url[place:])

        assert refused(house, answer, before)["code"] == "invalid_base64_image"


def test_a_reference_above_the_maximum_length_is_refused(house: House) -> None:
    before = len(house.journal())

    error = refused(house, order(house, "data:image/png;base64," + "A" * 20_971_520), before)

    assert error["code"] == "string_above_max_length"


def test_other_requests_are_served_while_a_large_body_is_read(house: House) -> None:
    """Decoding, hashing and writing tens of megabytes delays no other request.

    Sixteen files of 2.9 MB, none of them an image, are written one after the other: what is asked once the
    first lies on the disk is answered before the last does. A machine may be too busy for the asker to be
    seen in between, so an edit is repeated until it is; a gateway that does it in the way of others never
    lets it happen.
    """
    images = [{"image_url": data_url(random.Random(seed).randbytes(2_900_000))} for seed in range(MAX_IMAGES)]
    body = orjson.dumps({"model": "gpt-image-2", "prompt": "a boat", "images": images})

    with ThreadPoolExecutor(1) as pool:
        assert any(is_served_meanwhile(house, pool, body) for _ in range(10))


def is_served_meanwhile(house: House, pool: ThreadPoolExecutor, body: bytes) -> bool:
    """Return whether another request was asked and answered between the first file of an edit and its last."""
    edit = pool.submit(house.client.post, EDITS, content=body, headers={"content-type": "application/json"})
    was_served = False
    while not edit.done():
        before = len(house.uploads())
        assert house.client.get("/livez").status_code == 200
        was_served = was_served or 0 < before <= len(house.uploads()) < MAX_IMAGES
    check_error(edit.result(), 400, code="unsupported_file_mimetype", param="image[0]")
    return was_served


@pytest.mark.parametrize("encoding", ["json", "form"])
@pytest.mark.parametrize("model", ["gpt-image-2", "dall-e-2"])
def test_a_moderation_level_reaches_the_provider_with_the_images(
    house: House, model: str, encoding: str
) -> None:
    """It takes the level of an edit in JSON only."""
    image = png(seed=sum(map(ord, f"{model}{encoding}")))
    mask = file_of(mask_with_hole(64))
    if encoding == "json":
        fields = {"model": model, "moderation": "low", "mask": {"image_url": data_url(mask)}}
        answer = order(house, data_url(image), **fields)
    else:
        parts = ("image", image), ("mask", mask)
        answer = house.edit(*parts, prompt="a boat", model=model, moderation="low")

    assert answer.status_code == 200, answer.text
    [entry] = house.journal_of_input(image)
    assert entry["parameters"]["moderation"] == "low"
    assert [(each["field"].removesuffix("s[0]"), each["sha256"]) for each in entry["inputs"]] == [
        ("image", digest_of(image)),
        ("mask", digest_of(mask)),
    ]


def test_the_usual_moderation_level_is_none(house: House) -> None:
    image = png(seed=77)
    order(house, data_url(image), moderation="auto")

    [entry] = house.journal_of_input(image)
    assert "moderation" not in entry["parameters"]
    assert entry["inputs"][0]["field"] == "image"
