"""S3 that goes away while images are being made: what was paid for is kept, served, and brought home."""

import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import httpx
import obstore
import pytest

from tests.http.house import GENERATIONS, House, check_error, digest_of, open_house, pictures_of, until
from tests.http.tenants import follow
from tests.s3_server import S3Server

pytestmark = pytest.mark.slow

PATIENCE_S = 30.0
"""A server that was away answers no sooner than it has found its data again."""
LATENCY_S = 2


@pytest.fixture
def prompt() -> str:
    return f"a lighthouse, number {uuid4().hex}"


@pytest.fixture
def prefix() -> str:
    return uuid4().hex


@pytest.fixture
def outage(s3: S3Server) -> Iterator[S3Server]:
    """The server, which is back after the test."""
    try:
        yield s3
    finally:
        s3.stop()
        s3.start()


def ask(client: httpx.Client, prompt: str, n: int = 1, delivery: str = "url") -> httpx.Response:
    return client.post(
        GENERATIONS, json={"model": "gpt-image-2", "prompt": prompt, "n": n, "response_format": delivery}
    )


def links_of(answer: httpx.Response) -> list[httpx.URL]:
    assert answer.status_code == 200, answer.text
    return [httpx.URL(entry["url"]) for entry in answer.json()["data"]]


def name_of(link: httpx.URL) -> str:
    return link.path.rpartition("/")[2]


def spilled(house: House) -> set[str]:
    return {path.name for path in (house.data_dir / "spill").rglob("*.png")}


def kept(s3: S3Server, prefix: str) -> set[str]:
    pages = obstore.list(s3.open_bucket(prefix))
    return {entry["path"].rpartition("/")[2] for page in pages for entry in page} - {"probe"}


def until_home(condition: Callable[[], object]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come home"
        time.sleep(0.05)


def order_through_an_outage(house: House, s3: S3Server, orders: dict[str, int]) -> list[httpx.Response]:
    """Stop the server while *orders*, a number of images by prompt, are at the provider."""
    house.behave(paint="flat", latency_s=LATENCY_S)
    with ThreadPoolExecutor(len(orders)) as pool:
        answers = [pool.submit(ask, house.client, prompt, n) for prompt, n in orders.items()]
        until(lambda: house.sandbox.get("/sandbox/journal").text.count("/images/") == len(orders))
        s3.stop()
        given = [answer.result() for answer in answers]
    house.behave(paint="flat")
    return given


def test_images_paid_during_an_outage_are_spilled_and_uploaded_later(
    tmp_path: Path, outage: S3Server, prefix: str, prompt: str
) -> None:
    orders = {f"{prompt} one": 1, f"{prompt} two": 2, f"{prompt} three": 1}
    with open_house(tmp_path, **outage.settings(prefix)) as house:
        answers = order_through_an_outage(house, outage, orders)

        links = [link for answer in answers for link in links_of(answer)]
        names = {name_of(link) for link in links}
        assert len(names) == 4
        assert spilled(house) == names
        for link in links:
            assert name_of(link).startswith(digest_of(follow(link).content))
        part = httpx.get(links[0], headers={"range": "bytes=10-19"}, trust_env=False)
        assert (part.status_code, len(part.content)) == (206, 10)
        again = ask(house.client, f"{prompt} two", 2, "b64_json")
        assert again.headers["x-cache"] == "hit"
        assert len(pictures_of(again)) == 2
        refused = ask(house.client, f"{prompt} new")
        check_error(refused, 503, code="store_unavailable", param=None)

        outage.start()
        until_home(lambda: not spilled(house))

        assert kept(outage, prefix) == names
        for number, (words, n) in enumerate(orders.items()):
            hit = ask(house.client, words, n)
            assert hit.headers["x-cache"] == "hit"
            assert {name_of(link) for link in links_of(hit)} == {
                name_of(link) for link in links_of(answers[number])
            }
        assert all(follow(link).status_code == 200 for link in links)
        assert sorted(len(entry["images"]) for entry in house.journal(prompt=prompt)) == [1, 1, 2]
        metrics = house.client.get("/metrics").text
        for outcome in ("kept", "brought_home"):
            assert f'imagegw_images_spilled_total{{outcome="{outcome}"}} 4.0' in metrics
        assert "imagegw_spill_images 0.0" in metrics


def test_spilled_images_are_uploaded_after_a_restart(
    tmp_path: Path, outage: S3Server, prefix: str, prompt: str
) -> None:
    with open_house(tmp_path, **outage.settings(prefix)) as house:
        (answer,) = order_through_an_outage(house, outage, {prompt: 1})
        (link,) = links_of(answer)
        assert house.gateway.stop() == 0
    with open_house(tmp_path, **outage.settings(prefix)) as house:
        same = link.copy_with(port=httpx.URL(house.gateway.url).port)
        assert follow(same).status_code == 200

        outage.start()
        until_home(lambda: not spilled(house))

        assert kept(outage, prefix) == {name_of(link)}
        assert ask(house.client, prompt).headers["x-cache"] == "hit"
        assert house.journal(prompt=prompt) == []


def test_a_spilled_image_can_be_deleted(tmp_path: Path, outage: S3Server, prefix: str, prompt: str) -> None:
    with open_house(tmp_path, **outage.settings(prefix)) as house:
        (answer,) = order_through_an_outage(house, outage, {prompt: 1})
        (link,) = links_of(answer)

        assert house.client.delete(link.path).status_code == 204

        check_error(follow(link), 410, code="image_gone", param=None)


def test_a_spilled_image_is_not_redirected(
    tmp_path: Path, outage: S3Server, prefix: str, prompt: str
) -> None:
    with open_house(tmp_path, store_redirect_s=60, **outage.settings(prefix)) as house:
        (answer,) = order_through_an_outage(house, outage, {prompt: 1})
        (link,) = links_of(answer)
        assert follow(link).status_code == 200

        outage.start()
        until_home(lambda: not spilled(house))

        moved = follow(link)
        assert moved.status_code == 302
        picture = httpx.get(moved.headers["location"], trust_env=False)
        assert name_of(link).startswith(digest_of(picture.content))


def test_a_store_in_a_directory_has_no_spill(tmp_path: Path, prompt: str) -> None:
    with open_house(tmp_path) as house:
        house.behave(paint="flat")

        assert ask(house.client, prompt).status_code == 200

        assert not (tmp_path / "spill").exists()


def test_an_image_that_is_being_stored_at_the_cut_off_is_spilled_and_booked(
    tmp_path: Path, s3: S3Server, prefix: str, prompt: str
) -> None:
    settings = {**s3.settings(prefix), "drain_s": 0.5}
    with open_house(tmp_path, **settings) as house, ThreadPoolExecutor(1) as pool:
        house.behave(paint="flat")
        s3.signal(signal.SIGSTOP)
        try:
            answer = pool.submit(ask, house.client, prompt)
            until(lambda: house.painted(prompt))
            assert house.gateway.stop() == 0
        finally:
            s3.signal(signal.SIGCONT)
        (link,) = links_of(answer.result())
        assert spilled(house) == {name_of(link)}
    with open_house(tmp_path, **settings) as house:
        totals = house.client.get("/v1/usage").json()["totals"]
        assert [(total["outcome"], total["images"]) for total in totals] == [("made", 1)]
        assert ask(house.client, prompt).headers["x-cache"] == "hit"
        assert house.painted(prompt) == []
        until_home(lambda: not spilled(house))
