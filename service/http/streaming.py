"""Send an order's facts as server-sent events.

Events are those of the OpenAI image stream, with more fields. It has no `id:` or `retry:` lines, on which
SDKs fail; comments fill idle time. A failure is an `error` event with the error nested: without it,
the end would look like success.

How to add one: a fact in `service/domain/progress.py` (`OrderFact`), reported in `gateway/order/progress.py`; its event in
`_encode`; and, if a stream may begin with it, its place in `_first_event`.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pybase64
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from service.domain.errors import GatewayError
from service.domain.images import Operation
from service.domain.order import ImageOrder
from service.domain.progress import Admitted, ImageReady, OrderDone, OrderFact, PartialReady
from service.gateway.order.runner import RunningOrder
from service.http.answers import Answer, abandon_when_gone
from service.http.errors import describe

PING_S = 15.0
HOLD_S = 5.0
"""Longest wait for the first event before the status line: most failures come sooner, and get their status."""

_LATE_HEADERS = ("x-backend", "x-cache", "x-cost-microusd", "age", "server-timing", "openai-processing-ms")

_NO_USAGE = {
    "total_tokens": 0,
    "input_tokens": 0,
    "output_tokens": 0,
    "input_tokens_details": {"text_tokens": 0, "image_tokens": 0},
}


async def stream_answer(
    request: Request, order: ImageOrder, answer: Answer, running: RunningOrder
) -> Response:
    """Answer with events, or with a plain error if the order fails before the first."""
    async with asyncio.TaskGroup() as group:
        watcher = group.create_task(abandon_when_gone(request, running))
        pending = await _first_event(answer, running)
        watcher.cancel()
    if isinstance(pending, OrderDone):
        return answer.respond(request, 0.0)
    headers = {**answer.headers(0.0), "cache-control": "no-cache", "x-accel-buffering": "no"}
    if answer.is_pending:
        # Their values are unknown until the last image.
        for name in _LATE_HEADERS:
            headers.pop(name, None)
    events = _events(request, order, answer, running, pending)
    return StreamingResponse(events, headers=headers, media_type="text/event-stream")


async def _first_event(answer: Answer, running: RunningOrder) -> OrderFact | None:
    """Return the first fact that has an event; None if it takes too long or the client left."""
    try:
        async with asyncio.timeout(HOLD_S):
            while True:
                fact = await running.next_fact()
                answer.take(fact)
                if isinstance(fact, PartialReady | ImageReady | OrderDone) or fact is None:
                    return fact
    except TimeoutError:
        return None


async def _events(
    request: Request, order: ImageOrder, answer: Answer, running: RunningOrder, pending: OrderFact | None
) -> AsyncIterator[bytes]:
    is_over = False
    try:
        if pending is not None:
            yield _encode(order, answer, pending)
        while not is_over:
            try:
                async with asyncio.timeout(PING_S):
                    fact = await running.next_fact()
            except TimeoutError:
                yield KEEPALIVE_COMMENT
                continue
            answer.take(fact)
            is_over = fact is None or isinstance(fact, OrderDone)
            if fact is not None and (event := _encode(order, answer, fact)):
                yield event
    finally:
        answer.add_to_log(request.scope)
        # A cancellation here means that the client left: the runner decides if the order goes on.
        if not is_over:
            running.abandon()


def _encode(order: ImageOrder, answer: Answer, fact: OrderFact) -> bytes:
    """Return the event of a fact; empty for facts without one. OpenAI has no events of variations: they are edits."""
    prefix = "image_generation" if order.operation is Operation.GENERATE else "image_edit"
    match fact:
        case PartialReady():
            return _event(
                f"{prefix}.partial_image",
                {
                    **_image_fields(order, fact.data, fact.resolved),
                    "created_at": int(fact.shown_at_s),
                    "partial_image_index": fact.number,
                    "index": fact.position,
                },
            )
        case ImageReady():
            return _event(
                f"{prefix}.completed",
                {
                    **_image_fields(order, fact.data or b"", fact.image.resolved),
                    "size": f"{fact.image.width}x{fact.image.height}",
                    "created_at": fact.image.created_s,
                    "usage": _usage(fact.image.usage),
                    # Additions to the contract; SDKs keep unknown fields.
                    **answer.describe_image(fact),
                    **({"safety_identifier": order.safety_identifier} if order.safety_identifier else {}),
                },
            )
        case OrderDone(error=GatewayError() as error):
            envelope = orjson.loads(describe(error).body())
            return _event("error", {"type": "error", **envelope})
        case Admitted() | OrderDone() | _:
            return b""


def _image_fields(order: ImageOrder, data: bytes, resolved: Any) -> dict[str, Any]:
    asked = order.parameters
    return {
        "b64_json": pybase64.b64encode_as_string(data),
        "size": resolved.get("size") or asked.get("size", "auto"),
        "quality": resolved.get("quality") or asked.get("quality", "auto"),
        "background": resolved.get("background") or asked.get("background", "auto"),
        "output_format": resolved.get("output_format") or asked.get("output_format", "png"),
    }


def _usage(usage: Any) -> dict[str, Any]:
    """Return the usage of an event: always present, without details of the output."""
    return {key: value for key, value in (usage or _NO_USAGE).items() if key != "output_tokens_details"}


def _event(name: str, payload: dict[str, Any]) -> bytes:
    return format_sse_event(event=name, data_str=orjson.dumps({"type": name, **payload}).decode())
