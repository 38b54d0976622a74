"""Signed links: good until they expire or their secret is retired, and not one character else."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.adapters.identity.secrets import derive_key
from service.adapters.storage.links import SignedLinks
from service.domain.errors import LinkExpired, LinkRefused
from tests.fakes.clock import FakeClock

NAME = "ab" * 32 + ".png"
TEAM = "shop"
OLD, NEW = (derive_key(secret, "image-link") for secret in ("the-old-secret-1", "the-new-secret-2"))


def links(*keys: bytes, ttl_s: int = 0, clock: FakeClock | None = None) -> SignedLinks:
    url = "https://images.example.com/"
    return SignedLinks(public_url=url, keys=list(keys), ttl_s=ttl_s, clock=clock or FakeClock())


def query_of(url: str) -> str:
    return urlsplit(url).query


def test_a_link_is_an_absolute_url_under_the_public_one() -> None:
    url = urlsplit(links(NEW).sign(TEAM, NAME))

    assert (url.scheme, url.netloc, url.path) == ("https", "images.example.com", f"/v1/images/files/{NAME}")


def test_a_signed_link_is_valid_repeatedly() -> None:
    signed = links(NEW)
    query = query_of(signed.sign(TEAM, NAME))

    assert signed.check(NAME, query) == TEAM
    assert links(NEW).check(NAME, query) == TEAM


def test_the_same_image_has_the_same_link_while_links_do_not_expire() -> None:
    """So that browsers and caches find it again."""
    clock = FakeClock()
    first = links(NEW, clock=clock).sign(TEAM, NAME)
    clock.advance(86_400)

    assert links(NEW, clock=clock).sign(TEAM, NAME) == first


def test_a_link_expires_at_its_second() -> None:
    clock = FakeClock()
    signed = links(NEW, ttl_s=60, clock=clock)
    query = query_of(signed.sign(TEAM, NAME))

    clock.advance(60)
    signed.check(NAME, query)
    clock.advance(1)
    with pytest.raises(LinkExpired):
        signed.check(NAME, query)


def test_a_link_without_expiry_outlives_a_setting_that_gives_one() -> None:
    query = query_of(links(NEW).sign(TEAM, NAME))

    links(NEW, ttl_s=60).check(NAME, query)


def test_links_of_an_older_secret_are_valid_while_it_is_listed() -> None:
    query = query_of(links(OLD).sign(TEAM, NAME))

    links(NEW, OLD).check(NAME, query)
    with pytest.raises(LinkRefused):
        links(NEW).check(NAME, query)


def test_new_links_are_signed_with_the_newest_secret() -> None:
    query = query_of(links(NEW, OLD).sign(TEAM, NAME))

    links(NEW).check(NAME, query)
    with pytest.raises(LinkRefused):
        links(OLD).check(NAME, query)


def test_a_link_is_good_for_its_image_only() -> None:
    query = query_of(links(NEW).sign(TEAM, NAME))

    with pytest.raises(LinkRefused):
        links(NEW).check(NAME.replace("png", "webp"), query)


def test_another_expiry_needs_another_signature() -> None:
    clock = FakeClock()
    signed = links(NEW, ttl_s=60, clock=clock)
    query = query_of(signed.sign(TEAM, NAME))

    for changed in (
        query.replace("exp=1", "exp=2", 1),
        query.replace("exp=", "exp=0"),
        query.replace("exp=1", "exp=0&x=1"),
    ):
        assert changed != query
        with pytest.raises(LinkRefused):
            signed.check(NAME, changed)


@given(
    st.text(max_size=80)
    | st.from_regex(r"(exp=\d{0,5}&?|sig=[\w.%-]{0,50}&?|[a-z]=&?){0,12}", fullmatch=True)
)
def test_any_other_query_is_refused(query: str) -> None:
    with pytest.raises(LinkRefused):
        links(NEW).check(NAME, query)


def test_too_many_fields_are_refused() -> None:
    query = query_of(links(NEW).sign(TEAM, NAME))

    with pytest.raises(LinkRefused):
        links(NEW).check(NAME, f"{query}&a=1" + "&b=2" * 50)


def test_a_link_is_good_for_its_team_alone() -> None:
    query = query_of(links(NEW).sign("shop", NAME))

    for other in (
        query.replace("t=shop", "t=lab"),
        query.replace("t=shop", "t=shop&t=lab"),
        query.replace("t=shop&", ""),
    ):
        with pytest.raises(LinkRefused):
            links(NEW).check(NAME, other)


def test_the_parts_of_a_link_cannot_be_shifted() -> None:
    """Were they signed one after the other without a mark, `ab` and `c` would sign as `a` and `bc`."""
    signature = query_of(links(NEW).sign("a", NAME)).rpartition("sig=")[2]

    for team, expires in (("a-0", ""), ("", "a0"), ("a%260", "0"), ("a&exp=0", "0")):
        with pytest.raises(LinkRefused):
            links(NEW).check(NAME, f"t={team}&exp={expires}&sig={signature}")


def test_a_signature_has_one_spelling() -> None:
    """So that each link is one entry of every cache and every list of blocked links."""
    query = query_of(links(NEW).sign(TEAM, NAME))
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    variants = [query[:-1] + letter for letter in letters if letter != query[-1]]
    variants += [f"{query}{end}" for end in ("=", "%3D", ".", "!", "+", "%0A", "%20", "%C3%A9")]

    for variant in variants:
        with pytest.raises(LinkRefused):
            links(NEW).check(NAME, variant)
