"""`POST /v1/images/generations`: from a request to an order, from its facts to an answer."""

import asyncio
import math
from collections.abc import Mapping
from datetime import UTC, datetime, time
from email.utils import format_datetime
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Request
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from service.domain.catalog import Model
from service.domain.errors import GatewayError, InvalidOrder
from service.domain.images import (
    Admitted,
    CacheControl,
    CallFailed,
    Delivery,
    ImageOrder,
    ImageReady,
    Operation,
    OrderDone,
    SentOrder,
    Source,
)
from service.gateway.orders import RunningOrder
from service.http.access import caller_of
from service.http.errors import (
    BODY_TOO_SLOW,
    CLIENT_GONE,
    UNSUPPORTED_TYPE,
    Refusal,
    body_too_large,
    describe,
    limit_headers,
)
from service.http.schemas import (
    ErrorResponse,
    GenerateImageRequest,
    ImagesResponse,
    encode_answer,
    parse_delivery,
    parse_generate_request,
)
from service.http.services import HttpServices, services_of

MAX_BODY_BYTES = 256 * 1024
MAX_BODY_S = 30.0

router = APIRouter(tags=["Images"])


@router.post(
    "/v1/images/generations",
    operation_id="createImage",
    summary="Create images from a prompt",
    response_model=ImagesResponse,
    responses={"4XX": {"model": ErrorResponse}, "5XX": {"model": ErrorResponse}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": GenerateImageRequest.model_json_schema()}},
        }
    },
)
async def create_image(request: Request) -> Response:
    """Check, order, and answer once every image is there or cannot be."""
    services = services_of(request.scope)
    order = _order_of(request, services, parse_generate_request(await read_json_body(request)))
    running, sent = services.generate.start(order)
    model = services.catalog.models[order.asked_model]
    return await _Answer(services, order, model, sent).collect(request, running)


