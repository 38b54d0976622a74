"""Stream an answer: server-sent events with partial and completed images.

Owns the events, their timing and the ways a stream can break. Does not admit orders (`fulfil`).

The partials of several images are interleaved: the first of each, then the second of each. Only the watermark in its
pixels says to which image an event belongs.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from service.sandbox.answers.bodies import to_completed, to_partial
from service.sandbox.journal.journaled_requests import JournaledRequest
from service.sandbox.painting.image_plan import ImagePlan
from service.sandbox.painting.studio import Studio
from service.sandbox.parts import Sandbox
from service.sandbox.rules.accepted_order import Order
from service.sandbox.wire.error_envelope import ErrorType, Refusal
from service.sandbox.wire.json_bodies import to_json


def open_stream(sandbox: Sandbox, journaled: JournaledRequest, order: Order, noun: str) -> "EventStream":
    """Return the stream of an admitted order; its events are named `{noun}.completed` and so on."""
    journaled.is_streamed = True
    is_cut = journaled.behaviour.stream_fault == "cut"
    return EventStream(journaled, _make_events(sandbox.studio, journaled, order, noun), is_cut=is_cut)


class EventStream(StreamingResponse):
    """Runs to its end even after the caller has left; the images are painted and billed all the same."""

    def __init__(self, journaled: JournaledRequest, events: AsyncGenerator[bytes], *, is_cut: bool) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"cache-control": "no-cache"})
        self._journaled = journaled
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
            # Before the end is sent: a caller that has it finds a finished entry.
            self._journaled.finish()
        if not self._is_cut:  # the server closes the connection of an incomplete answer
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _make_events(
    studio: Studio, journaled: JournaledRequest, order: Order, noun: str
) -> AsyncGenerator[bytes]:
    behaviour = journaled.behaviour
    fault = behaviour.stream_fault
    plans = studio.plan(order, behaviour.choose_images(order.n), behaviour)
    pause_s = behaviour.choose_latency_s() / (order.partial_images + 1)
    async with aclosing(_make_partials(studio, order, plans, pause_s)) as partials:
        async for partial in partials:
            yield _to_event(f"{noun}.partial_image", partial)
            if fault:
                break
    if fault == "error_event":
        yield _to_event("error", _fail(journaled))
        return
    await asyncio.sleep(pause_s)
    async with aclosing(studio.paint(plans)) as painting:
        async for painted in painting:
            is_first = not journaled.entry.billed
            journaled.bill(order, [painted])
            if not fault:
                yield _to_event(f"{noun}.completed", to_completed(order, painted, is_first=is_first))


async def _make_partials(
    studio: Studio, order: Order, plans: Sequence[ImagePlan], pause_s: float
) -> AsyncGenerator[Mapping[str, object]]:
    for step in range(order.partial_images):
        await asyncio.sleep(pause_s)
        for plan in plans:
            yield to_partial(order, await studio.sketch(plan, step), step)


def _fail(journaled: JournaledRequest) -> Mapping[str, object]:
    message = "The image could not be generated or processed."
    failed = Refusal(500, message, kind=ErrorType.SERVER, code="server_error")
    journaled.entry.error_code = failed.code
    return failed.to_envelope()


def _to_event(name: str, members: Mapping[str, object]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), to_json({"type": name, **members}))
