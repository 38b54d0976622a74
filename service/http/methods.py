"""Help requests for another path or method than a route's: name the path that is meant, and the methods it takes."""

from starlette.requests import Request
from starlette.routing import Match

from service.domain.unknown import find_nearest

PATHS = (
    *("/v1/images/generations", "/v1/images/edits", "/v1/images/variations"),
    *("/v1/models", "/v1/usage", "/generate_image", "/livez", "/readyz", "/metrics"),
)
"""Paths that a mistaken one may be meant for."""
_LIKENESS = 0.8

_METHODS = ("DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT")


def allowed_methods(request: Request) -> str:
    """Return the `Allow` field of the path (RFC 9110, 15.5.6): each route knows its own methods, and a path may have several."""
    routes = request.app.routes
    return ", ".join(
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in routes)
    )


def ask_for_path(path: str) -> str:
    """Return a question with the path that *path* may be meant for, or an empty text."""
    path = path.lower()
    nearest = find_nearest(path, PATHS, likeness=_LIKENESS)
    if nearest is None and "image" in path:
        nearest = PATHS[0]
    return f" Did you mean {nearest}?" if nearest else ""
