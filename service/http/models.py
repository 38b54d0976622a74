"""`GET /v1/models`: list the models and their shutdown dates."""

from datetime import UTC, datetime, time
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from service.domain.catalog import Model
from service.domain.unknown import LONGEST_SHOWN, ask_for_nearest
from service.http.errors import Problem
from service.http.services import services_of

router = APIRouter(tags=["Models"])


@router.get("/v1/models", operation_id="listModels", summary="List the available models")
async def list_models(request: Request) -> dict[str, Any]:
    """List all models of the catalogue, also retired ones: a current model answers for them."""
    catalog = services_of(request.scope).ordering.catalog
    return {"object": "list", "data": [_describe(model) for model in catalog.models.values()]}


@router.get(
    "/v1/models/{model:path}",
    operation_id="getModel",
    summary="Describe one model",
    response_model=None,
)
async def get_model(
    request: Request, model: Annotated[str, Path(description="Id of the model.")]
) -> dict[str, Any] | Response:
    """Describe one model of the catalogue; its id may contain slashes."""
    models = services_of(request.scope).ordering.catalog.models
    found = models.get(model)
    if found is None:
        nearest = ask_for_nearest(model, models)
        message = (
            f"The model '{model[:LONGEST_SHOWN]}' does not exist or you do not have access to it.{nearest}"
        )
        return Problem(404, message, code="model_not_found", param="model").response()
    return _describe(found)


def _describe(model: Model) -> dict[str, Any]:
    return {
        "id": model.name,
        "object": "model",
        "created": int(datetime.combine(model.released, time(), UTC).timestamp()),
        "owned_by": "openai",
        "shutdown_date": model.shutdown.isoformat() if model.shutdown else None,
    }
