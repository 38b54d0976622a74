"""Routes for operators: liveness, readiness and metrics."""

from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from service.domain.conditions import Condition
from service.http.preference import quality_of
from service.http.query import parameter, read_choice
from service.http.services import services_of

OPENMETRICS = "application/openmetrics-text"

router = APIRouter(tags=["Operations"])


@router.head("/livez", include_in_schema=False)
@router.get("/livez", operation_id="getLiveness", summary="Liveness: 200 while the process runs")
async def get_liveness() -> dict[str, str]:
    """Answer 200; depends on no other service."""
    return {"status": "ok"}


@router.head("/readyz", include_in_schema=False)
@router.get(
    "/readyz",
    operation_id="getReadiness",
    summary="Readiness: 503 while the process ends",
    openapi_extra={
        "parameters": [
            parameter(
                "verbose",
                "True adds the conditions of Redis, store, journal, provider, queue, clock and disks.",
                type="boolean",
            )
        ]
    },
)
async def get_readiness(request: Request) -> JSONResponse:
    """Answer 503 only while ending, also before orders are refused: without Redis, store or provider, others work.

    `?verbose` adds the conditions of these services, of queue, clock and disks, since when, and advice; it needs no value.
    """
    services = services_of(request.scope)
    is_ready = services.operations.runner.is_ready
    body: dict[str, Any] = {"status": "ok" if is_ready else "draining"}
    if _is_verbose(request):
        found = services.operations.look()
        body |= {name: condition.word for name, condition in found.items()}
        body["details"] = {name: _details(condition) for name, condition in found.items()}
    return JSONResponse(body, 200 if is_ready else 503)


def _is_verbose(request: Request) -> bool:
    if "verbose" not in request.query_params:
        return False
    asked = {"verbose": request.query_params["verbose"] or "true"}
    return read_choice(asked, "verbose", ("true", "false")) == "true"


def _details(condition: Condition) -> dict[str, Any]:
    """Return the advice on a condition, its beginning, and the conditions of keys."""
    details: dict[str, Any] = {"advice": condition.advice} if condition.advice else {}
    if condition.since_s is not None:
        details["since"] = datetime.fromtimestamp(condition.since_s, UTC).isoformat(timespec="seconds")
    if condition.keys:
        details["keys"] = {
            name: {"condition": key.word, **_details(key)} for name, key in condition.keys.items()
        }
    return details


@router.get("/metrics", operation_id="getMetrics", summary="Metrics in the Prometheus text format")
async def get_metrics(request: Request) -> Response:
    """Render the metrics of this process; `docs/metrics.md` lists them. `GATEWAY_METRICS_KEY` opens this route only.

    A client that prefers `application/openmetrics-text`, as Prometheus does, gets OpenMetrics, with exemplars.
    """
    accepted = ", ".join(request.headers.getlist("accept"))
    is_openmetrics = quality_of(OPENMETRICS, accepted) > quality_of("text/plain", accepted)
    # On the loop: a thread beside a busy loop gets the interpreter seldom, and takes twice as long.
    body, content_type = await services_of(request.scope).operations.scrapes.render(is_openmetrics)
    return Response(body, headers={"content-type": content_type})
