"""A disk that fills up under a running gateway: known before anything is paid for, and over when there is room."""

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import orjson
import pytest
from httpx_sse import EventSource

from tests.adapters.storage.disks import Disk, small_disk
from tests.http.house import GENERATIONS, House, check_error, open_house, until
from tests.http.tenants import follow, order
from tests.journals import count_unsettled, held_by_another
from tests.processes import run_valkey


def ask(client: httpx.Client, prompt: str, delivery: str) -> httpx.Response:
    return client.post(GENERATIONS, json={"model": "dall-e-3", "prompt": prompt, "response_format": delivery})


def watch(client: httpx.Client, prompt: str) -> dict[str, Any]:
    """Return the event of a streamed image."""
    answer = client.post(f"{GENERATIONS}/stream", json={"model": "dall-e-3", "prompt": prompt})
    [event] = EventSource(answer).iter_sse()
    payload: dict[str, Any] = orjson.loads(event.data)
    return payload


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
            streamed = watch(house.client, f"{prompt} streamed")

            assert (first.status_code, given.status_code) == (200, 200)
            assert (streamed["cost_microusd"] > 0, "b64_json" in streamed, "url" in streamed) == (
                True,
                True,
                False,
            )
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


@contextlib.contextmanager
def whole_disk(directory: Path) -> Iterator[Disk]:
    """Give a disk for all that a gateway keeps, but for its log: what it says of a full disk is read."""
    with small_disk(directory / "disk", size_bytes=24 * 1024 * 1024) as disk:
        (disk.path / "gateway.log").symlink_to(directory / "gateway.log")
        yield disk


def booked(house: House) -> Counter[str]:
    """Return the ledger's images by their outcome."""
    totals = house.client.get("/v1/usage").json().get("totals", [])
    return Counter({each["outcome"]: each["images"] for each in totals})


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_every_paid_image_is_booked_on_a_full_disk_and_after_a_restart_on_it(tmp_path: Path) -> None:
    prompt = uuid4().hex
    with whole_disk(tmp_path) as disk:
        with open_house(disk.path) as house:
            house.behave(paint="flat")
            assert ask(house.client, f"{prompt} before", "b64_json").status_code == 200
            disk.fill(but_bytes=0)
            answers = [ask(house.client, f"{prompt} {number}", "b64_json") for number in range(12)]
            until(lambda: house.client.get("/readyz?verbose").json()["journal"] == "low")
            assert "imagegw_journal_low 1.0" in house.client.get("/metrics").text
            until(lambda: house.gateway.log_lines("journal low on room"))
            paid = len(house.journal(prompt=prompt))
            house.gateway.kill()
        with open_house(disk.path) as house:
            assert house.client.get("/readyz?verbose").json()["journal"] == "low"
            answers += [ask(house.client, f"{prompt} again {number}", "b64_json") for number in range(3)]
            paid += len(house.journal(prompt=prompt))
            disk.free()
            until(lambda: count_unsettled(disk.path) == 0 and booked(house).total() >= paid)

            assert {answer.status_code for answer in answers} == {200}
            # Valkey may forget the last second before it is killed; what it had granted is unknown then.
            assert (paid, booked(house).total()) == (16, 16)
            assert booked(house)["made"] >= 14
            assert "Traceback" not in house.gateway.log.read_text()
        assert not list(disk.path.rglob("*.half"))


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_nothing_is_made_that_neither_redis_nor_the_journal_takes(tmp_path: Path) -> None:
    prompt = uuid4().hex
    with run_valkey() as valkey, open_house(tmp_path, redis_url=valkey.url, redis_timeout_s=1) as house:
        house.behave(paint="flat")
        with held_by_another(tmp_path):
            with_redis = ask(house.client, f"{prompt} with Redis", "url")
            valkey.process.kill()
            refused = [ask(house.client, f"{prompt} refused {number}", "url") for number in range(5)]
            rows = house.client.get("/readyz?verbose").json()
            metrics = house.client.get("/metrics").text
        until(lambda: house.client.get("/readyz?verbose").json()["journal"] == "ok")
        without = ask(house.client, f"{prompt} without Redis", "url")

        assert (with_redis.status_code, without.status_code) == (200, 200)
        for answer in refused:
            check_error(answer, 503, code="state_unavailable", param=None)
            assert answer.headers["retry-after"] == "1"
        assert (rows["state"], rows["journal"]) == ("degraded", "failing")
        assert "imagegw_journal_failing 1.0" in metrics
        assert house.journal(prompt=f"{prompt} refused") == []
        assert house.gateway.log_lines("journal failed")
        assert house.gateway.log_lines("journal works again")
        assert "Traceback" not in house.gateway.log.read_text()


@pytest.mark.slow
def test_an_idempotency_key_of_an_image_that_no_store_took_can_be_repeated(tmp_path: Path) -> None:
    prompt = uuid4().hex
    with (
        small_disk(tmp_path / "disk") as disk,
        open_house(tmp_path / "data", store_url=(disk.path / "files").as_uri()) as house,
    ):
        house.behave(paint="flat")
        disk.fill(but_bytes=0)
        body = {"model": "dall-e-3", "prompt": prompt, "response_format": "b64_json"}
        headers = {"authorization": "Bearer somebody", "idempotency-key": prompt}
        answers = []
        for number in range(4):
            if number == 2:
                disk.free()
                until(lambda: house.client.get("/readyz?verbose").json()["store"] == "ok")
            answers.append(house.client.post(GENERATIONS, json=body, headers=headers))

        assert [answer.status_code for answer in answers] == [200] * 4, answers[0].text
        # Nobody has the bytes of the first two; the third is kept, and repeated.
        assert len(house.journal(prompt=prompt)) == 3
        assert answers[3].json()["data"] == answers[2].json()["data"]


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
