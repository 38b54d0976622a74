"""Answer a request for images: fail on purpose, refuse, limit, or paint and bill.

Owns the sequence of these steps, for every endpoint that makes images. `rules` checks orders, `faults.behaviour`
holds the failures, `streams` runs a stream.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from starlette.responses import Response

from service.sandbox.answers.bodies import to_answer, to_dalle_answer
from service.sandbox.answers.streams import open_stream
from service.sandbox.faults.scripted_failures import to_failed_response, to_retry_headers
from service.sandbox.journal.journaled_requests import JournaledRequest
from service.sandbox.painting.studio import Painted, Studio
from service.sandbox.parts import Sandbox
from service.sandbox.rules.accepted_order import Order
from service.sandbox.rules.models import Contract
from service.sandbox.rules.rate_limits import limit_reached
from service.sandbox.wire.error_envelope import moderation_blocked
from service.sandbox.wire.json_bodies import to_json


async def fulfil(
    sandbox: Sandbox, journaled: JournaledRequest, read_order: Callable[[], Order], *, noun: str = ""
) -> Response:
    """Apply a scripted failure first, as in an outage, then refusals, then the limit, then paint.

    *noun* begins the names of a stream's events; an endpoint without streams has none.
    """
    failure = sandbox.conduct.take_failure(journaled.entry.prompt or "")
    if failure:
        journaled.entry.error_code = failure.code
        if not failure.after_painting:
            return to_failed_response(failure)
    order = read_order()
    _admit(sandbox, journaled, order)
    if order.is_streamed and not failure:
        return open_stream(sandbox, journaled, order, noun)
    answer = to_json(_to_answer(sandbox, journaled, order, await _make_images(sandbox, journaled, order)))
    if failure:
        return to_failed_response(failure, answer)
    return Response(answer, media_type="application/json")


def _admit(sandbox: Sandbox, journaled: JournaledRequest, order: Order) -> None:
    """Raise the `Refusal` for a forbidden word or a full window; an admitted order costs money."""
    behaviour = sandbox.conduct.behaviour
    if sandbox.conduct.is_refused(order.prompt):
        raise moderation_blocked(is_dalle=order.model.contract is Contract.DALLE)
    limit = behaviour.rate_limit_images_per_min
    wait_s, headers = sandbox.rates.admit(journaled.key, order.n, limit, time.monotonic())
    journaled.headers |= headers
    if limit is not None and wait_s:
        refusal = limit_reached(order.model.name, limit, wait_s)
        refusal.headers = to_retry_headers(wait_s)
        raise refusal


async def _make_images(sandbox: Sandbox, journaled: JournaledRequest, order: Order) -> list[Painted]:
    conduct, studio = sandbox.conduct, sandbox.studio
    await asyncio.sleep(conduct.choose_latency_s())
    plans = studio.plan(order, conduct.choose_images(order.n), conduct.behaviour)
    painted = [one async for one in studio.paint(plans)]
    journaled.bill(order, painted)
    return painted


def _to_answer(
    sandbox: Sandbox, journaled: JournaledRequest, order: Order, images: Sequence[Painted]
) -> dict[str, object]:
    if order.model.contract is Contract.GPT_IMAGE:
        answers_urls = sandbox.conduct.behaviour.answer_urls
        return to_answer(order, images, _to_urls(sandbox.studio, journaled, images) if answers_urls else None)
    if order.response_format == "b64_json":
        return to_dalle_answer(order, [image.base64 for image in images])
    return to_dalle_answer(order, _to_urls(sandbox.studio, journaled, images))


def _to_urls(studio: Studio, journaled: JournaledRequest, images: Sequence[Painted]) -> list[str]:
    shelf = journaled.request.url_for("shelved_image", name="")
    return [f"{shelf}{studio.shelve(image)}" for image in images]
