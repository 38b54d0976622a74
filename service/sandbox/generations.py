"""POST /v1/images/generations.

Owns the order of events of one request. What may be asked is in `rules`, what goes wrong on purpose in
`behaviour`. Edits will stand beside this file and share `make_pictures`.
"""

import asyncio
import time
from collections.abc import Sequence

from starlette.responses import Response

from service.sandbox.answers import to_dalle_generation, to_generation
from service.sandbox.failures import to_failed_response, to_retry_headers
from service.sandbox.journal import JournalImage
from service.sandbox.models import Contract
from service.sandbox.orders import Order
from service.sandbox.rates import limit_reached
from service.sandbox.refusals import moderation_blocked
from service.sandbox.replies import read_object, to_json
from service.sandbox.rules import read_order
from service.sandbox.studio import Painted
from service.sandbox.visits import Visit


async def generate(visit: Visit) -> Response:
    """Scripted failures come first, as an outage would, then refusals, then the limit, then the work."""
    fields = await read_object(visit.request)
    visit.entry.describe(fields)
    failure = visit.sandbox.conduct.take_failure(visit.entry.prompt or "")
    if failure:
        visit.entry.error_code = failure.code
        if not failure.after_painting:
            return to_failed_response(failure)
    order = read_order(fields, visit.sandbox.catalogue)
    pictures = await make_pictures(visit, order)
    answer = to_json(_to_answer(visit, order, pictures))
    if failure:
        return to_failed_response(failure, answer)
    return Response(answer, media_type="application/json")


async def make_pictures(visit: Visit, order: Order) -> list[Painted]:
    """Do what costs money; raises `Refusal` before any of it is done."""
    conduct = visit.sandbox.conduct
    if conduct.is_refused(order.prompt):
        raise moderation_blocked(is_dalle=order.model.contract is Contract.DALLE)
    _take_from_limit(visit, order)
    await asyncio.sleep(conduct.choose_latency_s())
    pictures = await visit.sandbox.studio.paint(order, conduct.choose_images(order.n), conduct.behaviour)
    visit.entry.images = [
        JournalImage(serial=picture.serial, sha256=picture.sha256, order_hash=order.order_hash)
        for picture in pictures
    ]
    visit.entry.billed = bool(pictures)
    return pictures


def _take_from_limit(visit: Visit, order: Order) -> None:
    limit = visit.sandbox.conduct.behaviour.rate_limit_images_per_min
    wait_s, headers = visit.sandbox.rates.admit(visit.key, order.n, limit, time.monotonic())
    visit.headers |= headers
    if limit is not None and wait_s:
        refusal = limit_reached(order.model.name, limit, wait_s)
        refusal.headers = to_retry_headers(wait_s)
        raise refusal


def _to_answer(visit: Visit, order: Order, pictures: Sequence[Painted]) -> dict[str, object]:
    if order.model.contract is Contract.GPT_IMAGE:
        return to_generation(order, pictures)
    if order.response_format == "b64_json":
        return to_dalle_generation(order, [picture.base64 for picture in pictures])
    shelf = visit.request.url_for("picture", name="")
    return to_dalle_generation(
        order, [f"{shelf}{visit.sandbox.studio.shelve(picture)}" for picture in pictures]
    )
