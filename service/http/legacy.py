"""`POST /generate_image`: the API of an older service, one prompt in and one image out.

It answers outside the OpenAI envelope, as its clients expect: `{"image_base64"}` or `{"error", "details"}`.
"""

from collections.abc import Iterable

import orjson
import pybase64
from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from service.domain.errors import GatewayError, OrderFailed
from service.domain.images import Operation
from service.domain.progress import ImageReady, OrderDone, OrderFact
from service.http.answers import facts_of
from service.http.bodies import JSON, MAX_BODY_S, check_media_type, memory_for, read_json
from service.http.errors import CLIENT_GONE, Problem, RequestRejected, describe
from service.http.order_request import build_order
from service.http.request_line import note_order, note_running
from service.http.schemas import without_mark
from service.http.services import services_of

MAX_BODY_BYTES = 256 * 1024
_NO_PROMPT = Problem(400, "No prompt provided", code="missing_required_parameter")

router = APIRouter(tags=["Images"])


@router.post(
    "/generate_image",
    operation_id="generateImage",
    summary="Create one image from a prompt (older API)",
    response_class=JSONResponse,
)
async def generate_image(request: Request) -> Response:
    """Create one image of 512x512 with `dall-e-2`, as the older service did."""
    try:
        return await _generate(request)
    except RequestRejected as error:
        return _answer_problem(request, error.problem, error.problem.status)
    except GatewayError as error:
        return _answer_error(request, error)


async def _generate(request: Request) -> Response:
    # A page of another site can send any other type without asking first.
    check_media_type(request, JSON)
    services = services_of(request.scope)
    with memory_for(request) as room:
        prompt = _read_prompt(await read_json(request, room, MAX_BODY_BYTES, MAX_BODY_S))
    if not prompt:
        _NO_PROMPT.add_to_log(request.scope)
        return JSONResponse({"error": _NO_PROMPT.message}, _NO_PROMPT.status)
    fields = {"prompt": prompt, "model": "dall-e-2", "size": "512x512", "response_format": "b64_json"}
    order = build_order(request, services, Operation.GENERATE, fields)
    note_order(request.scope, order)
    running, _, ticket = services.ordering.orders.start(order)
    note_running(request.scope, ticket, running)
    data = _find_image(await facts_of(request, running))
    if data is None:
        return CLIENT_GONE.response()
    return JSONResponse({"image_base64": pybase64.b64encode_as_string(data)})


def _read_prompt(body: bytearray) -> str:
    try:
        document = orjson.loads(without_mark(body))
    except orjson.JSONDecodeError:
        return ""
    prompt = document.get("prompt") if isinstance(document, dict) else None
    return prompt if isinstance(prompt, str) else ""


def _find_image(facts: Iterable[OrderFact]) -> bytes | None:
    """Return the bytes of the image, or None if the client has left; raises the error of the order."""
    data = b""
    for fact in facts:
        if isinstance(fact, ImageReady):
            data = fact.data or b""
        elif isinstance(fact, OrderDone):
            if fact.error is not None:
                raise fact.error
            return data
    return None


def _answer_error(request: Request, error: GatewayError) -> Response:
    problem = describe(error)
    # The older service had one status for every failure of its provider.
    return _answer_problem(request, problem, 500 if isinstance(error, OrderFailed) else problem.status)


def _answer_problem(request: Request, problem: Problem, status: int) -> Response:
    problem.add_to_log(request.scope)
    details = orjson.loads(problem.body())["error"]
    return JSONResponse({"error": problem.message, "details": details}, status, headers=dict(problem.headers))
