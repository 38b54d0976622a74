"""Use `Prefer: return=partial`: finished images, with errors for the missing ones."""

from collections.abc import Iterator

import httpx
import pytest

from tests.http.house import GENERATIONS, House, files_of, open_house

PARTIAL = {"prefer": "return=partial"}


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("partial")) as house:
        yield house


def order(house: House, prompt: str, n: int, **headers: str) -> httpx.Response:
    body = {"model": "dall-e-3", "prompt": prompt, "n": n}
    return house.client.post(GENERATIONS, json=body, headers=headers)


def fail_next(house: House, count: int, **failure: object) -> None:
    house.behave(paint="flat", failures=[{"status": 400, "code": "odd", "count": count, **failure}])


def test_a_partial_answer_has_images_and_errors(house: House, prompt: str) -> None:
    fail_next(house, 1)
    answer = order(house, prompt, 3, **PARTIAL)

    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "return=partial"
    assert len(set(files_of(answer))) == 2
    [error] = answer.json()["errors"]
    assert error["index"] in range(3)
    assert set(error) >= {"index", "message", "type", "param", "code"}
    again = order(house, prompt, 3, **PARTIAL)
    assert len(set(files_of(again))) == 3
    assert "errors" not in again.json()
    assert "preference-applied" not in again.headers
    assert sum(len(entry["images"]) for entry in house.journal(prompt=prompt)) == 3


@pytest.mark.parametrize("prefer", ["", "return=minimal", "respond-async"])
def test_without_the_preference_an_incomplete_order_is_an_error(
    house: House, prompt: str, prefer: str
) -> None:
    fail_next(house, 1)
    answer = order(house, prompt, 3, prefer=prefer)

    assert answer.status_code == 502
    error = answer.json()["error"]
    assert (error["code"], error["images_kept"]) == ("partial_failure", 2)


def test_an_order_without_any_image_is_an_error(house: House, prompt: str) -> None:
    fail_next(house, 3)
    answer = order(house, prompt, 3, **PARTIAL)

    assert answer.status_code == 400
    assert "data" not in answer.json()


def test_a_retry_is_invited_only_if_nothing_was_billed(house: House, prompt: str) -> None:
    house.behave(
        paint="flat", failures=[{"status": 500, "count": 1, "body": "truncated_json", "after_painting": True}]
    )
    unknown = order(house, prompt, 2)
    house.behave(paint="flat", failures=[{"status": 503, "count": 3}], failure_match="others")
    refused = order(house, f"{prompt} others", 1)
    house.behave(paint="flat")

    assert (unknown.status_code, unknown.headers["x-should-retry"]) == (502, "false")
    assert refused.status_code == 503
    assert "x-should-retry" not in refused.headers


def test_only_if_cached_may_answer_fewer_images(house: House, prompt: str) -> None:
    house.behave(paint="flat")
    order(house, prompt, 2)
    headers = {"cache-control": "only-if-cached"}

    whole, none = order(house, prompt, 2, **headers), order(house, prompt, 3, **headers)
    part = order(house, prompt, 3, **headers, **PARTIAL)

    assert (whole.status_code, none.status_code, part.status_code) == (200, 504, 200)
    assert none.json()["error"]["code"] == "not_cached"
    assert len(part.json()["data"]) == 2
    [error] = part.json()["errors"]
    assert (error["index"], error["code"]) == (2, "not_cached")
    assert len(house.journal(prompt=prompt)) == 2


def test_several_preferences_may_stand_together(house: House, prompt: str) -> None:
    fail_next(house, 1)

    assert order(house, prompt, 2, prefer="wait=10, return=partial").status_code == 200
