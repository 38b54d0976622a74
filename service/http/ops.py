"""Routes for operators: is the process alive, may it have traffic, what does it count."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from service.http.services import services_of

router = APIRouter(tags=["Operations"])


@router.head("/livez", include_in_schema=False)
@router.get("/livez", operation_id="getLiveness", summary="Is this process alive?")
async def get_liveness() -> dict[str, str]:
    """Answer; depends on nothing."""
    return {"status": "ok"}


@router.head("/readyz", include_in_schema=False)
@router.get("/readyz", operation_id="getReadiness", summary="May this process have traffic?")
async def get_readiness(request: Request, verbose: str | None = None) -> JSONResponse:
    """Red only while draining: without Redis, store or provider, some still works and the rest is refused honestly."""
    services = services_of(request.scope)
    draining = services.runner.is_draining
    body: dict[str, Any] = {"status": "draining" if draining else "ok"}
    if verbose is not None:
        body["state"] = "degraded" if services.state.is_degraded else "ok"
        body["store"] = "failing" if services.is_store_failing() else "ok"
    return JSONResponse(body, 503 if draining else 200)


@router.get("/metrics", operation_id="getMetrics", summary="Metrics in the Prometheus text format")
async def get_metrics(request: Request) -> Response:
    """Render all metrics."""
    body, content_type = services_of(request.scope).render_metrics()
    return Response(body, headers={"content-type": content_type})
