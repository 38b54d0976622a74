"""`GET /v1/models`: list the models, and describe what callers may order by the name of one."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, time
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from service.domain.catalog import Catalog, InputRule, Model, ParameterRule
from service.domain.images import MAX_N, Operation
from service.domain.inputs import MAX_INPUT_PIXELS
from service.domain.sizes import SizeRule
from service.domain.unknown import LONGEST_SHOWN, ask_for_nearest
from service.http.errors import Problem
from service.http.services import HttpServices, services_of

router = APIRouter(tags=["Models"])


@router.get("/v1/models", operation_id="listModels", summary="List the available models")
async def list_models(request: Request) -> dict[str, Any]:
    """List the models that can be ordered, also retired ones: a current model answers for them."""
    services = services_of(request.scope)
    catalog, today = services.ordering.catalog, _today(services)
    return {
        "object": "list",
        "data": [_describe(catalog, model, today) for model in catalog.orderable(today)],
    }


@router.get(
    "/v1/models/{model:path}",
    operation_id="getModel",
    summary="Describe one model",
    response_model=None,
)
async def get_model(
    request: Request, model: Annotated[str, Path(description="Id of the model.")]
) -> dict[str, Any] | Response:
    """Describe one model of the catalogue, and the orders that it takes; its id may contain slashes."""
    services = services_of(request.scope)
    catalog, today = services.ordering.catalog, _today(services)
    found = catalog.models.get(model)
    if found is None or not catalog.is_orderable(found, today):
        nearest = ask_for_nearest(model, catalog.models)
        message = (
            f"The model '{model[:LONGEST_SHOWN]}' does not exist or you do not have access to it.{nearest}"
        )
        return Problem(404, message, code="model_not_found", param="model").response()
    return _describe(catalog, found, today) | _describe_orders(catalog, found, today)


def _today(services: HttpServices) -> date:
    return datetime.fromtimestamp(services.clock.wall_s(), UTC).date()


def _describe(catalog: Catalog, model: Model, today: date) -> dict[str, Any]:
    successor = catalog.successor_of(model, today)
    makers = catalog.backends_of(successor or model, today)
    return {
        "id": model.name,
        "object": "model",
        "created": int(datetime.combine(model.released, time(), UTC).timestamp()),
        "owned_by": makers[0] if makers else "openai",
        "shutdown_date": model.shutdown.isoformat() if model.shutdown else None,
        "answered_by": successor.name if successor else None,
    }


def _describe_orders(catalog: Catalog, model: Model, today: date) -> dict[str, Any]:
    """Return what an order for *model* may have today; values that change nothing are left out."""
    contract = catalog.as_ordered(model, today).contract
    is_bridged = catalog.successor_of(model, today) is not None
    ignored = model.bridge.ignores if model.bridge and is_bridged else {}
    parameters = {
        name: _describe_parameter(rule, contract.operations, ignored.get(name, ()))
        for name, rule in contract.parameters.items()
    }
    described: dict[str, Any] = {
        "operations": contract.operations,
        "max_n": MAX_N,
        "max_prompt_chars": contract.prompt_limit,
        "sizes": _describe_sizes(contract.sizes, contract.default_size or "auto"),
        "parameters": {name: each for name, each in parameters.items() if each},
    }
    return described | ({"inputs": _describe_inputs(contract.inputs)} if contract.inputs.formats else {})


def _describe_sizes(rule: SizeRule, default: str) -> dict[str, Any]:
    described: dict[str, Any] = {"fixed": rule.fixed, "default": default}
    if rule.multiple:
        described["free"] = {
            "multiple": rule.multiple,
            "max_ratio": rule.max_ratio,
            "max_edge": rule.max_edge,
            "min_pixels": rule.min_pixels,
            "max_pixels": rule.max_pixels,
        }
    return described


def _describe_parameter(
    rule: ParameterRule, operations: tuple[Operation, ...], ignored: tuple[str, ...]
) -> Mapping[str, Any]:
    """Return the values of a parameter, its range, or its kind; empty if all its values are *ignored*."""
    described: dict[str, Any] = {}
    if rule.values:
        described["values"] = [value for value in rule.values if value not in ignored]
        if not described["values"]:
            return {}
    elif rule.minimum is not None or rule.maximum is not None:
        bounds = {"minimum": rule.minimum, "maximum": rule.maximum}
        described |= {name: bound for name, bound in bounds.items() if bound is not None}
    else:
        described["kind"] = rule.kind
    if rule.default is not None:
        described["default"] = rule.default
    described["operations"] = [each for each in operations if each in (rule.operations or operations)]
    return described


def _describe_inputs(rule: InputRule) -> dict[str, Any]:
    return {
        "formats": rule.formats,
        "max_bytes": rule.max_bytes,
        "max_pixels": MAX_INPUT_PIXELS,
        "max_images": rule.max_images,
        "mask_max_bytes": rule.mask_max_bytes,
        "square": rule.square,
        "needs_alpha": rule.needs_alpha,
        "takes_markup": rule.takes_markup,
    }
