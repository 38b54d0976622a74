"""Keep teams apart: neither cached images nor orders in flight are shared."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest

from tests.http.house import GENERATIONS, House, files_of, open_house

ADMIN_KEY = "an-admin-key-of-the-tests"


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("tenants"), auth="keys", admin_key=ADMIN_KEY) as house:
        yield house


@pytest.fixture(scope="module")
def keys(house: House) -> dict[str, str]:
    """One key a team."""
    headers = {"authorization": f"Bearer {ADMIN_KEY}"}
    answers = {
        team: house.client.post("/admin/keys", json={"team": team, "user": "ann"}, headers=headers)
        for team in ("north", "south")
    }
    return {team: answer.json()["key"] for team, answer in answers.items()}


@pytest.fixture
def prompt(house: House) -> str:
    house.behave(paint="flat")
    return f"boat {uuid4().hex}"


def order(house: House, key: str, prompt: str, **headers: str) -> httpx.Response:
    body = {"model": "dall-e-3", "prompt": prompt}
    return house.client.post(GENERATIONS, json=body, headers={"authorization": f"Bearer {key}", **headers})


def test_teams_do_not_share_cached_images(house: House, keys: dict[str, str], prompt: str) -> None:
    mine = order(house, keys["north"], prompt)
    probe = order(house, keys["south"], prompt, **{"cache-control": "only-if-cached"})
    theirs = order(house, keys["south"], prompt)

    assert probe.status_code == 504
    assert theirs.headers["x-cache"] == "miss"
    assert files_of(mine) != files_of(theirs)
    assert len(house.journal(prompt=prompt)) == 2


def test_teams_do_not_share_orders_in_flight(house: House, keys: dict[str, str], prompt: str) -> None:
    """Waiting for it would tell that it is being made, by how long it takes."""
    house.behave(paint="flat", latency_s=1)
    with ThreadPoolExecutor(2) as pool:
        mine, theirs = pool.map(lambda team: order(house, keys[team], prompt), ("north", "south"))

    assert {mine.headers["x-cache"], theirs.headers["x-cache"]} == {"miss"}
    assert len(house.journal(prompt=prompt)) == 2


def test_teams_do_not_share_idempotency_keys(house: House, keys: dict[str, str], prompt: str) -> None:
    order(house, keys["north"], prompt, **{"idempotency-key": "same"})

    other = order(house, keys["south"], f"{prompt} else", **{"idempotency-key": "same"})

    assert other.status_code == 200
    assert "idempotent-replayed" not in other.headers
