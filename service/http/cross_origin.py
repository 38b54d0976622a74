"""Let web pages of listed origins call the gateway from a browser (CORS); without any, `access.py` refuses each preflight.

Before `access.py`: a browser asks before it sends a key, and a page reads refusals, too. Credentials are headers, never
cookies.
An open gateway also checks the origin of each order (`sites.py`), which a page could send without asking.
"""

from collections.abc import Collection

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from service.http.errors import Problem
from service.http.sites import OTHER_SITE

_UNKNOWN_METHOD = Problem(
    400, "Access-Control-Request-Method must name a method of HTTP, such as POST.", code="malformed_request"
)


class CrossOrigin(CORSMiddleware):
    """Answers preflights, and adds the permission to answers for *origins*; `*` is every origin."""

    def __init__(self, app: ASGIApp, origins: Collection[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            # Routes answer a wrong method, in the envelope; SDKs send many headers of their own.
            allow_methods=("*",),
            allow_headers=("*",),
            expose_headers=("*",),
            # The operator lists the origin, and gateways are on private networks.
            allow_private_network=True,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """Return the answer to a preflight; a refusal has the envelope of all errors."""
        if not self.is_allowed_origin(request_headers["origin"]):
            return OTHER_SITE.response({"vary": "origin"})
        permission = super().preflight_response(request_headers)
        # Methods that no route has; Starlette words it as text.
        return permission if permission.status_code == 200 else _UNKNOWN_METHOD.response({"vary": "origin"})
