"""Read an image that a backend sends as a stream of events.

The stream ends at its last asked image, or at `[DONE]`: what may follow is worth no wait, and nothing that
goes wrong afterwards takes away an image that was received.
"""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import aiohttp
import httpx
from httpx_sse import EventSource

from service.adapters.openai import failures, wire
from service.adapters.openai.reception import STRUCTURE, Bounds, Tally, bounds_of
from service.domain.failures import Billing, CallFailure
from service.domain.fanout import add_usage
from service.domain.images import CallMade
from service.ports.provider import CallProgress

_DONE = "[DONE]"
_MARKS = STRUCTURE + b"\r\n"
"""Each line costs time and memory, too."""
_PIECE_BYTES = 16 * 1024
"""Fewer than the marks of an event: one beyond its bounds is found in a later piece than a good one before it."""


async def read_stream(
    response: httpx.Response,
    progress: CallProgress,
    *,
    n: int,
    bounds: Bounds,
    until_s: float | None = None,
) -> CallMade | CallFailure:
    """Read the events of *response* up to its *n*th finished image, and show each stage.

    Raises httpx's and aiohttp's errors before the first finished image, and TimeoutError at *until_s*, an instant of the
    loop's clock.
    """
    made: list[wire.StreamedImage] = []
    try:
        async with asyncio.timeout_at(until_s):
            await _take_images(_events(response, bounds), made, n, progress)
    except (httpx.HTTPError, aiohttp.ClientError, TimeoutError):
        if not made:
            raise
    except (wire.StreamFailed, wire.NotUnderstood) as error:
        if not made:
            return _classify(error)
    if not made:
        return failures.broken("The image provider's stream ended without an image.", status=200)
    usage = add_usage([event.usage for event in made if event.usage is not None])
    return CallMade(
        images=tuple(event.image for event in made), usage=usage or None, resolved=made[-1].resolved
    )


async def _take_images(
    events: AsyncIterator[wire.StreamedImage],
    made: list[wire.StreamedImage],
    n: int,
    progress: CallProgress,
) -> None:
    """Add finished images to *made* until there are *n*, and show each stage."""
    async for event in events:
        if event.partial is None:
            made.append(event)
        else:
            progress.show(event.partial, event.image.data, event.resolved)
        if len(made) == n:
            return


async def _events(response: httpx.Response, bounds: Bounds) -> AsyncIterator[wire.StreamedImage]:
    """Yield the images in the stream, up to its end; raises `NotUnderstood` and `StreamFailed`."""
    body = _BoundedBody(response, bounds)
    # Without the answer's own headers, since httpx would unpack a compressed body: it was not asked for.
    plain = httpx.Response(httpx.codes.OK, headers={"content-type": "text/event-stream"}, stream=body)
    async for event in EventSource(plain).aiter_sse():
        body.event.restart()
        if event.data == _DONE:
            return
        if event.data:
            yield wire.decode_event(event.data)


class _BoundedBody(httpx.AsyncByteStream):
    """The bytes of *response*; raises `NotUnderstood` once they, or those since the last event, are beyond their bounds."""

    def __init__(self, response: httpx.Response, bounds: Bounds) -> None:
        self._response = response
        self._all = Tally(bounds, _MARKS)
        self.event = Tally(bounds_of(1), _MARKS)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._response.aiter_raw():
            for start in range(0, len(chunk), _PIECE_BYTES):
                piece = chunk[start : start + _PIECE_BYTES]
                if not (self._all.takes(piece) and self.event.takes(piece)):
                    raise wire.NotUnderstood
                yield piece


def _classify(error: wire.StreamFailed | wire.NotUnderstood) -> CallFailure:
    if isinstance(error, wire.NotUnderstood):
        return failures.broken("The image provider's stream cannot be understood.", status=200)
    # After a 200 its reason is believed, but not that nothing was billed.
    failure = failures.classify_answer(500, {}, error.envelope)
    return failure if failure.is_callers_own else replace(failure, billing=Billing.UNKNOWN)
