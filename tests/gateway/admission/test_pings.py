"""The reader that turns facts into events, on held time: how long it waits, and what it says meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import cast

import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Message

from service.adapters.storage.links import SignedLinks
from service.domain.errors import GatewayError, OrderFailed
from service.domain.images import Source
from service.domain.progress import Admitted, ImageReady, OrderDone, OrderFact
from service.gateway.order.runner import RunningOrder
from service.http.answers import Answer
from service.http.services import HttpServices
from service.http.streaming import HOLD_S, PING_S, stream_answer
from tests.fakes.clock import FakeClock, until_idle
from tests.fakes.values import a_failure, a_refusal, a_sent_order, a_ticket, an_image, an_order

ORDER = an_order(asked_model="gpt-image-2", is_streamed=True)
LINKS = SignedLinks(public_url="http://gateway", keys=[b"a key of these tests"], ttl_s=0, clock=FakeClock())
SERVICES = cast(HttpServices, SimpleNamespace(images=SimpleNamespace(links=LINKS)))
"""A stream asks the services for links alone."""


def ready(position: int = 0) -> ImageReady:
    return ImageReady(position=position, image=an_image(), source=Source.MADE, data=b"image")


async def answer(running: RunningOrder) -> Response:
    request = Request({"type": "http", "state": {}, "headers": [], "method": "POST", "path": "/"}, stay)
    reader = Answer(SERVICES, ORDER, a_sent_order(), a_ticket(pool=None), running)
    return await stream_answer(request, ORDER, reader, running)


async def stay() -> Message:
    """Be a client that neither says anything more nor leaves."""
    await asyncio.Event().wait()
    raise AssertionError


def body_of(response: Response) -> AsyncIterator[bytes]:
    assert isinstance(response, StreamingResponse)
    return cast("AsyncIterator[bytes]", response.body_iterator)


async def told_after(running: RunningOrder, *facts: tuple[float, OrderFact]) -> None:
    for delay_s, fact in facts:
        await asyncio.sleep(delay_s)
        running.emit(fact)


async def test_idle_time_is_filled_with_comments(clock: FakeClock) -> None:
    running = RunningOrder("order-1")
    async with asyncio.TaskGroup() as group:
        group.create_task(told_after(running, (HOLD_S + 3.5 * PING_S, ready()), (0.0, OrderDone())))
        chunks = [(chunk, clock.monotonic_s()) async for chunk in body_of(await answer(running))]

    *pings, (event, _) = chunks
    assert all(chunk.startswith(b":") and chunk.endswith(b"\n\n") for chunk, _ in pings)
    assert [at_s - 1000.0 - HOLD_S for _, at_s in pings] == pytest.approx([PING_S, 2 * PING_S, 3 * PING_S])
    assert event.startswith(b"event: image_generation.completed\ndata: {")


async def test_a_image_starts_the_wait_for_a_ping_anew(clock: FakeClock) -> None:
    running = RunningOrder("order-1")
    facts: list[tuple[float, OrderFact]] = [
        (1.0, ready(0)),
        (PING_S - 1, ready(1)),
        (PING_S - 1, ready(2)),
        (0.0, OrderDone()),
    ]
    async with asyncio.TaskGroup() as group:
        group.create_task(told_after(running, *facts))
        chunks = [chunk async for chunk in body_of(await answer(running))]

    assert len(chunks) == 3
    assert not any(chunk.startswith(b":") for chunk in chunks)


async def test_what_fails_before_the_first_news_has_a_status_of_its_own(clock: FakeClock) -> None:
    running = RunningOrder("order-1")
    error = OrderFailed((a_refusal(),), kept=0)
    facts: list[tuple[float, OrderFact]] = [
        (1.0, Admitted(limits=(), degraded=False, pending=1)),
        (HOLD_S - 2, OrderDone(error=error)),
    ]
    async with asyncio.TaskGroup() as group:
        group.create_task(told_after(running, *facts))
        response = await answer(running)

    assert (response.status_code, response.media_type) == (400, "application/json")


async def test_what_fails_later_is_an_event(clock: FakeClock) -> None:
    running = RunningOrder("order-1")
    error = OrderFailed((a_failure(),), kept=0)
    async with asyncio.TaskGroup() as group:
        group.create_task(told_after(running, (HOLD_S + 1, OrderDone(error=error))))
        response = await answer(running)
        [event] = [chunk async for chunk in body_of(response)]

    assert response.status_code == 200
    assert event.startswith(b'event: error\ndata: {"type":"error","error":{')
    assert b'"message":"The provider is overloaded."' in event


async def test_a_bug_ends_with_an_error_too(clock: FakeClock) -> None:
    running = RunningOrder("order-1")
    running.emit(ready())
    running.emit(OrderDone(error=GatewayError("The gateway failed while working on this order.")))

    chunks = [chunk async for chunk in body_of(await answer(running))]

    assert chunks[-1].startswith(b"event: error\n")
    assert b'"code":"internal"' in chunks[-1]


async def test_a_reader_that_leaves_abandons_the_order(clock: FakeClock) -> None:
    running = RunningOrder("order-1")
    running.emit(ready())
    response = await answer(running)

    async def read() -> None:
        async for _ in body_of(response):
            pass

    async with asyncio.TaskGroup() as group:
        task = group.create_task(read())
        await until_idle()
        task.cancel()

    assert running.is_abandoned


async def test_a_reader_that_stays_to_the_end_abandons_nothing(clock: FakeClock) -> None:
    running = RunningOrder("order-1")
    running.emit(ready())
    running.emit(OrderDone())

    chunks = [chunk async for chunk in body_of(await answer(running))]

    assert len(chunks) == 1
    assert not running.is_abandoned
