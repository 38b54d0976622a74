"""Turn an order's facts into a JSON answer, and into the headers of every answer."""

import asyncio
from collections.abc import Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Scope

from service.domain.bridge import with_codes_of
from service.domain.errors import GatewayError, OrderFailed
from service.domain.failures import CallFailure
from service.domain.images import Delivery, Source
from service.domain.order import ImageOrder, SentOrder, Ticket
from service.domain.progress import OUTCOMES, Admitted, CallFailed, ImageReady, OrderDone, OrderFact
from service.gateway.order.runner import RunningOrder
from service.http.errors import CLIENT_GONE, describe
from service.http.headers import cost_of, order_headers
from service.http.schemas import encode_answer
from service.http.services import HttpServices

_WATCH_AFTER_S = 0.05
"""Cached images are answered sooner, without a task for it."""


class Answer:
    """Collects one order's facts and answers in JSON.

    With *accepts_partial*, the answer lists missing images beside the finished ones.
    """

    def __init__(
        self,
        services: HttpServices,
        order: ImageOrder,
        sent: SentOrder,
        ticket: Ticket,
        running: RunningOrder,
        *,
        accepts_partial: bool = False,
    ) -> None:
        self._services = services
        self._order = order
        self._sent = sent
        self._is_cached = ticket.pool is not None
        self._running = running
        self._accepts_partial = accepts_partial
        self._images: dict[int, ImageReady] = {}
        self._failures: dict[int, CallFailure] = {}
        self._admitted: Admitted | None = None
        self._error: GatewayError | None = None
        self._is_done = False

    @property
    def is_pending(self) -> bool:
        """Tell if the order has to wait for images."""
        return self._admitted is None or self._admitted.pending > 0

    async def collect(self, request: Request) -> Response:
        """Read all facts and answer; abandon the order if the client leaves."""
        started_s = self._services.clock.monotonic_s()
        for fact in await facts_of(request, self._running):
            self.take(fact)
        if not self._is_done:
            return CLIENT_GONE.response()
        return self.respond(request, self._services.clock.monotonic_s() - started_s)

    def take(self, fact: OrderFact | None) -> None:
        match fact:
            case Admitted():
                self._admitted = fact
            case ImageReady():
                self._images[fact.position] = fact
            case CallFailed():
                self._failures |= dict.fromkeys(fact.positions, fact.failure)
            case OrderDone():
                self._error = fact.error
                self._is_done = True
            case _:
                pass

    def respond(self, request: Request, duration_s: float) -> Response:
        """Answer in JSON, once all facts are read."""
        self.add_to_log(request.scope)
        headers = self.headers(duration_s)
        errors: list[dict[str, Any]] = []
        if self._error is not None and self._images and self._accepts_partial:
            errors = self._describe_missing(self._error)
            headers["preference-applied"] = "return=partial"
        elif self._error is not None:
            return describe(self._error).response(headers)
        images = [self._images[position] for position in sorted(self._images)]
        by_url = self._order.delivery is Delivery.URL
        body = encode_answer(
            images,
            urls={ready.position: self._link(ready) for ready in images} if by_url else {},
            with_usage=self._order.asked.answers_usage,
            revised_prompt=self._revised_prompt,
            # Answers of DALL·E had only `created` and `data`.
            safety_identifier=self._order.safety_identifier if self._order.asked.answers_usage else None,
            errors=errors,
        )
        return Response(body, headers=headers, media_type="application/json")

    def describe_image(self, ready: ImageReady) -> dict[str, Any]:
        """Return the fields of an image's event that OpenAI's events lack; without a link if the store did not take it."""
        fields: dict[str, Any] = {"index": ready.position}
        if ready.is_stored:
            fields["url"] = self._link(ready)
        is_own = ready.source is Source.MADE
        fields["backend"] = (ready.image.backend or None) if is_own else None
        fields["sent_model"] = ready.image.sent_model if is_own else None
        fields["cost_microusd"] = cost_of(ready)
        fields["cache"] = OUTCOMES[ready.source] if self._is_cached else "none"
        if self._revised_prompt is not None:
            fields["revised_prompt"] = ready.image.revised_prompt or self._revised_prompt
        return fields

    @property
    def _revised_prompt(self) -> str | None:
        """The prompt for images whose provider revised none; None if the asked model answers no prompt."""
        return self._order.prompt if self._order.asked.answers_revised_prompt else None

    def _link(self, ready: ImageReady) -> str:
        return self._services.images.links.sign(self._order.caller.team, ready.image.name)

    def _describe_missing(self, error: GatewayError) -> list[dict[str, Any]]:
        """Return an error for each missing image."""
        missing = [place for place in range(self._order.n) if place not in self._images]
        described = []
        for place in missing:
            failure = self._failures.get(place)
            reason = OrderFailed((with_codes_of(self._order.asked, failure),)) if failure else error
            described.append({"index": place, **describe(reason).error()})
        return described

    def headers(self, duration_s: float) -> dict[str, str]:
        """Return the headers known so far."""
        return order_headers(
            sent_model=self._sent.target.name,
            shutdown=self._order.asked.shutdown,
            admitted=self._admitted,
            images=self._images.values(),
            is_cached=self._is_cached,
            timings_s={
                "order": duration_s,
                **{stage: each for stage, each in self._running.record.stages_s.items() if each},
            },
        )

    def add_to_log(self, scope: Scope) -> None:
        """Add the failure of the order, if any, to the request's log line."""
        if self._error is not None:
            describe(self._error).add_to_log(scope)


async def facts_of(request: Request, running: RunningOrder) -> Sequence[OrderFact]:
    """Return all facts of an order; without `OrderDone` if its client has left, which abandons it."""
    watchers: list[asyncio.Task[None]] = []
    async with asyncio.TaskGroup() as group:

        def watch() -> None:
            watchers.append(group.create_task(abandon_when_gone(request, running)))

        timer = asyncio.get_running_loop().call_later(_WATCH_AFTER_S, watch)
        try:
            facts = await running.all_facts()
        finally:
            # Also on cancellation: the timer must not start a task in a group that has ended.
            timer.cancel()
        for watcher in watchers:
            watcher.cancel()
    return facts


async def abandon_when_gone(request: Request, running: RunningOrder) -> None:
    """Abandon the order once the client leaves."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    running.abandon()
