"""From a request that was read to its answer, for every endpoint that makes pictures.

Owns the order of events and what is noted about them. What may be asked is in `rules`, what goes wrong on purpose
in `behaviour`, how a stream runs in `streams`.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from starlette.responses import Response

from service.sandbox.answers import to_answer, to_dalle_answer
from service.sandbox.failures import to_failed_response, to_retry_headers
from service.sandbox.models import Contract
from service.sandbox.orders import Order
from service.sandbox.rates import limit_reached
from service.sandbox.refusals import moderation_blocked
from service.sandbox.replies import to_json
from service.sandbox.streams import open_stream
from service.sandbox.studio import Painted
from service.sandbox.visits import Visit


async def fulfil(visit: Visit, read_order: Callable[[], Order], *, noun: str = "") -> Response:
    """Scripted failures come first, as an outage would, then refusals, then the limit, then the work.

    *noun* is what the events of a stream are named after; without it there are none.
    """
    failure = visit.sandbox.conduct.take_failure(visit.entry.prompt or "")
    if failure:
        visit.entry.error_code = failure.code
        if not failure.after_painting:
            return to_failed_response(failure)
    order = read_order()
    _admit(visit, order)
    if order.is_streamed and not failure:
        return open_stream(visit, order, noun)
    answer = to_json(_to_answer(visit, order, await _make_pictures(visit, order)))
    if failure:
        return to_failed_response(failure, answer)
    return Response(answer, media_type="application/json")


def _admit(visit: Visit, order: Order) -> None:
    """Raise the `Refusal` for a forbidden word or a full window; from here on it costs money."""
    behaviour = visit.sandbox.conduct.behaviour
    if visit.sandbox.conduct.is_refused(order.prompt):
        raise moderation_blocked(is_dalle=order.model.contract is Contract.DALLE)
    limit = behaviour.rate_limit_images_per_min
    wait_s, headers = visit.sandbox.rates.admit(visit.key, order.n, limit, time.monotonic())
    visit.headers |= headers
    if limit is not None and wait_s:
        refusal = limit_reached(order.model.name, limit, wait_s)
        refusal.headers = to_retry_headers(wait_s)
        raise refusal


async def _make_pictures(visit: Visit, order: Order) -> list[Painted]:
    conduct, studio = visit.sandbox.conduct, visit.sandbox.studio
    await asyncio.sleep(conduct.choose_latency_s())
    pictures = studio.plan(order, conduct.choose_images(order.n), conduct.behaviour)
    painted = [one async for one in studio.paint(pictures)]
    visit.bill(order, painted)
    return painted


def _to_answer(visit: Visit, order: Order, pictures: Sequence[Painted]) -> dict[str, object]:
    if order.model.contract is Contract.GPT_IMAGE:
        answers_urls = visit.sandbox.conduct.behaviour.answer_urls
        return to_answer(order, pictures, _to_urls(visit, pictures) if answers_urls else None)
    if order.response_format == "b64_json":
        return to_dalle_answer(order, [picture.base64 for picture in pictures])
    return to_dalle_answer(order, _to_urls(visit, pictures))


def _to_urls(visit: Visit, pictures: Sequence[Painted]) -> list[str]:
    shelf = visit.request.url_for("picture", name="")
    return [f"{shelf}{visit.sandbox.studio.shelve(picture)}" for picture in pictures]
