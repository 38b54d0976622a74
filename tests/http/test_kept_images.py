"""Keep bytes of images: from a provider's URL, for a link, after damage."""

import os
from pathlib import Path

import httpx
import pytest

from tests.http.callers import Caller, check_gone, check_served, link_of, links_of
from tests.http.house import digest_of
from tests.http.tenants import Tenants, follow

pytestmark = pytest.mark.usefixtures("flat_images")

LARGE = {"size": "1792x1024", "quality": "hd"}


@pytest.mark.parametrize("delivery", ["url", "b64_json"])
def test_an_image_from_a_provider_url_is_stored(
    tenants: Tenants, anna: Caller, prompt: str, delivery: str
) -> None:
    tenants.house.behave(paint="flat", answer_urls=True)
    anna.asks_for(prompt, n=2, response_format=delivery)

    again = anna.asks_for(prompt, n=2, response_format="url")

    assert again.headers["x-cache"] == "hit"
    assert {digest_of(follow(link).content) for link in links_of(again)} == {
        image["sha256"] for image in tenants.house.painted(prompt)
    }


def test_an_image_ordered_with_no_store_is_kept_for_its_link_only(anna: Caller, prompt: str) -> None:
    unstored = anna.asks_for(prompt, cache_control="no-store")

    check_served(link_of(unstored))
    assert anna.asks_for(prompt).headers["x-cache"] == "miss"


def remove(file: Path) -> None:
    file.unlink()


def flip_a_bit(file: Path) -> None:
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def cut_off(file: Path) -> None:
    os.truncate(file, 500)


HARMS = [remove, flip_a_bit, empty, cut_off]


@pytest.fixture(params=HARMS)
def lost(request: pytest.FixtureRequest, tenants: Tenants, anna: Caller, prompt: str) -> httpx.URL:
    """The link of an image whose file was harmed."""
    link = anna.orders(prompt)
    request.param(tenants.house.file_behind(link))
    return link


def test_a_link_to_a_lost_file_is_a_410(anna: Caller, lost: httpx.URL) -> None:
    check_gone(lost)

    check_gone(lost)
    assert anna.asks_about(lost).status_code == 404


def test_a_lost_image_is_made_again(anna: Caller, lost: httpx.URL, prompt: str) -> None:
    check_gone(lost)

    again = anna.asks_for(prompt, response_format="url")

    assert again.headers["x-cache"] == "miss"
    check_served(link_of(again))


@pytest.fixture
def longer(tenants: Tenants, anna: Caller, prompt: str) -> httpx.URL:
    """The link of a large image whose file is longer than the image."""
    tenants.house.behave(paint="full")
    link = anna.orders(prompt, **LARGE)
    file = tenants.house.file_behind(link)
    # Past the first piece that is read, and long enough for a second one.
    file.write_bytes(file.read_bytes() + bytes(600_000))
    return link


def test_a_reader_never_gets_all_of_a_damaged_image(longer: httpx.URL) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        follow(longer)


def test_an_image_found_damaged_is_a_410_the_next_time(anna: Caller, longer: httpx.URL, prompt: str) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        follow(longer)

    again = anna.asks_for(prompt, **LARGE)

    assert again.headers["x-cache"] == "miss"
    check_gone(longer)
