"""From an order's facts to an answer: the JSON reader, and the headers that every reader sends."""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, time
from email.utils import format_datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from service.domain.catalog import Model
from service.domain.errors import GatewayError
from service.domain.images import (
    Admitted,
    Delivery,
    ImageOrder,
    ImageReady,
    OrderDone,
    OrderFact,
    SentOrder,
    Source,
)
from service.gateway.orders import RunningOrder
from service.http.errors import CLIENT_GONE, describe, limit_headers
from service.http.schemas import encode_answer
from service.http.services import HttpServices


class Answer:
    """Reads one order's facts; answers in JSON."""

    def __init__(self, services: HttpServices, order: ImageOrder, model: Model, sent: SentOrder) -> None:
        self._services = services
        self._order = order
        self._model = model
        self._sent = sent
        self._images: dict[int, ImageReady] = {}
        self._admitted: Admitted | None = None
        self._error: GatewayError | None = None
        self._is_done = False

    @property
    def is_pending(self) -> bool:
        """Whether images were still to be made when the order was admitted."""
        return self._admitted is None or self._admitted.pending > 0

    async def collect(self, request: Request, running: RunningOrder) -> Response:
        """Read all facts; when images must be waited for, watch whether the client stays."""
        started_s = self._services.clock.monotonic_s()
        first = await running.next_fact()
        self.take(first)
        async with asyncio.TaskGroup() as group:
            watcher = None
            if isinstance(first, Admitted) and first.pending:
                watcher = group.create_task(_abandon_when_gone(request, running))
            async for fact in running.facts():
                self.take(fact)
            if watcher is not None:
                watcher.cancel()
        if not self._is_done:
            return CLIENT_GONE.response()
        return self.respond(request, self._services.clock.monotonic_s() - started_s)

    def take(self, fact: OrderFact | None) -> None:
        """Note one fact."""
        match fact:
            case Admitted():
                self._admitted = fact
            case ImageReady():
                self._images[fact.position] = fact
            case OrderDone():
                self._error = fact.error
                self._is_done = True
            case _:
                pass

    def respond(self, request: Request, duration_s: float) -> Response:
        """Answer in JSON, once the order is over."""
        request.scope["state"]["log"] = self.log_fields()
        headers = self.headers(duration_s)
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
            # Answers of DALL·E had nothing but `created` and `data`.
            safety_identifier=self._order.safety_identifier if self._model.answers_usage else None,
        )
        return Response(body, headers=headers, media_type="application/json")

    def headers(self, duration_s: float) -> dict[str, str]:
        """Return what the headers can tell by now."""
        headers = {
            "x-model-sent": self._sent.model,
            "server-timing": f"order;dur={duration_s * 1000:.1f}",
            "openai-processing-ms": str(int(duration_s * 1000)),
            "openai-version": "2020-10-01",
        }
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

    def log_fields(self) -> Mapping[str, Any]:
        """Return what the request's log line says of its order."""
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
