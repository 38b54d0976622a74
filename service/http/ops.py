"""Routes for operators: liveness, readiness and metrics."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from service.domain.conditions import Condition
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
    draining = services.operations.runner.is_draining
    body: dict[str, Any] = {"status": "draining" if draining else "ok"}
    if verbose is not None:
        rows = {name: look() for name, look in services.operations.conditions.items()}
        body |= {name: row.word for name, row in rows.items()}
        body["details"] = {name: details for name, row in rows.items() if (details := _details(row))}
    return JSONResponse(body, 503 if draining else 200)


def _details(row: Condition) -> dict[str, str]:
    """Return the details of a row beyond its word."""
    details = {"advice": row.advice} if row.advice else {}
    if row.since_s is not None:
        details["since"] = datetime.fromtimestamp(row.since_s, UTC).isoformat(timespec="seconds")
    return details


@router.get("/metrics", operation_id="getMetrics", summary="Metrics in the Prometheus text format")
async def get_metrics(request: Request) -> Response:
    """Render all metrics."""
    body, content_type = services_of(request.scope).operations.render_metrics()
    return Response(body, headers={"content-type": content_type})