async def read_json_body(request: Request) -> bytes:
    """Return the body, refusing other types, too many bytes and too slow a sender as they come."""
    content_type = request.headers.get("content-type", "")
    if content_type.partition(";")[0].strip().lower() != "application/json":
        raise Refusal(UNSUPPORTED_TYPE)
    announced = request.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > MAX_BODY_BYTES:
        raise Refusal(body_too_large(MAX_BODY_BYTES))
    body = bytearray()
    try:
        async with asyncio.timeout(MAX_BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise Refusal(body_too_large(MAX_BODY_BYTES))
    except TimeoutError as error:
        raise Refusal(BODY_TOO_SLOW) from error
    except ClientDisconnect as error:
        raise Refusal(CLIENT_GONE) from error
    return bytes(body)


def _order_of(request: Request, services: HttpServices, fields: dict[str, Any]) -> ImageOrder:
    prompt = fields.pop("prompt")
    n = fields.pop("n", 1)
    response_format = fields.pop("response_format", None)
    named_user, safety_identifier = fields.pop("user", None), fields.pop("safety_identifier", None)
    model = services.catalog.find(fields.pop("model", None) or services.catalog.name_for(fields))
    return ImageOrder(
        id=uuid4().hex,
        operation=Operation.GENERATE,
        asked_model=model.name,
        prompt=prompt,
        n=n,
        parameters=fields,
        delivery=parse_delivery(response_format, model.delivery),
        caller=caller_of(request.scope, named_user=safety_identifier or named_user),
        deadline_s=services.clock.monotonic_s() + _timeout_s(request, services.deadline_s),
        cache=_cache_control(request),
        safety_identifier=safety_identifier or named_user,
    )


def _timeout_s(request: Request, longest_s: float) -> float:
    value = request.headers.get("x-request-timeout-s")
    if value is None:
        return longest_s
    try:
        timeout_s = float(value)
    except ValueError:
        timeout_s = math.nan
    if not 0 < timeout_s < math.inf:
        raise InvalidOrder("x-request-timeout-s must be a number of seconds above 0.", param=None)
    return min(timeout_s, longest_s)


def _cache_control(request: Request) -> CacheControl:
    directives: dict[str, str] = {}
    for part in request.headers.get("cache-control", "").split(","):
        name, _, value = part.strip().lower().partition("=")
        directives[name] = value.strip('"')
    max_age = directives.get("max-age", "")
    no_store = "no-store" in directives
    return CacheControl(
        reuse=not (no_store or "no-cache" in directives),
        keep=not no_store,
        only_if_cached="only-if-cached" in directives,
        max_age_s=float(max_age) if max_age.isascii() and max_age.isdigit() and len(max_age) < 12 else None,
    )


class _Answer:
    """The reader of one order's facts that answers in JSON."""

    def __init__(self, services: HttpServices, order: ImageOrder, model: Model, sent: SentOrder) -> None:
        self._services = services
        self._order = order
        self._model = model
        self._sent = sent
        self._images: dict[int, ImageReady] = {}
        self._admitted: Admitted | None = None
        self._error: GatewayError | None = None
        self._is_done = False

    async def collect(self, request: Request, running: RunningOrder) -> Response:
        """Read all facts; when images must be waited for, watch whether the client stays."""
        facts = running.facts()
        started_s = self._services.clock.monotonic_s()
        self._take(await anext(facts))
        async with asyncio.TaskGroup() as group:
            watcher = None
            if self._admitted is not None and self._admitted.pending:
                watcher = group.create_task(_abandon_when_gone(request, running))
            if not self._is_done:
                async for fact in facts:
                    self._take(fact)
            if watcher is not None:
                watcher.cancel()
        if not self._is_done:
            return CLIENT_GONE.response()
        return self._respond(request, self._services.clock.monotonic_s() - started_s)

    def _take(self, fact: Admitted | ImageReady | CallFailed | OrderDone) -> None:
        match fact:
            case Admitted():
                self._admitted = fact
            case ImageReady():
                self._images[fact.position] = fact
            case OrderDone():
                self._error = fact.error
                self._is_done = True
            case CallFailed():
                pass

    def _respond(self, request: Request, duration_s: float) -> Response:
        request.scope["state"]["log"] = self._log_fields()
        headers = self._headers(duration_s)
        if self._error is not None:
            problem = describe(self._error)
            return Response(
                problem.body(),
                problem.status,
                headers={**headers, **problem.headers},
                media_type="application/json",
            )
        images = [self._images[position] for position in sorted(self._images)]
        by_url = self._order.delivery is Delivery.URL
        body = encode_answer(
            images,
            created_s=max(ready.image.created_s for ready in images),
            urls={ready.position: self._services.links.sign(ready.image.name) for ready in images}
            if by_url
            else {},
            with_usage=self._model.answers_usage,
            revised_prompt=self._order.prompt if self._model.answers_revised_prompt else None,
            safety_identifier=self._order.safety_identifier,
        )
        return Response(body, headers=headers, media_type="application/json")

    def _headers(self, duration_s: float) -> dict[str, str]:
        headers = {"x-model-sent": self._sent.model, "server-timing": f"order;dur={duration_s * 1000:.1f}"}
        if self._admitted is not None:
            headers |= limit_headers(self._admitted.limits, degraded=self._admitted.degraded)
        if self._images:
            headers["x-cache"] = self._cache_state()
            headers["x-cost-microusd"] = _cost(self._images)
        age_s = max((ready.age_s for ready in self._images.values()), default=0.0)
        if any(ready.source is Source.HIT for ready in self._images.values()):
            headers["age"] = str(int(age_s))
        if self._model.shutdown is not None:
            ends = datetime.combine(self._model.shutdown, time(), UTC)
            headers["sunset"] = format_datetime(ends, usegmt=True)
            headers["deprecation"] = f"@{int(ends.timestamp())}"
        return headers

    def _cache_state(self) -> str:
        if not self._services.caches or not self._order.cache.keep:
            return "bypass"
        sources = [ready.source for ready in self._images.values()]
        hits, coalesced, made = (
            sources.count(source) for source in (Source.HIT, Source.COALESCED, Source.MADE)
        )
        if hits == len(sources):
            return "hit"
        if made == len(sources):
            return "miss"
        return f"partial; hits={hits}; coalesced={coalesced}; misses={made}"

    def _log_fields(self) -> Mapping[str, Any]:
        fields: dict[str, Any] = {
            "order_id": self._order.id,
            "user": self._order.caller.user,
            "model": self._order.asked_model,
            "sent_model": self._sent.model,
            "n": self._order.n,
            "prompt_characters": len(self._order.prompt),
            "images": len(self._images),
        }
        if self._images:
            fields["cache"] = self._cache_state()
            fields["cost_microusd"] = _cost(self._images)
        return fields


async def _abandon_when_gone(request: Request, running: RunningOrder) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    running.abandon()


def _cost(images: Mapping[int, ImageReady]) -> str:
    """Return what the caller's team pays: only what was made for this order."""
    costs = [ready.image.cost_microusd for ready in images.values() if ready.source is Source.MADE]
    return "unknown" if None in costs else str(sum(cost for cost in costs if cost is not None))
