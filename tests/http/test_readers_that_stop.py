"""Stop reading before the end: sources close at once, and no timer outlives the reader."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Iterator
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
from service.http.uploads import read_form
from tests.fakes.clock import FakeClock
from tests.fakes.rooms import a_room
from tests.fakes.values import a_sent_order, a_ticket, an_order


@contextmanager
def left_open() -> Iterator[list[AsyncGenerator[Any, Any]]]:
    """Collect generators that were garbage collected before they were closed."""
    found: list[AsyncGenerator[Any, Any]] = []
    before = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(firstiter=before.firstiter, finalizer=found.append)
    yield found
    sys.set_asyncgen_hooks(*before)


def a_request(*chunks: bytes, content_type: str = "application/json") -> Request:
    messages = [{"type": "http.request", "body": chunk, "more_body": chunk != b""} for chunk in chunks]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    headers = [(b"content-type", content_type.encode())]
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


async def test_an_answer_that_is_cut_off_starts_no_watcher() -> None:
    loop = asyncio.get_running_loop()
    problems: list[dict[str, Any]] = []
    loop.set_exception_handler(lambda _, context: problems.append(context))
    services = cast(HttpServices, SimpleNamespace(clock=FakeClock()))
    answer = Answer(services, an_order(), a_sent_order(), a_ticket())
    over = asyncio.Event()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await answer.collect(a_request(), RunningOrder("order-1"))
    # Due after the timer that would start the watcher.
    loop.call_later(0.1, over.set)
    await over.wait()

    assert problems == []
