"""Reach quotas of money, days and images in flight: exact, and free to refuse."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.http.house import GENERATIONS, House, open_house

BUDGET_MICROUSD = 1_000_000
ESTIMATE_MICROUSD = 1756 * 30 + 20  # medium quality, 1024x1024, gpt-image prices, and a short prompt
ORDERS = 40


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    limits = {
        "default_policy__budget_per_month_microusd": BUDGET_MICROUSD,
        "default_policy__images_in_flight": 30,
        "default_policy__images_per_day": 25,
    }
    with open_house(tmp_path_factory.mktemp("quotas"), **limits) as house:
        yield house


def order(house: House, user: str, number: int, **fields: object) -> httpx.Response:
    body = {"model": "dall-e-3", "prompt": f"{user} {number}", "user": user, **fields}
    return house.client.post(GENERATIONS, json=body)


def order_at_once(house: House, user: str, **fields: object) -> list[httpx.Response]:
    """Have all orders begin before the first is settled."""
    house.behave(paint="flat", latency_s=2)
    try:
        with ThreadPoolExecutor(ORDERS) as pool:
            return list(pool.map(lambda number: order(house, user, number, **fields), range(ORDERS)))
    finally:
        house.behave(paint="flat")


def check_quota(answer: httpx.Response, *words: str) -> None:
    assert answer.status_code == 429
    error = answer.json()["error"]
    assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
    assert answer.headers["x-should-retry"] == "false"
    assert not {"retry-after", "retry-after-ms"} & set(answer.headers)
    for word in words:
        assert word in error["message"]


def test_concurrent_orders_never_exceed_a_budget(house: House) -> None:
    answers = order_at_once(house, "rich")

    affordable = BUDGET_MICROUSD // ESTIMATE_MICROUSD
    assert Counter(answer.status_code for answer in answers) == {200: affordable, 429: ORDERS - affordable}
    assert len(house.journal(prompt="rich")) == affordable
    for answer in answers:
        if answer.status_code == 429:
            check_quota(answer, "budget per month of this user", "limit $1.000000", "next month (UTC)")


def test_concurrent_orders_never_exceed_the_images_of_a_day(house: House) -> None:
    answers = order_at_once(house, "busy", quality="low", size="1024x1024", model="gpt-image-1")

    assert Counter(answer.status_code for answer in answers) == {200: 25, 429: ORDERS - 25}
    assert len(house.journal(prompt="busy")) == 25
    refused = next(answer for answer in answers if answer.status_code == 429)
    check_quota(refused, "images per day of this user: limit 25, used 25", "midnight UTC")


def test_finished_images_free_their_places_in_flight(tmp_path_factory: pytest.TempPathFactory) -> None:
    limits = {"default_policy__images_in_flight": 5}
    with open_house(tmp_path_factory.mktemp("slots"), **limits) as house:
        answers = order_at_once(house, "parallel")
        after = order(house, "parallel", ORDERS, n=5)

        assert Counter(answer.status_code for answer in answers) == {200: 5, 429: ORDERS - 5}
        refused = next(answer for answer in answers if answer.status_code == 429)
        assert refused.json()["error"]["code"] == "rate_limit_exceeded"
        assert "images in flight of this user: limit 5, used 5" in refused.json()["error"]["message"]
        assert (refused.headers["retry-after"], refused.headers["retry-after-ms"]) == ("1", "1000")
        assert after.status_code == 200
        too_many = order(house, "parallel", ORDERS + 1, n=6)
        assert (too_many.status_code, too_many.json()["error"]["param"]) == (400, "n")


def test_a_failed_order_releases_its_amounts(house: House) -> None:
    house.behave(paint="flat", failures=[{"status": 400, "code": "moderation_blocked", "count": 100}])
    failed = [order(house, "unlucky", number) for number in range(30)]
    house.behave(paint="flat")

    answers = [order(house, "unlucky", number, quality="standard") for number in range(100, 118)]

    assert {answer.status_code for answer in failed} == {400}
    assert {answer.status_code for answer in answers} == {200}


@pytest.mark.slow
def test_orders_that_time_out_use_up_the_day_and_the_budget(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Their images may have been billed: otherwise an impatient caller has no limit."""
    with open_house(tmp_path_factory.mktemp("impatient"), default_policy__images_per_day=2) as house:
        house.behave(paint="flat", latency_s=5)
        answers = [
            house.client.post(
                GENERATIONS,
                json={"model": "dall-e-3", "prompt": f"hasty {number}", "user": "hasty"},
                headers={"x-request-timeout-s": "0.3"},
            )
            for number in range(20)
        ]

        assert Counter(answer.status_code for answer in answers) == {504: 2, 429: 18}
        assert len(house.journal(prompt="hasty")) == 2
        check_quota(answers[-1], "images per day of this user: limit 2, used 2")
