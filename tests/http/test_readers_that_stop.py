"""Stop reading before the end: sources close at once, and no timer outlives the reader."""

import asyncio
import sys
import zlib
from collections.abc import AsyncGenerator, Awaitable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.requests import Request

from service.domain.errors import InvalidOrder
from service.gateway.order.runner import RunningOrder
from service.http.answers import Answer
from service.http.bodies import read_json
from service.http.errors import RequestRejected
from service.http.services import HttpServices
from service.http.uploads import MAX_FILE_BYTES, read_form
from tests.fakes.clock import FakeClock
from tests.fakes.rooms import a_room
from tests.fakes.values import a_sent_order, a_ticket, an_order

GZIP_HEAD = zlib.compressobj(wbits=zlib.MAX_WBITS | 16).flush(zlib.Z_SYNC_FLUSH)
EMPTY_BLOCK = b"\0\0\0\xff\xff"
"""A stored block of deflate without content, which is not the last one."""


@contextmanager
def left_open() -> Iterator[list[AsyncGenerator[Any, Any]]]:
    """Collect generators that were garbage collected before they were closed."""
    found: list[AsyncGenerator[Any, Any]] = []
    before = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter=before.firstiter, finalizer=found.append)
    yield found
    sys.set_asyncgen_hooks(*before)


def a_request(*chunks: bytes, content_type: str = "application/json", encoding: str = "identity") -> Request:
    messages = [{"type": "http.request", "body": chunk, "more_body": chunk != b""} for chunk in chunks]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    headers = [(b"content-type", content_type.encode()), (b"content-encoding", encoding.encode())]
    return Request({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive)


async def test_a_malformed_form_leaves_no_reader_behind(tmp_path: Path) -> None:
    request = a_request(b"nothing of a form", b"more", content_type="multipart/form-data; boundary=x")

    with left_open() as found, pytest.raises(InvalidOrder):
        await read_form(request, tmp_path, a_room())

    assert found == []


async def test_a_form_takes_many_turns_of_the_loop(tmp_path: Path) -> None:
    """Others have their turns in between, even if all of it is there at once."""
    head = b'--x\r\ncontent-disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
    body = head + b"\r\n--" * 2**20 + b"\r\n--x--\r\n"
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        other = group.create_task(take_turns())
        request = a_request(body, b"", content_type="multipart/form-data; boundary=x")
        form = await read_form(request, tmp_path, a_room())
        other.cancel()

    assert form.files[0].size_bytes == 4 * 2**20
    assert turns > 4 * 2**20 / 2**17


async def test_a_body_that_is_too_large_leaves_no_reader_behind() -> None:
    with left_open() as found, pytest.raises(RequestRejected):
        await read_json(a_request(b"1234", b"5678", b"9"), a_room(), limit_bytes=6, limit_s=60)

    assert found == []


async def test_a_body_whose_parts_are_always_there_has_an_end_too() -> None:
    """Its reader never waits, so that no time-out could run."""
    with pytest.raises(RequestRejected) as refused:
        await read_json(a_request(b"{", b"}", b""), a_room(), limit_bytes=60, limit_s=-1)

    assert refused.value.problem.status == 408


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
async def test_a_body_that_decodes_to_nothing_is_bounded_as_it_comes(kind: str, tmp_path: Path) -> None:
    """Empty blocks of gzip yield no piece, and do not end."""
    empty = EMPTY_BLOCK * (2**16 // len(EMPTY_BLOCK))
    chunks = [GZIP_HEAD, *([empty] * (2 * MAX_FILE_BYTES // len(empty)))]
    came = 0

    async def receive() -> dict[str, Any]:
        nonlocal came
        chunk = chunks.pop(0)
        came += len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": bool(chunks)}

    request = Request(a_request(content_type=kind, encoding="gzip").scope, receive)
    reading: Awaitable[object] = (
        read_json(request, a_room(), MAX_FILE_BYTES, limit_s=60)
        if kind == "application/json"
        else read_form(request, tmp_path, a_room(), most_files=1)
    )
    with left_open() as found, pytest.raises(RequestRejected) as refused:
        await reading

    assert (refused.value.problem.status, refused.value.problem.code) == (413, "request_too_large")
    assert MAX_FILE_BYTES < came <= MAX_FILE_BYTES + len(empty)
    assert found == []


async def test_an_answer_that_is_cut_off_starts_no_watcher() -> None:
    loop = asyncio.get_running_loop()
    problems: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: problems.append(context))
    services = cast(HttpServices, SimpleNamespace(clock=FakeClock()))
    answer = Answer(services, an_order(), a_sent_order(), a_ticket(), RunningOrder("order-1"))
    over = asyncio.Event()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await answer.collect(a_request())
    # Due after the timer that would start the watcher.
    loop.call_later(0.1, over.set)
    await over.wait()

    assert problems == []
