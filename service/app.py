"""Build the FastAPI application; no I/O outside its lifespan."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.middleware import Middleware

from service.http import docs, files, images, legacy, models, ops, playground, usage
from service.http.access import Access
from service.http.admin.routes import ROUTERS as ADMIN_ROUTERS
from service.http.document import add_security
from service.http.errors import HANDLED, answer_error
from service.http.middleware import RequestScope
from service.settings.variables import Settings
from service.wiring.process import BackingServices
from service.wiring.services import open_services

_DESCRIPTION = """
One service for all image generation of a company. It speaks the OpenAI Images API to clients of any age,
keeps retired DALL·E models answering, and never pays twice for one picture.
"""


def create_app(settings: Settings, backing: BackingServices) -> FastAPI:
    """Return an application that opens its connections when it starts and drains when it stops."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
        async with open_services(settings, backing) as services:
            # The supervisor hears of a signal before the server gets to this context's end.
            app.state.runner = services.operations.runner
            yield {"services": services}

    app = _Application(
        title="Image Gateway",
        version=version("image-gateway"),
        description=_DESCRIPTION.strip(),
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        lifespan=lifespan,
        # Outermost first: a request refused for lack of credentials still has an id and a log line.
        middleware=[Middleware(RequestScope), Middleware(Access)],
        exception_handlers=dict.fromkeys(HANDLED, answer_error),
        # Its pages come from a CDN; the gateway's own is `http/docs.py`.
        docs_url=None,
        redoc_url=None,
        # A redirect would be built from the Host header, and costs an upload twice.
        redirect_slashes=False,
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    for router in (
        images.router,
        legacy.router,
        files.router,
        models.router,
        usage.router,
        *ADMIN_ROUTERS,
        ops.router,
        docs.router,
        playground.router,
    ):
        app.include_router(router)
    return app


class _Application(FastAPI):
    """FastAPI with the needed credentials in its OpenAPI document."""

    def openapi(self) -> dict[str, Any]:
        """Return the document, made once."""
        if self.openapi_schema is None:
            self.openapi_schema = add_security(super().openapi())
        return self.openapi_schema
