"""An answer in pieces: server-sent events with partial and completed pictures.

Owns the events, their timing and the ways a stream can break. Does not admit orders (`work`).

The partials of *n* pictures come interleaved: the first of each, then the second of each. Nothing in an event
says to which picture it belongs, except for the mark in its pixels.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.sandbox.answers import to_completed, to_partial
from service.sandbox.orders import Order
from service.sandbox.painter import Picture
from service.sandbox.refusals import ErrorType, Refusal
from service.sandbox.replies import to_json
from service.sandbox.visits import Visit


def open_stream(visit: Visit, order: Order, noun: str) -> "EventStream":
    """Return the stream of an admitted order; its events are named `{noun}.completed` and so on."""
    visit.is_streamed = True
    is_cut = visit.sandbox.conduct.behaviour.stream_fault == "cut"
    return EventStream(visit, _make_events(visit, order, noun), is_cut=is_cut)


class EventStream(StreamingResponse):
    """Goes on to its end even if nobody listens any more, as the work does, which is billed all the same."""

    def __init__(self, visit: Visit, events: AsyncGenerator[bytes], *, is_cut: bool) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"cache-control": "no-cache"})
        self._visit = visit
        self._events = events
        self._is_cut = is_cut

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await send(
                {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
            )
            async with aclosing(self._events):
                async for event in self._events:
                    await send({"type": "http.response.body", "body": event, "more_body": True})
        finally:
            # Before the last byte is sent: whoever has seen the end finds the entry finished.
            self._visit.finish()
        if not self._is_cut:  # an answer left incomplete makes the server close the connection
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _make_events(visit: Visit, order: Order, noun: str) -> AsyncGenerator[bytes]:
    conduct, studio = visit.sandbox.conduct, visit.sandbox.studio
    fault = conduct.behaviour.stream_fault
    pictures = studio.plan(order, conduct.choose_images(order.n), conduct.behaviour)
    pause_s = conduct.choose_latency_s() / (order.partial_images + 1)
    async with aclosing(_make_partials(visit, order, pictures, pause_s)) as partials:
        async for partial in partials:
            yield _to_event(f"{noun}.partial_image", partial)
            if fault:
                break
    if fault == "error_event":
        yield _to_event("error", _fail(visit))
        return
    await asyncio.sleep(pause_s)
    async with aclosing(studio.paint(pictures)) as painting:
        async for painted in painting:
            is_first = not visit.entry.billed
            visit.bill(order, [painted])
            if not fault:
                yield _to_event(f"{noun}.completed", to_completed(order, painted, is_first=is_first))


async def _make_partials(
    visit: Visit, order: Order, pictures: Sequence[Picture], pause_s: float
) -> AsyncGenerator[Mapping[str, object]]:
    for step in range(order.partial_images):
        await asyncio.sleep(pause_s)
        for picture in pictures:
            yield to_partial(order, await visit.sandbox.studio.sketch(picture, step), step)


def _fail(visit: Visit) -> Mapping[str, object]:
    message = "The image could not be generated or processed."
    failed = Refusal(500, message, kind=ErrorType.SERVER, code="server_error")
    visit.entry.error_code = failed.code
    return failed.to_envelope()


def _to_event(name: str, members: Mapping[str, object]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), to_json({"type": name, **members}))
