"""Count and purge the images that teams keep: `/admin/cache`."""

from typing import Any

import httpx
import pytest

from tests.http.callers import Caller, check_gone, check_served
from tests.http.tenants import Tenants, follow

pytestmark = pytest.mark.usefixtures("flat_images")

CACHE = "/admin/cache"


def count(operator: Caller, **query: str) -> dict[str, dict[str, Any]]:
    """Return the counts of each team."""
    answer = operator.client.get(CACHE, params=query).raise_for_status()
    return {entry["team"]: entry for entry in answer.json()["data"]}


def purge(operator: Caller, **query: str) -> dict[str, Any]:
    answer = operator.client.delete(CACHE, params=query).raise_for_status()
    purged: dict[str, Any] = answer.json()
    return purged


@pytest.fixture
def links(tenants: Tenants, anna: Caller, operator: Caller) -> list[httpx.URL]:
    """Links to all images: two of the shop, by different models; one of the lab."""
    purge(operator, older_than_s="0")
    with tenants.client("lab", "lena") as client:
        lena = Caller(client)
        return [anna.orders("one"), anna.orders("two", model="gpt-image-2"), lena.orders("three")]


def test_a_user_can_neither_count_nor_purge(anna: Caller) -> None:
    assert anna.client.get(CACHE).status_code == 403
    assert anna.client.delete(CACHE, params={"older_than_s": 0}).status_code == 403


@pytest.mark.usefixtures("links")
def test_an_admin_counts_the_images_of_every_team(operator: Caller) -> None:
    stats = count(operator)

    assert {team: (entry["images"], entry["variants"]) for team, entry in stats.items()} == {
        "shop": (2, 2),
        "lab": (1, 1),
        "staff": (0, 0),
    }


def test_an_admin_counts_models_and_bytes(operator: Caller, links: list[httpx.URL]) -> None:
    shop = count(operator)["shop"]

    assert shop["models"]["gpt-image-2"] == 1
    assert shop["size_bytes"] == sum(len(follow(link).content) for link in links[:2])


@pytest.mark.usefixtures("links")
def test_an_admin_counts_the_images_of_one_team(operator: Caller) -> None:
    assert list(count(operator, team="lab")) == ["lab"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "invalid_value"),
        ("users=anna", "unknown_parameter"),
        ("team=", "invalid_value"),
        ("older_than_s=-1", "invalid_value"),
        ("older_than_s=1d", "invalid_value"),
        ("older_than_s=1e400", "invalid_value"),
        ("older_than_s=1_0", "invalid_value"),
        ("team=shop&dry_run=yes", "invalid_value"),
        ("team=shop&team=lab", "invalid_value"),
    ],
)
def test_an_invalid_selection_is_refused(operator: Caller, query: str, code: str) -> None:
    answer = operator.client.delete(f"{CACHE}?{query}")

    assert (answer.status_code, answer.json()["error"]["code"]) == (400, code), answer.text


def test_a_dry_run_counts_and_deletes_nothing(operator: Caller, links: list[httpx.URL]) -> None:
    counted = purge(operator, user="anna", dry_run="true")

    assert (counted["images"], counted["dry_run"]) == (2, True)
    check_served(*links)


def test_a_purge_deletes_the_images_that_it_selects(operator: Caller, links: list[httpx.URL]) -> None:
    one, by_another_model, of_the_lab = links
    size_bytes = len(follow(by_another_model).content)

    purged = purge(operator, user="anna", model="gpt-image-2")

    assert purged == {
        "object": "purge",
        "images": 1,
        "size_bytes": size_bytes,
        "dry_run": False,
        "has_more": False,
    }
    check_gone(by_another_model)
    check_served(one, of_the_lab)


@pytest.mark.parametrize("age", ["3600", "3600.0000001", "3.6e3", "2.5E+307"])
def test_a_purge_of_old_images_spares_young_ones(operator: Caller, links: list[httpx.URL], age: str) -> None:
    purged = purge(operator, older_than_s=age)

    assert purged["images"] == 0
    check_served(*links)


def test_the_audit_notes_a_purge(tenants: Tenants, operator: Caller) -> None:
    purge(operator, older_than_s="3600")

    (entry,) = tenants.read_audit(1)
    assert (entry.who, entry.act) == ("bootstrap", "purge_cache")
