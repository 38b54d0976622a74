"""What is kept no longer, on a running gateway: links end, orders make it anew, and the disk gets smaller."""

import os
import time
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.adapters.redis.keys import DELETIONS, SWEEPER
from tests.http.house import GENERATIONS, House, open_house, until
from tests.http.tenants import SECRET, follow, open_tenants, order

HOUR_S = 3600
DEADLINE_S = 3
"""Nothing younger is swept."""


def metric(house: House, name: str, **labels: str) -> float:
    for family in text_string_to_metric_families(house.client.get("/metrics").text):
        for sample in family.samples:
            if sample.name == name and all(sample.labels.get(key) == value for key, value in labels.items()):
                return float(sample.value)
    return 0.0


def files_in(house: House) -> set[str]:
    return {path.name for path in house.data_dir.rglob("*.png")}


def age(house: House, *links: httpx.URL) -> None:
    """Make the files of links older than an hour."""
    for link in links:
        (path,) = house.data_dir.rglob(link.path.rpartition("/")[2])
        old_s = time.time() - 2 * HOUR_S  # noqa: TID251 - as the file system tells it
        os.utime(path, (old_s, old_s))


@pytest.mark.slow
def test_images_go_beyond_the_size_limit(tmp_path: Path) -> None:
    with open_house(tmp_path / "sizing") as house:
        house.behave(paint="flat")
        size_bytes = len(follow(order(house.client, "how large is one")).content)
    with open_house(
        tmp_path / "swept", sweep_s=0.2, deadline_s=DEADLINE_S, retention_bytes=int(size_bytes * 2.5)
    ) as house:
        house.behave(paint="flat")
        links = [order(house.client, f"picture {number}") for number in range(3)]

        until(lambda: metric(house, "imagegw_images_forgotten_total", reason="bytes") == 1)
        until(lambda: metric(house, "imagegw_images_kept") == 2)

        # Which one goes where all are of one second is left to chance.
        assert sorted(follow(link).status_code for link in links) == [200, 200, 410]
        assert 0 < metric(house, "imagegw_kept_bytes") <= size_bytes * 2.5
        (gone,) = [number for number, link in enumerate(links) if follow(link).status_code == 410]
        again = house.client.post(GENERATIONS, json={"model": "dall-e-3", "prompt": f"picture {gone}"})
        assert again.headers["x-cache"] == "miss"


@pytest.mark.slow
def test_expired_images_lose_their_bytes_after_an_hour(tmp_path: Path) -> None:
    with open_house(tmp_path, sweep_s=0.2, deadline_s=DEADLINE_S, retention_s=1) as house:
        house.behave(paint="flat")
        link = order(house.client, "soon gone")
        other = order(house.client, "soon gone too")
        age(house, link)
        name, young = (each.path.rpartition("/")[2] for each in (link, other))

        until(lambda: follow(link).status_code == 410 and follow(other).status_code == 410)
        until(lambda: name not in files_in(house))

        assert young in files_in(house)
        assert metric(house, "imagegw_images_forgotten_total", reason="age") == 2
        assert metric(house, "imagegw_files_deleted_total") == 1


@pytest.mark.slow
def test_images_of_a_waiting_order_stay(tmp_path: Path) -> None:
    """Its answer links to all of them, though the first would be too old by then."""
    with open_house(tmp_path, sweep_s=0.1, retention_s=1) as house:
        house.behave(paint="flat")
        first = order(house.client, "one and another")
        house.behave(paint="flat", latency_s=2.5)

        answer = house.client.post(
            GENERATIONS, json={"model": "dall-e-3", "prompt": "one and another", "n": 2}
        )

        assert answer.headers["x-cache"].startswith("partial; hits=1")
        links = [httpx.URL(entry["url"]) for entry in answer.json()["data"]]
        assert first.path in {link.path for link in links}
        assert [follow(link).status_code for link in links] == [200, 200]


@pytest.mark.slow
def test_only_deleted_images_go_from_the_disk(tmp_path: Path) -> None:
    with open_house(tmp_path, sweep_s=0.2) as house:
        house.behave(paint="flat")
        deleted, kept = order(house.client, "deleted"), order(house.client, "kept")
        age(house, deleted, kept)

        assert house.client.delete(deleted.path).status_code == 204
        until(lambda: metric(house, "imagegw_files_deleted_total") == 1)

        assert files_in(house) == {kept.path.rpartition("/")[2]}
        assert follow(kept).status_code == 200


def test_an_image_made_again_meanwhile_stays(tmp_path: Path) -> None:
    """The very bytes: forgotten, an hour old, and due to be swept when an order makes them again."""
    with open_tenants(tmp_path, auth="open", sweep_s=3600) as tenants:
        house = tenants.house
        house.behave(paint="flat", repeat_pictures=True)
        # No sweep comes between: the first of a process comes at once, and this is after it.
        until(lambda: tenants.ask(lambda redis: redis.exists(SWEEPER)))
        first = order(house.client, "the same")
        age(house, first)
        house.client.delete(first.path)
        second = order(house.client, "the same")
        assert second == first
        assert tenants.ask(lambda redis: redis.zcard(DELETIONS)) == 1
        house.gateway.stop()

        tenants.ask(lambda redis: redis.delete(SWEEPER))
        again = {"redis_url": tenants.valkey.url, "secrets": SECRET}
        with open_house(tmp_path, sweep_s=0.2, **again) as house:
            until(lambda: tenants.ask(lambda redis: redis.zcard(DELETIONS)) == 0)

            assert files_in(house) == {second.path.rpartition("/")[2]}
            assert metric(house, "imagegw_files_deleted_total") == 0


@pytest.mark.slow
def test_due_images_are_swept_after_a_restart(tmp_path: Path) -> None:
    with open_tenants(tmp_path, auth="open", sweep_s=3600) as tenants:
        house = tenants.house
        house.behave(paint="flat")
        # The first sweep of a process comes at once; this is after it.
        until(lambda: tenants.ask(lambda redis: redis.exists(SWEEPER)))
        link = order(house.client, "left over")
        age(house, link)
        house.client.delete(link.path)
        house.gateway.stop()
        assert len(files_in(house)) == 1

        # As when its time is over.
        tenants.ask(lambda redis: redis.delete(SWEEPER))
        again = {"redis_url": tenants.valkey.url, "secrets": SECRET}
        with open_house(tmp_path, sweep_s=0.2, **again) as house:
            until(lambda: files_in(house) == set())
