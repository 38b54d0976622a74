"""Build the FastAPI application; no I/O outside its lifespan."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.middleware.asyncexitstack import AsyncExitStackMiddleware
from starlette.middleware import Middleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from service.http import docs, estimate, files, images, legacy, models, ops, pages, usage
from service.http.access import Access
from service.http.admin.routes import ROUTERS as ADMIN_ROUTERS
from service.http.cross_origin import CrossOrigin
from service.http.direct import DirectRoutes
from service.http.errors import HANDLED, answer_error
from service.http.middleware import AnswerCrashes, RequestScope
from service.http.templates import Templates
from service.http.trace_context import TraceRequests
from service.settings.variables import Settings
from service.wiring.process import BackingServices
from service.wiring.services import open_services

_ROUTERS = (
    images.router,
    estimate.router,
    legacy.router,
    files.links,
    files.router,
    models.router,
    usage.router,
    *ADMIN_ROUTERS,
    ops.router,
    docs.router,
    pages.router,
)
_DOCUMENT = "/openapi.json"
_ROUTES = [route for router in _ROUTERS for route in router.routes]
_TEMPLATES = Templates(_ROUTES, _DOCUMENT)


def create_app(settings: Settings, backing: BackingServices) -> FastAPI:
    """Return the application; it opens connections at its start, and drains at its end."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        async with open_services(settings, backing) as services:
            # The supervisor receives a signal before the server leaves this context.
            app.state.runner = services.operations.runner
            yield {"services": services}

    app = _Application(
        title="Image Gateway",
        version=version("image-gateway"),
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        # One list: FastAPI matches the routes of an included router twice for each request.
        routes=_ROUTES,
        lifespan=lifespan,
        # Outermost first: an unauthenticated request and a preflight have an id and a log line, too.
        middleware=[
            *([Middleware(TraceRequests)] if settings.traces != "off" else []),
            Middleware(RequestScope, templates=_TEMPLATES),
            *_cross_origin(settings),
            Middleware(AnswerCrashes),
            Middleware(Access),
            Middleware(DirectRoutes, routes=_ROUTES),
        ],
        exception_handlers=dict.fromkeys(HANDLED, answer_error),
        # FastAPI's pages load files from a CDN; `http/docs.py` does not.
        docs_url=None,
        # FastAPI's route builds the document on the loop.
        openapi_url=None,
        redoc_url=None,
        # A redirect trusts the Host header, and an upload would be sent twice.
        redirect_slashes=False,
        # Its spans have links and callers' texts in them, its logs values of fields; `TraceRequests` has neither.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.add_route(_DOCUMENT, app.get_document, include_in_schema=False)
    return app


def _cross_origin(settings: Settings) -> list[Middleware]:
    return [Middleware(CrossOrigin, origins=settings.known_origins)] if settings.known_origins else []


class _Application(FastAPI):
    """FastAPI whose OpenAPI document is complete."""

    _document: asyncio.Future[bytes] | None = None

    async def get_document(self, _: Request) -> Response:
        """Answer with the document; first requests share a thread that takes most of a second to build it."""
        if self._document is None or (self._document.done() and self._document.exception()):
            self._document = asyncio.get_running_loop().run_in_executor(
                None, lambda: orjson.dumps(self.openapi())
            )
        return Response(await asyncio.shield(self._document), media_type="application/json")

    def build_middleware_stack(self) -> ASGIApp:
        """Return the gateway's layers around FastAPI's for errors and files; its layers for crashes and sizes repeat ours."""
        app: ASGIApp = ExceptionMiddleware(AsyncExitStackMiddleware(self.router), self.exception_handlers)
        for layer, positional, named in reversed(self.user_middleware):
            app = layer(app, *positional, **named)
        return app

    def openapi(self) -> dict[str, Any]:
        """Return the document, built once."""
        if self.openapi_schema is None:
            # Loaded on demand: few processes describe the API.
            from service.http.contract.document import complete  # noqa: PLC0415

            self.openapi_schema = complete(super().openapi())
        return self.openapi_schema
