"""A gateway whose images are in S3: orders, links, redirects, deletion, and a store that hangs."""

import signal
from collections.abc import Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import obstore
import pytest

from tests.http.house import GENERATIONS, House, check_error, digest_of, open_house, until
from tests.http.tenants import follow, order
from tests.s3_server import READER, S3Server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def prefix() -> str:
    return uuid4().hex


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, s3: S3Server, prefix: str) -> Iterator[House]:
    with open_house(tmp_path_factory.mktemp("s3"), **s3.settings(prefix)) as house:
        house.behave(paint="flat")
        yield house


@pytest.fixture(scope="module")
def redirecting(tmp_path_factory: pytest.TempPathFactory, s3: S3Server) -> Iterator[House]:
    settings = s3.settings(uuid4().hex)
    with open_house(tmp_path_factory.mktemp("redirecting"), store_redirect_s=60, **settings) as house:
        house.behave(paint="flat")
        yield house


def path_in_bucket(link: httpx.URL) -> str:
    name = link.path.rpartition("/")[2]
    return f"images/{name[:2]}/{name}"


def test_images_are_in_the_bucket_and_come_from_the_gateway(
    house: House, s3: S3Server, prefix: str, prompt: str
) -> None:
    link = order(house.client, prompt)

    answer = follow(link)

    assert answer.status_code == 200
    kept = bytes(obstore.get(s3.open_bucket(prefix), path_in_bucket(link)).bytes())
    assert kept == answer.content
    assert digest_of(kept) == link.path.rpartition("/")[2].removesuffix(".png")
    part = httpx.get(link, headers={"range": "bytes=10-19"}, trust_env=False)
    assert (part.status_code, part.content) == (206, kept[10:20])
    again = house.client.post(GENERATIONS, json={"model": "dall-e-3", "prompt": prompt})
    assert again.headers["x-cache"] == "hit"
    assert not list(house.data_dir.rglob("*.png"))


def test_an_object_that_is_gone_is_a_410_and_made_again(
    house: House, s3: S3Server, prefix: str, prompt: str
) -> None:
    link = order(house.client, prompt)
    obstore.delete(s3.open_bucket(prefix), path_in_bucket(link))

    check_error(follow(link), 410, code="image_gone", param=None)
    again = house.client.post(GENERATIONS, json={"model": "dall-e-3", "prompt": prompt})
    assert again.headers["x-cache"] == "miss"


def test_a_link_may_lead_to_the_store_itself(redirecting: House, s3: S3Server, prompt: str) -> None:
    link = order(redirecting.client, prompt)

    answer = follow(link)

    assert (answer.status_code, answer.content) == (302, b"")
    assert answer.headers["cache-control"] == "private, no-store"
    target = answer.headers["location"]
    assert urlsplit(target).netloc == urlsplit(s3.endpoint).netloc
    assert "X-Amz-Expires=60" in target
    picture = httpx.get(target, trust_env=False)
    assert digest_of(picture.content) in link.path
    assert picture.headers["content-type"] == "image/png"
    assert READER[1] not in target


def test_requests_without_bytes_are_not_redirected(redirecting: House, prompt: str) -> None:
    link = order(redirecting.client, prompt)
    etag = f'"{link.path.rpartition("/")[2].removesuffix(".png")}"'

    head = follow(link, "HEAD")
    known = httpx.get(link, headers={"if-none-match": etag}, trust_env=False)

    assert (head.status_code, head.headers["etag"]) == (200, etag)
    assert known.status_code == 304


def test_a_deleted_image_is_not_redirected_to(redirecting: House, prompt: str) -> None:
    link = order(redirecting.client, prompt)
    assert follow(link).status_code == 302

    assert redirecting.client.delete(link.path).status_code == 204

    check_error(follow(link), 410, code="image_gone", param=None)
    assert follow(link.copy_set_param("exp", "1")).status_code == 403


def test_a_store_that_hangs_costs_nothing(house: House, s3: S3Server, prompt: str) -> None:
    """The first order after it hangs is paid for and cannot be kept; from then on it is known before paying."""
    link = order(house.client, f"{prompt}, before")
    s3.signal(signal.SIGSTOP)
    try:
        first = house.client.post(
            GENERATIONS,
            json={"model": "dall-e-3", "prompt": f"{prompt}, first", "response_format": "b64_json"},
        )
        refused = house.client.post(
            GENERATIONS, json={"model": "dall-e-3", "prompt": f"{prompt}, url", "response_format": "url"}
        )
        given = house.client.post(
            GENERATIONS, json={"model": "dall-e-3", "prompt": f"{prompt}, b64", "response_format": "b64_json"}
        )
        away = follow_patiently(link)
    finally:
        s3.signal(signal.SIGCONT)

    assert first.status_code == 200
    check_error(refused, 503, code="store_unavailable", param=None)
    assert house.journal(prompt=f"{prompt}, url") == []
    assert given.status_code == 200
    assert len(house.journal(prompt=f"{prompt}, b64")) == 1
    check_error(away, 503, code="store_unavailable", param=None)
    url = {"model": "dall-e-3", "prompt": f"{prompt}, after", "response_format": "url"}
    until(lambda: house.client.post(GENERATIONS, json=url).status_code == 200)
    # Nothing was taken for lost.
    assert follow(link).status_code == 200


def follow_patiently(link: httpx.URL) -> httpx.Response:
    return httpx.get(link, trust_env=False, timeout=60)


def test_the_first_order_finds_wrong_credentials(
    tmp_path_factory: pytest.TempPathFactory, s3: S3Server, prompt: str
) -> None:
    settings = {**s3.settings(uuid4().hex), "store_secret_access_key": "not-the-secret"}
    with open_house(tmp_path_factory.mktemp("wrong"), **settings) as house:
        body = {"model": "dall-e-3", "prompt": prompt, "response_format": "url"}

        answer = house.client.post(GENERATIONS, json=body)

        check_error(answer, 503, code="store_unavailable", param=None)
        assert house.journal(prompt=prompt) == []
        log = house.gateway.log.read_text("utf-8")
        assert "not-the-secret" not in log
        [failed] = house.gateway.log_lines("store failed")
        assert (failed["reason"], failed["store"]) == (
            "denied",
            f"{settings['store_url']} at {s3.endpoint}",
        )
        assert "GATEWAY_STORE_SECRET_ACCESS_KEY" in failed["advice"]
        assert f"images in {failed['store']}" in log
        ready = house.client.get("/readyz?verbose")
        assert (ready.status_code, ready.json()["status"], ready.json()["store"]) == (200, "ok", "failing")
        metrics = house.client.get("/metrics").text
        assert "imagegw_store_failing 1.0" in metrics
        assert 'imagegw_store_failures_total{reason="denied"}' in metrics
