"""A disk that fills up under a running gateway: known before anything is paid for, and over when there is room."""

from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.adapters.storage.disks import small_disk
from tests.http.house import GENERATIONS, check_error, open_house, until
from tests.http.tenants import follow, order


def ask(client: httpx.Client, prompt: str, delivery: str) -> httpx.Response:
    return client.post(GENERATIONS, json={"model": "dall-e-3", "prompt": prompt, "response_format": delivery})


@pytest.mark.slow
def test_a_full_disk_costs_nothing_and_is_over_when_there_is_room(tmp_path: Path) -> None:
    prompt = uuid4().hex
    with small_disk(tmp_path / "disk") as disk:
        store_url = (disk.path / "files").as_uri()
        with open_house(tmp_path / "data", store_url=store_url, sweep_s=0.2) as house:
            house.behave(paint="flat")
            link = order(house.client, f"{prompt} before")
            disk.fill(but_bytes=0)

            # Whoever finds it out has paid for it, and gets the bytes.
            first = ask(house.client, f"{prompt} first", "b64_json")
            refused = [ask(house.client, f"{prompt} url", "url") for _ in range(3)]
            given = ask(house.client, f"{prompt} b64", "b64_json")

            assert (first.status_code, given.status_code) == (200, 200)
            for answer in refused:
                check_error(answer, 503, code="store_unavailable", param=None)
            assert house.journal(prompt=f"{prompt} url") == []
            assert follow(link).status_code == 200
            stats = house.client.get(f"{link.path}/info").json()
            assert stats["size_bytes"] == len(follow(link).content)

            disk.free()
            until(lambda: ask(house.client, f"{prompt} url", "url").status_code == 200)
            assert len(house.journal(prompt=f"{prompt} url")) == 1
            # What could not be kept is in no pool.
            assert ask(house.client, f"{prompt} b64", "b64_json").headers["x-cache"] == "miss"


@pytest.mark.slow
def test_deleting_makes_room_on_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        store_url = (disk.path / "files").as_uri()
        with open_house(tmp_path / "data", store_url=store_url, sweep_s=0.2) as house:
            house.behave(paint="flat")
            link = order(house.client, "first")
            disk.fill(but_bytes=0)
            (file,) = (disk.path / "files").rglob("*.png")

            assert house.client.delete(link.path).status_code == 204

            check_error(follow(link), 410, code="image_gone", param=None)
            # It is young: somebody may just be making the same.
            assert file.exists()
