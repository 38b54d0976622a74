"""Variations: an endpoint no provider has any more, kept alive through edits."""

from collections.abc import Iterator

import pytest

from tests.http.house import (
    VARIATIONS,
    House,
    check_error,
    digest_of,
    file_of,
    form,
    noise,
    open_house,
    pictures_of,
    png,
    post_form,
    text,
)

pytestmark = pytest.mark.usefixtures("nothing_stays")


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("variations")) as opened:
        yield opened


def test_four_variations_are_four_calls_with_different_prompts(house: House) -> None:
    source = png(seed=1)

    answer = house.vary(("image", source), n="4", size="256x256")

    assert {picture.size for picture in pictures_of(answer)} == {(256, 256)}
    calls = house.journal_of_input(source)
    assert [call["path"] for call in calls] == ["/v1/images/edits"] * 4
    assert len({call["prompt"] for call in calls}) == 4
    assert all(call["prompt"].startswith("Paint a variation of this image") for call in calls)
    assert all(call["parameters"]["n"] == 1 for call in calls)
    assert [[each["sha256"] for each in call["inputs"]] for call in calls] == [[digest_of(source)]] * 4


def test_more_variations_of_an_image_make_only_the_missing_ones(house: House) -> None:
    source = png(seed=2)
    first = house.vary(("image", source), n="2", size="256x256")

    again = house.vary(("image", source), n="3", size="256x256")

    assert first.headers["x-cache"] == "miss"
    assert again.headers["x-cache"] == "partial; hits=2; coalesced=0; misses=1"
    calls = house.journal_of_input(source)
    assert len(calls) == len({call["prompt"] for call in calls}) == 3


def test_variations_of_another_image_share_nothing(house: House) -> None:
    house.vary(("image", png(seed=3)), size="256x256")

    assert house.vary(("image", png(seed=4)), size="256x256").headers["x-cache"] == "miss"


def test_variations_are_answered_by_the_old_contract(house: House) -> None:
    source = png(seed=5)

    by_default = house.vary(("image", source))
    as_bytes = house.vary(("image", source), response_format="b64_json", model="dall-e-2")

    assert set(by_default.json()) == {"created", "data"}
    assert set(by_default.json()["data"][0]) == {"url"}
    assert pictures_of(by_default)[0].size == (1024, 1024)
    assert set(as_bytes.json()["data"][0]) == {"b64_json"}
    assert as_bytes.headers["x-cache"] == "hit"
    assert as_bytes.headers["sunset"]


@pytest.mark.parametrize(
    ("files", "fields", "param", "code"),
    [
        ([("image", b"text")], {}, "image", "unsupported_file_mimetype"),
        ([("image", png(8))] * 2, {}, "image", "array_above_max_length"),
        ([("image", png(8)), ("mask", png(8))], {}, "mask", "unknown_parameter"),
        ([("image", png(8))], {"n": "11"}, "n", "integer_above_max_value"),
        ([("image", png(8))], {"size": "100x100"}, "size", "invalid_size"),
        ([("image", png(8))], {"model": "dall-e-3"}, "model", "invalid_value"),
        ([("image", png(8))], {"model": "gpt-image-2"}, "model", "invalid_value"),
        ([("image", png(8))], {"response_format": "fax"}, "response_format", "invalid_value"),
        ([("image", png(8))], {"colour": "red"}, "colour", "unknown_parameter"),
    ],
)
def test_invalid_variations_are_refused_and_cost_nothing(
    house: House, files: list[tuple[str, bytes]], fields: dict[str, str], param: str, code: str
) -> None:
    before = len(house.journal())

    check_error(house.vary(*files, **fields), 400, code=code, param=param)
    assert len(house.journal()) == before


def test_a_variation_needs_an_image(house: House) -> None:
    answer = post_form(house.client, form(text("n", "1")), route=VARIATIONS)

    check_error(answer, 400, code="missing_required_parameter", param="image")


def test_other_formats_are_taken_if_the_current_model_takes_them(house: House) -> None:
    wide = file_of(noise(96, 64, seed=6), "WEBP", lossless=True)

    assert house.vary(("image", wide), size="256x256").status_code == 200
    [call] = house.journal_of_input(wide)
    assert call["inputs"][0]["content_type"] == "image/webp"
