"""The ASGI application: routes from path to endpoint.

Owns the routes and the envelopes of 404, 405 and 500. Opens nothing: its `Sandbox` is an argument.
"""

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.sandbox.answers import to_model
from service.sandbox.controls import Controls
from service.sandbox.edits import edit, vary
from service.sandbox.generations import generate
from service.sandbox.moderations import moderate
from service.sandbox.refusals import ErrorType, Refusal
from service.sandbox.replies import to_refused, to_response
from service.sandbox.state import Sandbox
from service.sandbox.visits import Visit, journalled

Handler = Callable[[Request, Exception], Awaitable[Response]]


def build_app(sandbox: Sandbox) -> Starlette:
    controls = Controls(sandbox)
    routes = [
        Route("/v1/images/generations", journalled(sandbox, generate), methods=["POST"]),
        Route("/v1/images/edits", journalled(sandbox, edit), methods=["POST"]),
        Route("/v1/images/variations", journalled(sandbox, vary), methods=["POST"]),
        Route("/v1/moderations", journalled(sandbox, moderate), methods=["POST"]),
        Route("/v1/models", journalled(sandbox, list_models), methods=["GET"]),
        Route("/v1/models/{model:path}", journalled(sandbox, describe_model), methods=["GET"]),
        Route("/sandbox/journal", controls.journal, methods=["GET", "DELETE"]),
        Route("/sandbox/behaviour", controls.behaviour, methods=["GET", "PUT", "DELETE"]),
        Route("/sandbox/faults", controls.faults, methods=["GET", "PUT", "DELETE"]),
        Route("/sandbox/pictures/{name:path}", controls.picture, methods=["GET"], name="picture"),
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={
            404: _refusing_with(sandbox, unknown_path),
            405: _refusing_with(sandbox, wrong_method),
            500: _admit_bug,
        },
    )
    app.router.redirect_slashes = False  # the real API has no such redirects
    return app


async def list_models(visit: Visit) -> Response:
    models = [to_model(model) for model in visit.sandbox.catalogue.alive()]
    return to_response({"object": "list", "data": models})


async def describe_model(visit: Visit) -> Response:
    return to_response(to_model(visit.sandbox.catalogue.describe(visit.request.path_params["model"])))


def unknown_path(request: Request) -> Refusal:
    return Refusal(404, f"Invalid URL ({request.method} {request.url.path})")


def wrong_method(request: Request) -> Refusal:
    hint = "(HINT: Perhaps you meant to use a different HTTP method?)"
    return Refusal(
        405, f"Not allowed to {request.method} on {request.url.path} {hint}", code="method_not_supported"
    )


def _refusing_with(sandbox: Sandbox, make_refusal: Callable[[Request], Refusal]) -> Handler:
    async def refuse(visit: Visit) -> Response:
        raise make_refusal(visit.request)

    async def handle(request: Request, _: Exception) -> Response:
        if request.url.path.startswith("/v1/"):
            return await journalled(sandbox, refuse)(request)
        return to_refused(make_refusal(request))

    return handle


async def _admit_bug(_: Request, error: Exception) -> Response:
    return to_refused(Refusal(500, f"The sandbox has a bug: {error!r}", kind=ErrorType.SERVER))
