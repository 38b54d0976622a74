"""Answers of a provider that is broken or hostile: bounded in memory, never unpacked, never followed elsewhere."""

import asyncio
import base64
import gzip
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import cache
from typing import Any

import orjson
import pytest

from service.domain.failures import Billing, FailureKind
from service.domain.images import CallMade
from tests.adapters.openai.conftest import CALL, Script, failed, make_call
from tests.adapters.test_moderation import judge

MIB = 1024 * 1024


@cache
def bomb() -> bytes:
    """Return 256 MiB in 256 KiB of gzip."""
    return gzip.compress(bytes(256 * MIB))


EVENTS = "content-type: text/event-stream"
KINDS: dict[str, dict[str, Any]] = {
    "openai": {},
    "azure": {"kind": "azure"},
    "compatible": {"kind": "openai-compatible", "errors": "any"},
}
EACH_KIND = pytest.mark.parametrize("address", KINDS.values(), ids=KINDS)


@asynccontextmanager
async def watch_memory() -> AsyncIterator[list[int]]:
    """Yield a list that has the most bytes allocated meanwhile at the end."""
    peak: list[int] = []
    tracemalloc.start()
    try:
        yield peak
        peak.append(tracemalloc.get_traced_memory()[1])
    finally:
        tracemalloc.stop()


