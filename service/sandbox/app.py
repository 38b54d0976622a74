"""Build the ASGI application: a route for each endpoint.

Owns the routes and the envelopes of 404, 405 and 500. Opens nothing: `server` opens the parts of the `Sandbox`.
"""

from collections.abc import Awaitable, Callable
from functools import partial

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.sandbox.endpoints.azure import classic, of_deployment, of_v1
from service.sandbox.endpoints.controls import Controls
from service.sandbox.endpoints.edits import edit, vary
from service.sandbox.endpoints.generations import generate
from service.sandbox.endpoints.model_list import (
    describe_azure_model,
    describe_model,
    list_azure_models,
    list_models,
)
from service.sandbox.endpoints.moderations import moderate
from service.sandbox.journal.journaled_requests import JournaledRequest, keep_journal
from service.sandbox.parts import Sandbox
from service.sandbox.wire.azure_refusals import resource_not_found
from service.sandbox.wire.error_envelope import ErrorType, Refusal, unknown_path
from service.sandbox.wire.json_bodies import to_refused
from service.sandbox.wire.kinds import Kind

Handler = Callable[[Request, Exception], Awaitable[Response]]
Endpoint = Callable[[Sandbox, JournaledRequest], Awaitable[Response]]


def build_app(sandbox: Sandbox, *, has_controls: bool) -> Starlette:
    """Return the application; without controls, no one can read the prompts or change the behaviour."""
    controls = Controls(sandbox)
    routes = [
        *(_route_azure(sandbox) if sandbox.kind is Kind.AZURE else _route_openai(sandbox)),
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
            404: _refusing_with(sandbox, lambda request: unknown_path(request.method, request.url.path)),
            405: _refusing_with(sandbox, wrong_method),
            500: _admit_bug,
        },
    )
    app.router.redirect_slashes = False  # the real API has no such redirects
    return app


def _route_openai(sandbox: Sandbox) -> list[Route]:
    return [
        _route(sandbox, "POST", "/v1/images/generations", generate),
        _route(sandbox, "POST", "/v1/images/edits", edit),
        _route(sandbox, "POST", "/v1/images/variations", vary),
        _route(sandbox, "POST", "/v1/moderations", moderate),
        _route(sandbox, "GET", "/v1/models", list_models),
        _route(sandbox, "GET", "/v1/models/{model:path}", describe_model),
    ]


def _route_azure(sandbox: Sandbox) -> list[Route]:
    deployment = "/openai/deployments/{deployment}/images"
    return [
        _route(sandbox, "POST", f"{deployment}/generations", of_deployment(generate)),
        _route(sandbox, "POST", f"{deployment}/edits", of_deployment(edit)),
        _route(sandbox, "GET", "/openai/models", classic(list_azure_models)),
        _route(sandbox, "GET", "/openai/models/{model}", classic(describe_azure_model)),
        _route(sandbox, "POST", "/openai/v1/images/generations", of_v1(generate)),
        _route(sandbox, "POST", "/openai/v1/images/edits", of_v1(edit)),
        _route(sandbox, "GET", "/openai/v1/models", of_v1(list_azure_models)),
        _route(sandbox, "GET", "/openai/v1/models/{model}", of_v1(describe_azure_model)),
    ]


def _route(sandbox: Sandbox, method: str, path: str, endpoint: Endpoint) -> Route:
    return Route(path, _journaled(sandbox, partial(endpoint, sandbox)), methods=[method])


def _journaled(
    sandbox: Sandbox, endpoint: Callable[[JournaledRequest], Awaitable[Response]]
) -> Callable[[Request], Awaitable[Response]]:
    return keep_journal(sandbox.journal, sandbox.conduct, sandbox.kind, endpoint)


def wrong_method(request: Request) -> Refusal:
    hint = "(HINT: Perhaps you meant to use a different HTTP method?)"
    return Refusal(
        405, f"Not allowed to {request.method} on {request.url.path} {hint}", code="method_not_supported"
    )


def _refusing_with(sandbox: Sandbox, make_refusal: Callable[[Request], Refusal]) -> Handler:
    async def refuse(journaled: JournaledRequest) -> Response:
        # Azure does not tell a wrong method from an unknown path.
        raise resource_not_found() if sandbox.kind is Kind.AZURE else make_refusal(journaled.request)

    async def handle(request: Request, _: Exception) -> Response:
        if request.url.path.startswith(("/v1/", "/openai/")):
            return await _journaled(sandbox, refuse)(request)
        return to_refused(make_refusal(request))

    return handle


async def _admit_bug(_: Request, error: Exception) -> Response:
    return to_refused(Refusal(500, f"The sandbox has a bug: {error!r}", kind=ErrorType.SERVER))
