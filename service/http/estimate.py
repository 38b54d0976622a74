"""`POST /v1/images/estimate`: tell the price of an order before it is given.

It counts against no limit, so callers take turns at a few places: the estimates of one must not slow the orders of others.
"""

from typing import Any, Literal

import orjson
from fastapi import APIRouter, Request
from pydantic import BaseModel, StrictInt, StrictStr
from starlette.responses import Response

from service.domain.errors import InvalidOrder
from service.domain.images import Operation
from service.domain.unknown import LONGEST_SHOWN, unknown_parameter
from service.http.access import holder_of
from service.http.bodies import JSON, MAX_BODY_S, check_media_type, memory_for, read_json
from service.http.errors import ESTIMATES_BUSY, RequestRejected, describe
from service.http.images import MAX_GENERATION_BYTES
from service.http.order_request import build_order, check_prompt_field
from service.http.schemas import GenerateImageRequest, check_fields, read_json_object, read_values
from service.http.services import HttpServices, services_of
from service.http.usage import UsageLimit, describe_limit
from service.ports.turns import TooManyWait

MOST_INPUTS = 16
_FILES = frozenset({"image", "images", "mask", "markup"})

router = APIRouter(tags=["Images"])


class EstimateFields(GenerateImageRequest):
    """The fields of an order, its operation, and the number of images that it sends."""

    operation: StrictStr = Operation.GENERATE.value
    inputs: StrictInt | None = None


class Refusal(BaseModel):
    """The failure that an order would meet now."""

    message: str
    code: str | None
    param: str | None


class Estimate(BaseModel):
    """The estimate of an order."""

    object: Literal["estimate"]
    model: str
    sent_model: str
    n: int
    realm: str
    microusd: int | None
    weight: int
    limits: list[UsageLimit]
    refused_by: Refusal | None = None


@router.post(
    "/v1/images/estimate",
    operation_id="estimateImages",
    summary="Estimate an order",
    response_class=Response,
)
async def estimate_images(request: Request) -> Response:
    """Estimate an order that is not given: the same checks, no image, no cost, and no use of a limit."""
    check_media_type(request, JSON)
    services = services_of(request.scope)
    with memory_for(request) as room:
        fields = _parse(await read_json(request, room, MAX_GENERATION_BYTES, MAX_BODY_S))
    try:
        # Only now: a body that comes slowly must hold no place.
        async with services.budgets.estimates.place(holder_of(request.scope)):
            answer = await _estimate(request, services, fields)
    except TooManyWait as error:
        raise RequestRejected(ESTIMATES_BUSY) from error
    return Response(orjson.dumps(answer.model_dump(exclude_unset=True)), media_type="application/json")


async def _estimate(request: Request, services: HttpServices, fields: dict[str, Any]) -> Estimate:
    operation = _operation(fields.pop("operation", Operation.GENERATE.value))
    inputs = _inputs(operation, fields.pop("inputs", None))
    if operation is Operation.VARY:
        check_prompt_field(operation, fields)
    order = build_order(request, services, operation, fields)
    made = await services.ordering.estimates.make(order, inputs)
    answer = Estimate(
        object="estimate",
        model=order.asked.name,
        sent_model=made.sent_model,
        n=order.n,
        realm=made.realm,
        microusd=made.microusd,
        weight=made.weight,
        limits=[describe_limit(services, limit) for limit in made.limits],
    )
    if made.refusal is not None:
        problem = describe(made.refusal)
        answer.refused_by = Refusal(message=problem.message, code=problem.code, param=problem.param)
    return answer


def _parse(body: bytearray) -> dict[str, Any]:
    """Return the fields, of which a blank prompt is none; raises `InvalidOrder`."""
    given = read_values(read_json_object(body))
    for name in _FILES & given.keys():
        raise unknown_parameter(name, otherwise=" An estimate takes no files: give their number in 'inputs'.")
    check_fields({"prompt": "", **given}, EstimateFields)
    if not given.get("prompt"):
        given.pop("prompt", None)
    return given


def _operation(name: str) -> Operation:
    try:
        return Operation(name)
    except ValueError as error:
        raise InvalidOrder(
            f"Invalid value: '{name[:LONGEST_SHOWN]}'. Supported values are: 'generate', 'edit', and 'vary'.",
            param="operation",
        ) from error


def _inputs(operation: Operation, given: int | None) -> int:
    """Return the number of images that the order sends: one for an edit or a variation, unless the caller says another."""
    if operation is Operation.GENERATE and given:
        raise InvalidOrder("'inputs' requires operation 'edit' or 'vary'.", param="inputs")
    number = int(operation is not Operation.GENERATE) if given is None else given
    if not 0 <= number <= MOST_INPUTS:
        raise InvalidOrder(
            f"Invalid 'inputs': expected 0 to {MOST_INPUTS}, but got {number} instead.",
            param="inputs",
            code="integer_above_max_value" if number > 0 else "integer_below_min_value",
        )
    return number