@asynccontextmanager
async def run_endless(head: bytes, piece: bytes) -> AsyncIterator[str]:
    """Run a provider that says *head*, and *piece* until its client is gone; yields its base URL."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 " + head + b"\r\nconnection: close\r\n\r\n")
        try:
            while True:
                writer.write(piece)
                await writer.drain()
        except ConnectionError:
            writer.close()
            ended.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        await ended.wait()


STAGE = orjson.dumps(
    {
        "type": "image_generation.partial_image",
        "partial_image_index": 0,
        "b64_json": base64.b64encode(bytes(MIB)).decode(),
    }
)


@pytest.mark.parametrize(
    ("piece", "images"),
    [
        (b"x" * MIB, 10),
        (b"data: " + b"x" * MIB, 10),
        (b"data: " + b"x" * MIB + b"\n", 10),
        (b": " + b"x" * MIB + b"\n\n", 10),
        (b"data: " + STAGE + b"\n\n", 1),
    ],
    ids=["a line", "a field", "an event", "no event", "stages"],
)
async def test_a_stream_without_end_is_given_up(piece: bytes, images: int) -> None:
    """An event, and all of them together, are limited by images; what decodes an event holds it a few times."""
    async with run_endless(b"200 OK\r\n" + EVENTS.encode(), piece) as url, watch_memory() as peak:
        failure = failed(await make_call(url, replace(CALL, n=images)))

    assert (failure.kind, failure.billing) == (FailureKind.BROKEN, Billing.UNKNOWN)
    assert peak[0] < 5 * 64 * MIB


@pytest.mark.parametrize("status", [400, 500])
@EACH_KIND
async def test_a_failure_without_end_is_given_up_early(status: int, address: dict[str, Any]) -> None:
    """No error is as large as an image."""
    async with run_endless(b"%d No" % status, b"x" * MIB) as url, watch_memory() as peak:
        failure = failed(await make_call(url, **address))

    assert (failure.kind, failure.billing) == (FailureKind.BROKEN, Billing.UNKNOWN)
    assert peak[0] < 16 * MIB


@pytest.mark.parametrize(
    ("status", "fields"),
    [(200, []), (200, [EVENTS]), (400, []), (500, ["content-type: application/json"])],
    ids=["images", "stream", "refusal", "outage"],
)
@EACH_KIND
async def test_a_bomb_is_not_unpacked(
    script: Script, status: int, fields: list[str], address: dict[str, Any]
) -> None:
    script.answer(status, bomb(), "content-encoding: gzip", *fields)

    async with watch_memory() as peak:
        failure = failed(await make_call(script.url, **address))

    assert (failure.kind, failure.billing) == (FailureKind.BROKEN, Billing.UNKNOWN)
    assert peak[0] < 32 * MIB


async def test_a_bomb_of_the_moderation_is_not_unpacked(script: Script) -> None:
    script.answer(200, bomb(), "content-encoding: gzip", "content-type: application/json")

    async with watch_memory() as peak:
        assert await judge(script.url) is None

    assert peak[0] < 32 * MIB


async def test_a_moderation_of_many_values_lets_the_prompt_pass(script: Script) -> None:
    script.answer(200, b'{"results": [{"flagged": true, "x": [' + b"[]," * 200_000 + b"[]]}]}")

    assert await judge(script.url) is None


async def test_an_endless_moderation_lets_the_prompt_pass() -> None:
    async with run_endless(b"200 OK", b" " * MIB) as url, watch_memory() as peak:
        assert await judge(url) is None

    assert peak[0] < 16 * MIB


@pytest.mark.parametrize(
    "body",
    [
        b"<!doctype html><html>Log in</html>",
        b"",
        b'{"created": 1, "data": [{"b64_json": "aW1h',
        b'{"data": ' + b"[" * 100_000,
        orjson.dumps({"error": {"message": "no"}}),
        orjson.dumps({"detail": "no"}),
    ],
    ids=["html", "empty", "truncated", "deep", "error", "detail"],
)
@EACH_KIND
async def test_a_200_without_images_is_of_unknown_billing(
    script: Script, body: bytes, address: dict[str, Any]
) -> None:
    script.answer(200, body, "content-type: text/html" if body.startswith(b"<") else "x: y")

    failure = failed(await make_call(script.url, **address))

    assert (failure.kind, failure.billing, failure.status) == (FailureKind.BROKEN, Billing.UNKNOWN, 200)


def filled(before: bytes, value: bytes, after: bytes) -> bytes:
    """Return JSON of 3 MB that holds mostly *value*: each is an object that parsing makes."""
    return before + value + (b"," + value) * (3_000_000 // (len(value) + 1)) + after


@pytest.mark.parametrize(
    "body",
    [
        filled(b'{"data": [', b"[]", b"]}"),
        filled(b'{"data": [{"b64_json": "aGk="},', b"{}", b"]}"),
        filled(b'{"data": [{"b64_json": "aGk="}], "usage": {', b'"a": 1', b"}}"),
        filled(b'{"data": [{"b64_json": "aGk="}], "x": [', b'"ab"', b"]}"),
    ],
    ids=["entries", "beside an image", "members", "texts"],
)
@EACH_KIND
async def test_a_200_of_more_values_than_images_need_is_not_parsed(
    script: Script, body: bytes, address: dict[str, Any]
) -> None:
    script.answer(200, body)

    async with watch_memory() as peak:
        failure = failed(await make_call(script.url, **address))

    assert (failure.kind, failure.billing, failure.status) == (FailureKind.BROKEN, Billing.UNKNOWN, 200)
    assert peak[0] < 8 * MIB


async def test_an_event_of_more_values_than_an_image_needs_is_not_parsed(script: Script) -> None:
    """The image before it is kept."""
    image = b'data: {"type": "image_generation.completed", "b64_json": "aGk="}\n\n'
    event = filled(b'data: {"type": "image_generation.completed", "x": [', b"[]", b"]}\n\n")
    script.answer(200, image + event, EVENTS)

    async with watch_memory() as peak:
        made = await make_call(script.url, replace(CALL, n=2))

    assert isinstance(made, CallMade)
    assert [each.data for each in made.images] == [b"hi"]
    assert peak[0] < 8 * MIB


@pytest.mark.parametrize("line", [b"data:\n", b"data:\r"], ids=["lines", "old lines"])
async def test_an_event_of_short_lines_is_given_up_early(line: bytes) -> None:
    async with run_endless(b"200 OK\r\n" + EVENTS.encode(), line * 10_000) as url, watch_memory() as peak:
        failure = failed(await make_call(url))

    assert (failure.kind, failure.billing) == (FailureKind.BROKEN, Billing.UNKNOWN)
    assert peak[0] < 16 * MIB


@pytest.mark.parametrize("status", [400, 429, 500])
@EACH_KIND
async def test_a_failure_of_more_values_than_errors_need_counts_by_its_status(
    script: Script, status: int, address: dict[str, Any]
) -> None:
    body = filled(b'{"error": {"message": "No.", "x": [', b"[]", b"]}}")
    script.answer(status, body)

    async with watch_memory() as peak:
        failure = failed(await make_call(script.url, **address))

    assert (failure.kind, failure.billing, failure.status) == (FailureKind.BROKEN, Billing.UNKNOWN, status)
    assert peak[0] < 8 * MIB


async def test_a_late_failure_of_many_values_is_a_time_out(script: Script) -> None:
    script.answer(504, filled(b'{"error": {"message": "No.", "x": [', b"[]", b"]}}"))

    failure = failed(await make_call(script.url))

    assert (failure.kind, failure.billing, failure.status) == (FailureKind.TIMED_OUT, Billing.UNKNOWN, 504)


@pytest.mark.parametrize("n", [1, 10])
async def test_images_whose_prompts_are_all_commas_are_kept(script: Script, n: int) -> None:
    entry = {"b64_json": "aGk=", "revised_prompt": "," * 32_000}
    script.answer(200, orjson.dumps({"created": 1, "data": [entry] * n, "usage": {"output_tokens": 5}}))

    made = await make_call(script.url, replace(CALL, n=n))

    assert isinstance(made, CallMade)
    assert len(made.images) == n


@pytest.mark.parametrize(
    "place",
    [b"[" * 1000 + b"]" * 1000, b'"query"', b"[" + b"0," * 100_000 + b"0]"],
    ids=["deep", "text", "long"],
)
async def test_a_fault_at_an_odd_place_is_an_answer(script: Script, place: bytes) -> None:
    script.answer(422, b'{"detail": [{"msg": "too large", "loc": %b}]}' % place)

    failure = failed(await make_call(script.url, **KINDS["compatible"]))

    assert (failure.kind, failure.billing) == (FailureKind.INVALID, Billing.NOT_BILLED)
    assert failure.message.endswith("too large")
    assert len(failure.message) < 100


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("place", ["%s/elsewhere", "//127.0.0.1:%s/", "file:///etc/passwd"])
@EACH_KIND
async def test_a_redirect_leads_nowhere(
    script: Script, status: int, place: str, address: dict[str, Any]
) -> None:
    """Neither the key nor the prompt reaches the place that it names."""
    visits: list[bytes] = []

    async def note(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visits.append(await reader.read(1))
        writer.close()

    async with await asyncio.start_server(note, "127.0.0.1", 0) as canary:
        port = str(canary.sockets[0].getsockname()[1])
        target = place.replace("%s/", f"http://127.0.0.1:{port}/", 1) if place.startswith("%") else place
        body = orjson.dumps({"error": {"message": "moved"}})
        script.answer(status, body, f"location: {target.replace('%s', port)}")

        failure = failed(await make_call(script.url, CALL, **address))

    assert (failure.kind, failure.billing) == (FailureKind.BROKEN, Billing.UNKNOWN)
    assert (visits, len(script.requests)) == ([], 1)
