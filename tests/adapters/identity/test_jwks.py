"""The issuer's keys over time: rotation, floods of unknown names, and a source that fails."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from joserfc.jws import JWSRegistry

from service.adapters.identity.jwks import JwksSource, JwksTimes, _parse_keys
from service.adapters.transport import open_transport
from service.domain.errors import StateUnavailable, Unauthenticated
from tests.fakes.clock import FakeClock
from tests.issuer import (
    IssuerKey,
    KeyServer,
    ec_key,
    ed25519_key,
    key_set,
    private_jwk,
    rsa_key,
    run_key_server,
)
from tests.processes import free_port

ES256 = JWSRegistry.algorithms["ES256"]
RS256 = JWSRegistry.algorithms["RS256"]
OLD, NEW = ec_key("old"), ec_key("new")


@asynccontextmanager
async def open_source(url: str, clock: FakeClock, **times: float) -> AsyncIterator[JwksSource]:
    async with httpx.AsyncClient(
        # Worse than ours: what matters must not be left to the client.
        transport=open_transport("http://127.0.0.1", connections=4),
        follow_redirects=True,
        timeout=60.0,
    ) as client:
        yield JwksSource(url, client=client, clock=clock, times=JwksTimes(**times))


@pytest.fixture
async def server() -> AsyncIterator[KeyServer]:
    async with run_key_server(OLD) as running:
        yield running


@pytest.fixture
async def source(server: KeyServer, clock: FakeClock) -> AsyncIterator[JwksSource]:
    async with open_source(server.url, clock) as opened:
        yield opened


async def has(source: JwksSource, key: IssuerKey) -> bool:
    try:
        return (await source.find(key.kid, ES256)).kid == key.kid
    except Unauthenticated:
        return False


async def is_unavailable(source: JwksSource) -> bool:
    try:
        await source.find(OLD.kid, ES256)
    except StateUnavailable as error:
        return error.reason == "jwks"
    return False


async def test_keys_are_fetched_once_in_five_minutes(
    source: JwksSource, server: KeyServer, clock: FakeClock
) -> None:
    assert server.requests == 0
    assert [await has(source, OLD) for _ in range(3)] == [True] * 3
    clock.advance(299.9)
    assert await has(source, OLD)
    assert server.requests == 1

    clock.advance(0.2)
    assert await has(source, OLD)
    assert server.requests == 2


async def test_a_new_key_is_seen_at_once_and_the_old_one_is_gone(
    source: JwksSource, server: KeyServer
) -> None:
    assert await has(source, OLD)
    server.publish(NEW)

    assert await has(source, NEW)
    assert not await has(source, OLD)


async def test_unknown_names_cause_one_fetch_in_ten_seconds(
    source: JwksSource, server: KeyServer, clock: FakeClock
) -> None:
    assert await has(source, OLD)
    for number in range(1000):
        with pytest.raises(Unauthenticated):
            await source.find(f"random-{number}", ES256)
    assert server.requests == 2
    server.publish(OLD, NEW)
    clock.advance(9.9)
    assert not await has(source, NEW)

    clock.advance(0.2)
    assert await has(source, NEW)
    assert server.requests == 3


async def test_many_at_once_share_the_first_fetch(source: JwksSource, server: KeyServer) -> None:
    server.is_open.clear()
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(has(source, OLD)) for _ in range(50)]
        await server.asked.wait()
        server.is_open.set()

    assert all(task.result() for task in asking)
    assert server.requests == 1


async def test_many_at_once_share_the_search_for_a_new_key(source: JwksSource, server: KeyServer) -> None:
    await has(source, OLD)
    server.publish(NEW)
    server.asked.clear()
    server.is_open.clear()
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(has(source, NEW)) for _ in range(50)]
        await server.asked.wait()
        server.is_open.set()

    assert all(task.result() for task in asking)
    assert server.requests == 2


async def test_many_at_once_share_a_failure(source: JwksSource, server: KeyServer) -> None:
    server.is_open.clear()
    server.answer(500, b"")
    async with asyncio.TaskGroup() as group:
        asking = [group.create_task(is_unavailable(source)) for _ in range(50)]
        await server.asked.wait()
        server.is_open.set()

    assert all(task.result() for task in asking)
    assert server.requests == 1


async def test_callers_do_not_wait_for_another_callers_refresh(
    source: JwksSource, server: KeyServer, clock: FakeClock
) -> None:
    await has(source, OLD)
    clock.advance(301)
    server.publish(NEW)
    server.asked.clear()
    server.is_open.clear()
    async with asyncio.TaskGroup() as group:
        refreshing = group.create_task(has(source, OLD))
        await server.asked.wait()
        meanwhile = await has(source, OLD)
        server.is_open.set()

    assert meanwhile
    assert not refreshing.result()


async def test_a_search_is_over_when_a_refresh_brings_the_key(
    source: JwksSource, server: KeyServer, clock: FakeClock
) -> None:
    await has(source, OLD)
    clock.advance(301)
    server.publish(OLD, NEW)
    server.asked.clear()
    server.is_open.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(has(source, OLD))
        await server.asked.wait()
        searching = group.create_task(has(source, NEW))
        server.is_open.set()

    assert searching.result()
    assert server.requests == 2


async def test_a_cancelled_caller_does_not_use_up_the_attempt(source: JwksSource, server: KeyServer) -> None:
    await has(source, OLD)
    server.publish(NEW)
    server.asked.clear()
    server.is_open.clear()
    async with asyncio.TaskGroup() as group:
        leaving = group.create_task(has(source, NEW))
        await server.asked.wait()
        staying = group.create_task(has(source, NEW))
        leaving.cancel()
        server.is_open.set()

    assert leaving.cancelled()
    assert staying.result()


async def test_without_any_keys_all_tokens_are_refused_until_a_fetch(
    source: JwksSource, server: KeyServer, clock: FakeClock
) -> None:
    server.break_down()
    assert await is_unavailable(source)
    asked = server.requests

    clock.advance(0.9)
    assert await is_unavailable(source)
    assert server.requests == asked

    server.publish(OLD)
    clock.advance(0.2)
    assert await has(source, OLD)


async def test_an_answer_that_is_not_http_is_unavailable(source: JwksSource, server: KeyServer) -> None:
    server.reply = b"hello\r\n\r\n"

    assert await is_unavailable(source)


async def test_a_source_without_a_server_is_unavailable(clock: FakeClock) -> None:
    async with open_source(f"http://127.0.0.1:{free_port()}/jwks", clock) as source:
        assert await is_unavailable(source)


async def test_known_keys_are_good_for_a_day_while_their_source_fails(
    source: JwksSource, server: KeyServer, clock: FakeClock
) -> None:
    await has(source, OLD)
    server.answer(500, b"")
    clock.advance(301)
    assert [await has(source, OLD) for _ in range(5)] == [True] * 5
    assert server.requests == 2

    clock.advance(10)
    assert await has(source, OLD)
    assert server.requests == 3

    clock.advance(86_400 - 311 - 1)
    assert await has(source, OLD)
    clock.advance(2)
    assert await is_unavailable(source)

    server.publish(OLD)
    clock.advance(10)
    assert await has(source, OLD)


async def test_a_slow_source_is_given_up(server: KeyServer, clock: FakeClock) -> None:
    async with open_source(server.url, clock, timeout_s=0.05) as source:
        server.is_open.clear()
        assert await is_unavailable(source)
        server.is_open.set()
        clock.advance(1)
        assert await has(source, OLD)

        server.is_open.clear()
        clock.advance(301)
        assert await has(source, OLD)


async def test_a_redirect_is_not_followed(source: JwksSource, server: KeyServer) -> None:
    server.answer(302, key_set(OLD), f"location: {server.url}/elsewhere")

    assert await is_unavailable(source)
    assert server.requests == 1


BAD_DOCUMENTS = {
    "empty": b"",
    "cut off": b"{",
    "not UTF-8": b"\xff",
    "null": b"null",
    "number": b"7",
    "list": b"[]",
    "no keys": b"{}",
    "keys in an object": b'{"keys": {}}',
    "keys in an empty list": b'{"keys": []}',
    "keys of other types": b'{"keys": [7, null, "text", []]}',
    "key without numbers": b'{"keys": [{"kty": "RSA"}]}',
    "nested": b"[" * 100_000,
    "too many": key_set(*[OLD] * 101),
    "for encryption": key_set({**OLD.jwk, "use": "sig", "key_ops": ["encrypt"]}),
    "compressed": gzip.compress(key_set(OLD)),
    "too long": orjson.dumps({"keys": [dict(OLD.jwk)], "padding": "x" * 3_000_000}),
}
"""By name: keys are made anew in every process, and test ids must be equal in all of them."""


@pytest.mark.parametrize("document", BAD_DOCUMENTS.values(), ids=BAD_DOCUMENTS)
async def test_a_document_without_a_key_set_changes_nothing(
    source: JwksSource, server: KeyServer, clock: FakeClock, document: bytes
) -> None:
    server.answer(200, document)
    assert await is_unavailable(source)

    server.publish(OLD)
    clock.advance(1)
    assert await has(source, OLD)

    server.answer(200, document)
    clock.advance(301)
    assert await has(source, OLD)


@pytest.mark.parametrize(
    "entry",
    [
        7,
        {},
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"},
        {"kty": []},
        {"kty": "oct", "kid": "old", "k": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
        {"kty": "RSA", "kid": "old", "n": "AQAB", "e": "AQAB"},
        {"kty": "RSA", "kid": "old", "n": 7, "e": "AQAB"},
        {"kty": "EC", "kid": "old", "crv": "P-000", "x": "AA", "y": "AA"},
        {"kty": "EC", "kid": "old", "crv": [], "x": "AA", "y": "AA"},
        {"kty": "EC", "kid": "old", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "kid": "old", "crv": "P-256", "x": "", "y": "="},
        {"kty": "OKP", "kid": "old", "crv": "Ed25519", "x": "AA"},
        {**OLD.jwk, "kid": 7},
        {**OLD.jwk, "use": "enc"},
        {**OLD.jwk, "key_ops": ["deriveKey"]},
        {**OLD.jwk, "key_ops": 7},
        {**OLD.jwk, "alg": "ES384"},
    ],
    ids=lambda entry: repr(entry).replace(OLD.jwk["x"], "X").replace(OLD.jwk["y"], "Y"),
)
async def test_a_key_that_cannot_be_used_is_passed_over(
    source: JwksSource, server: KeyServer, entry: object
) -> None:
    server.publish(entry, OLD)

    assert await has(source, OLD)
    assert (await source.find(None, ES256)).kid == OLD.kid


async def test_a_published_private_key_admits_no_token(source: JwksSource, server: KeyServer) -> None:
    server.publish(OLD, private_jwk())

    with pytest.raises(Unauthenticated):
        await source.find("private", ES256)


async def test_a_short_key_admits_no_token(source: JwksSource, server: KeyServer) -> None:
    short = rsa_key("short", bits=1024)
    server.publish(OLD, short)

    with pytest.raises(Unauthenticated):
        await source.find("short", RS256)


async def test_one_kid_may_name_keys_of_several_kinds(source: JwksSource, server: KeyServer) -> None:
    server.publish({**rsa_key().jwk, "kid": "one"}, {**OLD.jwk, "kid": "one"}, ed25519_key())

    assert (await source.find("one", ES256)).key_type == "EC"
    assert (await source.find("one", RS256)).key_type == "RSA"


@pytest.mark.parametrize("scheme", ["{path}", "file://{path}", "file://localhost{path}"])
async def test_a_key_file_is_read_again_like_a_url(tmp_path: Path, clock: FakeClock, scheme: str) -> None:
    path = tmp_path / "our keys.json"
    url = scheme.format(path=path if scheme == "{path}" else path.as_uri().removeprefix("file://"))
    async with open_source(url, clock) as source:
        assert await is_unavailable(source)

        path.write_bytes(key_set(OLD))
        clock.advance(1)
        assert await has(source, OLD)

        path.write_bytes(key_set(NEW))
        assert await has(source, NEW)

        path.write_bytes(b" " * 3_000_000 + key_set(OLD))
        clock.advance(301)
        assert await has(source, NEW)

        path.unlink()
        path.mkdir()
        clock.advance(10)
        assert await has(source, NEW)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "http://login.example.com/jwks",
        "http://127.0.0.1.example.com/jwks",
        "http://127.0.0.1@example.com/jwks",
        "https://user:word@example.com/jwks",
        "https:///jwks",
        "https://[::1",
        "https://\x01/",
        "//example.com/jwks",
        "file://elsewhere/jwks",
        "ftp://example.com/jwks",
        "data:application/json,{}",
    ],
)
async def test_an_address_that_is_not_safe_is_refused(clock: FakeClock, url: str) -> None:
    with pytest.raises(ValueError, match=r"keys|URL"):
        async with open_source(url, clock):
            pass


@pytest.mark.parametrize(
    "url", ["https://login.example.com/jwks?p=1", "http://localhost:1/", "http://[::1]:1/", "keys.json"]
)
async def test_an_address_that_is_safe_is_taken(clock: FakeClock, url: str) -> None:
    async with open_source(url, clock):
        pass


async def test_an_address_that_leads_nowhere_is_unavailable(clock: FakeClock) -> None:
    async with open_source("https://127.0.0.1:99999/jwks", clock) as source:
        assert await is_unavailable(source)


NAMES = st.sampled_from(
    ["kty", "kid", "use", "alg", "key_ops", "n", "e", "d", "p", "crv", "x", "y", "k", "x5c", "oth"]
)
VALUES = st.sampled_from(["RSA", "EC", "OKP", "oct", "P-256", "Ed448", "X25519", "sig", "AQAB", "AA", "="])
JSON: st.SearchStrategy[Any] = st.recursive(
    VALUES | st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=4).filter(str.isascii),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(NAMES, children, max_size=3),
    max_leaves=4,
)
ENTRIES = st.builds(
    lambda key, changes: {**key, **changes},
    st.sampled_from([{}, dict(OLD.jwk), dict(rsa_key().jwk), dict(ed25519_key().jwk), dict(private_jwk())]),
    st.dictionaries(NAMES, JSON, max_size=4),
)


@settings(max_examples=300, deadline=None)
@given(entries=st.lists(ENTRIES, max_size=3))
def test_no_key_set_breaks_the_reader(entries: list[object]) -> None:
    try:
        keys = _parse_keys(key_set(*entries))
    except ValueError:
        return
    assert not any(key.is_private for key in keys)
