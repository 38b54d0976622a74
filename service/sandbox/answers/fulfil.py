"""Answer a request for images: fail on purpose, refuse, limit, or paint and bill.

Owns the sequence of these steps, for every endpoint that makes images. `rules` checks orders, `faults.behaviour`
holds the failures, `streams` runs a stream.
"""

import asyncio
import time
from collections.abc import Callable, Sequence

from starlette.responses import Response

from service.sandbox.answers.bodies import to_answer, to_dalle_answer
from service.sandbox.answers.deviations import check_parameters, deviate
from service.sandbox.answers.filter_results import add_filter_results
from service.sandbox.answers.keys import admit_key
from service.sandbox.answers.streams import open_stream
from service.sandbox.faults.scripted_failures import to_failed_response
from service.sandbox.journal.journaled_requests import JournaledRequest
from service.sandbox.painting.studio import Painted, Studio
from service.sandbox.parts import Sandbox
from service.sandbox.rules.accepted_order import Order
from service.sandbox.rules.models import Contract
from service.sandbox.rules.rate_limits import limit_reached
from service.sandbox.wire.azure_refusals import content_filtered
from service.sandbox.wire.error_envelope import moderation_blocked
from service.sandbox.wire.json_bodies import to_json
from service.sandbox.wire.kinds import Kind


async def fulfil(
    sandbox: Sandbox, journaled: JournaledRequest, read_order: Callable[[], Order], *, noun: str = ""
) -> Response:
    """Refuse the key first, then apply a scripted failure, as in an outage, then refusals, then the limit, then paint.

    *noun* begins the names of a stream's events; an endpoint without streams has none.
    """
    admit_key(sandbox, journaled)
    failure = sandbox.conduct.take_failure(journaled.key_name, journaled.entry.prompt or "")
    if failure:
        journaled.entry.refuse(failure.code, None, failure.retry_after_s)
        if not failure.after_painting:
            return to_failed_response(failure, sandbox.kind, journaled.behaviour.error_shape)
    check_parameters(journaled)
    order = deviate(read_order(), journaled.behaviour)
    _admit(sandbox, journaled, order)
    if order.is_streamed and not failure:
        return open_stream(sandbox, journaled, order, noun)
    told = _to_answer(sandbox, journaled, order, await _make_images(sandbox, journaled, order))
    if sandbox.kind is Kind.AZURE:
        add_filter_results(told, journaled.behaviour.filter_results)
    answer = to_json(told)
    if failure:
        return to_failed_response(failure, sandbox.kind, journaled.behaviour.error_shape, answer)
    return Response(answer, media_type="application/json")


def _admit(sandbox: Sandbox, journaled: JournaledRequest, order: Order) -> None:
    """Raise the `Refusal` for a forbidden word or a full window; an admitted order costs money."""
    behaviour, kind = journaled.behaviour, sandbox.kind
    if behaviour.is_refused(order.prompt):
        if kind is Kind.AZURE:
            raise content_filtered(behaviour.filter_refusal)
        raise moderation_blocked(is_dalle=order.model.contract is Contract.DALLE)
    limit = behaviour.rate_limit_images_per_min
    wait_s, headers = sandbox.rates.admit(journaled.key_name or "", order.n, limit, time.monotonic(), kind)
    journaled.headers |= headers
    if limit is not None and wait_s:
        raise limit_reached(order.model.name, limit, wait_s, kind)


async def _make_images(sandbox: Sandbox, journaled: JournaledRequest, order: Order) -> list[Painted]:
    behaviour, studio = journaled.behaviour, sandbox.studio
    await asyncio.sleep(behaviour.choose_latency_s())
    plans = studio.plan(order, behaviour.choose_images(order.n), behaviour)
    painted = [one async for one in studio.paint(plans)]
    journaled.bill(order, painted)
    return painted


def _to_answer(
    sandbox: Sandbox, journaled: JournaledRequest, order: Order, images: Sequence[Painted]
) -> dict[str, object]:
    behaviour = journaled.behaviour
    if order.model.contract is Contract.GPT_IMAGE:
        has_urls = behaviour.answer_urls or behaviour.image_url is not None
        urls = _to_urls(sandbox.studio, journaled, images) if has_urls else None
        answer = to_answer(order, images, urls)
        return {name: answer[name] for name in ("created", "data")} if behaviour.bare_answers else answer
    if order.response_format == "b64_json":
        return to_dalle_answer(order, [image.base64 for image in images])
    return to_dalle_answer(order, _to_urls(sandbox.studio, journaled, images))


def _to_urls(studio: Studio, journaled: JournaledRequest, images: Sequence[Painted]) -> list[str]:
    if (url := journaled.behaviour.image_url) is not None:
        return [url for _ in images]
    shelf = journaled.request.url_for("shelved_image", name="")
    return [f"{shelf}{studio.shelve(image)}" for image in images]
