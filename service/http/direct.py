"""Call an endpoint with the request and the parameters of its path, and nothing else that FastAPI can do for one.

The image routes read their own bodies and write their own answers. FastAPI matches and documents them as all others, but
solves no dependencies, keeps no exit stacks and serialises nothing: it would cost a sixth of a cached order.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.errors import HANDLED, answer_error


class DirectRoutes:
    """Passes a request for one of *routes* to it, past FastAPI's layers and other routes, and others to *app*."""

    def __init__(self, app: ASGIApp, routes: Iterable[BaseRoute]) -> None:
        self._app = app
        direct = [route for route in routes if isinstance(route, DirectRoute)]
        self._plain = {route.path: [route] for route in direct if not route.param_convertors}
        self._with_parameters = [route for route in direct if route.param_convertors]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for route in self._plain.get(scope["path"], self._with_parameters):
                match, found = route.matches(scope)
                if match is Match.FULL:
                    scope.update(found)
                    await route.handle(scope, receive, send)
                    return
        await self._app(scope, receive, send)


class DirectRoute(APIRoute):
    """A route whose endpoint takes the request, and parameters of the path as texts, and returns the response."""

    def __init__(self, path: str, endpoint: Callable[..., Awaitable[Response]], **options: Any) -> None:
        """Raise `TypeError` for an endpoint that wants more: a query, a header, a body, or a dependency."""
        super().__init__(path, endpoint, **options)
        wants = self.dependant  # codespell:ignore dependant - the name of FastAPI
        if (
            self.body_field is not None
            or wants.dependencies
            or wants.query_params
            or wants.header_params
            or wants.cookie_params
            or wants.request_param_name != "request"
            or any(each.field_info.annotation is not str for each in wants.path_params)
        ):
            raise TypeError(f"{self.name}: a DirectRoute passes the request and texts of the path only.")

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request; failures as `answer_error` does, and crashes not at all."""
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)
            return
        request = Request(scope, receive, send)
        try:
            response = await self.endpoint(request, **scope["path_params"])
        except HANDLED as error:
            response = await answer_error(request, error)
            # An instance that is raised again must not collect the frames of each raise.
            error.__traceback__ = None
        await response(scope, receive, send)
