"""Build the ASGI application: a route for each endpoint.

Owns the routes and the envelopes of 404, 405 and 500. Opens nothing: `server` opens the parts of the `Sandbox`.
"""

from collections.abc import Awaitable, Callable
from functools import partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.sandbox.endpoints.controls import Controls
from service.sandbox.endpoints.edits import edit, vary
from service.sandbox.endpoints.generations import generate
from service.sandbox.endpoints.model_list import describe_model, list_models
from service.sandbox.endpoints.moderations import moderate
from service.sandbox.journal.journal import Journal
from service.sandbox.journal.journaled_requests import JournaledRequest, keep_journal
from service.sandbox.parts import Sandbox
from service.sandbox.wire.error_envelope import ErrorType, Refusal
from service.sandbox.wire.json_bodies import to_refused

Handler = Callable[[Request, Exception], Awaitable[Response]]
Endpoint = Callable[[Sandbox, JournaledRequest], Awaitable[Response]]


def build_app(sandbox: Sandbox, *, has_controls: bool) -> Starlette:
    """Return the application; without controls, no one can read the prompts or change the behaviour."""

    def journaled(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        return keep_journal(sandbox.journal, partial(endpoint, sandbox))

    controls = Controls(sandbox)
    routes = [
        Route("/v1/images/generations", journaled(generate), methods=["POST"]),
        Route("/v1/images/edits", journaled(edit), methods=["POST"]),
        Route("/v1/images/variations", journaled(vary), methods=["POST"]),
        Route("/v1/moderations", journaled(moderate), methods=["POST"]),
        Route("/v1/models", journaled(list_models), methods=["GET"]),
        Route("/v1/models/{model:path}", journaled(describe_model), methods=["GET"]),
        Route("/sandbox/pictures/{name:path}", controls.shelved_image, methods=["GET"], name="shelved_image"),
    ]
    if has_controls:
        routes += [
            Route("/sandbox/journal", controls.journal, methods=["GET", "DELETE"]),
            Route("/sandbox/behaviour", controls.behaviour, methods=["GET", "PUT", "DELETE"]),
            Route("/sandbox/faults", controls.faults, methods=["GET", "PUT", "DELETE"]),
        ]
    app = Starlette(
        routes=routes,
        exception_handlers={
            404: _refusing_with(sandbox.journal, unknown_path),
            405: _refusing_with(sandbox.journal, wrong_method),
            500: _admit_bug,
        },
    )
    app.router.redirect_slashes = False  # the real API has no such redirects
    return app


def unknown_path(request: Request) -> Refusal:
    return Refusal(404, f"Invalid URL ({request.method} {request.url.path})")


def wrong_method(request: Request) -> Refusal:
    hint = "(HINT: Perhaps you meant to use a different HTTP method?)"
    return Refusal(
        405, f"Not allowed to {request.method} on {request.url.path} {hint}", code="method_not_supported"
    )


def _refusing_with(journal: Journal, make_refusal: Callable[[Request], Refusal]) -> Handler:
    async def refuse(journaled: JournaledRequest) -> Response:
        raise make_refusal(journaled.request)

    async def handle(request: Request, _: Exception) -> Response:
        if request.url.path.startswith("/v1/"):
            return await keep_journal(journal, refuse)(request)
        return to_refused(make_refusal(request))

    return handle


async def _admit_bug(_: Request, error: Exception) -> Response:
    return to_refused(Refusal(500, f"The sandbox has a bug: {error!r}", kind=ErrorType.SERVER))
