"""`/docs`: serve Swagger UI for the gateway's OpenAPI document, without a CDN.

The files of Swagger UI come from the wheel of fastapi-offline; nothing else of it is used.
"""

from importlib.resources import files

import fastapi_offline
from fastapi import APIRouter
from starlette.responses import FileResponse

_POLICY = (
    "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Swagger UI writes styles into its elements."""

router = APIRouter(include_in_schema=False)


@router.head("/docs")
@router.get("/docs")
async def get_docs() -> FileResponse:
    return _serve("service", "web/docs.html", "text/html")


@router.get("/docs/swagger-ui-bundle.js")
async def get_swagger_ui() -> FileResponse:
    return _serve(fastapi_offline.__name__, "static/swagger-ui-bundle.js", "text/javascript")


@router.get("/docs/swagger-ui.css")
async def get_style() -> FileResponse:
    return _serve(fastapi_offline.__name__, "static/swagger-ui.css", "text/css")


def _serve(package: str, path: str, media_type: str) -> FileResponse:
    headers = {"content-security-policy": _POLICY, "cache-control": "no-cache"}
    return FileResponse(str(files(package) / path), headers=headers, media_type=media_type)
