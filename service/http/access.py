"""Authenticate callers: one ASGI layer in front of all routes, deny by default.

A few routes are open in every mode, and `/admin` is for admins. All others need credentials,
except in open mode, where a bearer token only identifies the user, and `sites.py` keeps out the pages
of other web sites. A port of their own serves metrics without credentials, and nothing else.
"""

import hmac
import re
from ipaddress import IPv4Address, IPv6Network, ip_address

from starlette.types import ASGIApp, Receive, Scope, Send

from service.domain.callers import Caller, Role
from service.domain.errors import GatewayError, PermissionDenied, Unauthenticated
from service.gateway.accounts.identify import ANYONE, Identity
from service.http.errors import UNKNOWN_URL, Problem, describe
from service.http.services import HttpServices, services_of
from service.http.sites import OTHER_SITE, is_preflight

OPEN_ROUTES = frozenset(
    {
        *("/", "/admin"),
        *("/docs", "/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/openapi.json"),
        *("/livez", "/readyz"),
    }
)
"""Routes without credentials in any mode."""

FILES_OF_PAGES = "/web/"
_LINK = re.compile(r"/v1/images/files/[^/]+")
_FOR_ADMINS = ("/admin/", "/metrics/")
_MAX_TOKEN_BYTES = 8192
_OF_METRICS = Problem(404, "This port serves /metrics only.", code=UNKNOWN_URL)
_NO_METRICS = Problem(404, "Metrics have a port of their own (GATEWAY_METRICS_PORT).", code=UNKNOWN_URL)
_MISSING = "Set GATEWAY_ADMIN_KEY to administer a gateway whose GATEWAY_AUTH is open."


class Access:
    """Puts the `Identity` of each caller into `scope["state"]["identity"]`, or refuses the request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            services = services_of(scope)
            problem = _find_misplaced(scope, services) or _find_foreign(scope, services)
            if problem is None:
                try:
                    scope["state"]["identity"] = await _admit(scope, services)
                except GatewayError as error:
                    problem = describe(error)
            if problem is not None:
                await problem.response()(scope, receive, send)
                return
        await self._app(scope, receive, send)


def caller_of(scope: Scope, services: HttpServices, *, named_user: str | None) -> Caller:
    """Return the caller; *named_user* is the `user` of the request, used if the credentials allow it."""
    return services.accounts.callers.caller_of(scope["state"]["identity"], named_user, holder_of(scope))


def holder_of(scope: Scope) -> str:
    """Name the holder of bytes and of turns at workers: a key, or a user with a token; without either, an address."""
    if services_of(scope).accounts.is_open:
        # Anyone may invent users.
        client = scope.get("client")
        return name_network(client[0]) if client else ""
    identity = scope["state"]["identity"]
    return identity.key_id or f"{identity.team} {identity.user}"


def name_network(address: str) -> str:
    """Return the network whose addresses one caller has: with IPv6, 64 bits of them."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv4Address):
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(IPv6Network((int(parsed), 64), strict=False))


def is_open_route(method: str, path: str) -> bool:
    """Tell if a request needs no credentials: a signed link is a credential itself."""
    if method not in ("GET", "HEAD"):
        return False
    return path in OPEN_ROUTES or path.startswith(FILES_OF_PAGES) or _LINK.fullmatch(path) is not None


def _is_on_metrics_port(scope: Scope, services: HttpServices) -> bool:
    """Tell if the request came in through the port of metrics, whatever its Host field says."""
    return services.accounts.metrics_port is not None and scope["server"][1] == services.accounts.metrics_port


def _find_misplaced(scope: Scope, services: HttpServices) -> Problem | None:
    """Return the answer to a request for metrics at the main port, or for all else at that of metrics."""
    is_for_metrics = scope["path"] == "/metrics"
    if services.accounts.metrics_port is None or is_for_metrics == _is_on_metrics_port(scope, services):
        return None
    return _NO_METRICS if is_for_metrics else _OF_METRICS


def _find_foreign(scope: Scope, services: HttpServices) -> Problem | None:
    """Return the answer to a page of another web site."""
    if _is_on_metrics_port(scope, services):
        return None
    if scope["method"] == "OPTIONS" and is_preflight(scope):
        # Before credentials, which it never has: its page sends nothing else, so this must name the setting.
        return OTHER_SITE
    sites = services.accounts.sites
    return sites.find_foreign(scope) if sites is not None else None


async def _admit(scope: Scope, services: HttpServices) -> Identity:
    path = scope["path"]
    if is_open_route(scope["method"], path) or _is_on_metrics_port(scope, services):
        return ANYONE
    token = _bearer_token(scope, is_required=not services.accounts.is_open)
    if path == "/metrics" and (services.accounts.is_open or _is_metrics_key(services, token)):
        return ANYONE
    is_for_admins = f"{path}/".startswith(_FOR_ADMINS)
    identity = await services.accounts.callers.identify(token, afresh=is_for_admins)
    if is_for_admins and identity.role is not Role.ADMIN:
        raise PermissionDenied(
            _MISSING if services.accounts.is_open else "This route needs a key with the role 'admin'."
        )
    return identity


def _bearer_token(scope: Scope, *, is_required: bool) -> str | None:
    """Return the token of the one `Authorization: Bearer` header, or of Azure's `api-key`.

    Open mode ignores other schemes.
    """
    values = [value for name, value in scope["headers"] if name == b"authorization"]
    azure = [b"Bearer " + value for name, value in scope["headers"] if name == b"api-key"]
    if azure != values:  # openai-python 1.x sends its key in both
        values += azure
    if not values:
        return None
    scheme, _, token = values[0].partition(b" ")
    token = token.strip()
    if is_required and scheme.lower() == b"bearer" and len(token) > _MAX_TOKEN_BYTES:
        raise Unauthenticated(f"The key or token is longer than {_MAX_TOKEN_BYTES} bytes.")
    if len(values) == 1 and scheme.lower() == b"bearer" and 0 < len(token) <= _MAX_TOKEN_BYTES:
        return str(token.decode("latin-1"))
    if is_required:
        raise Unauthenticated(
            "Invalid credentials: send one header, 'Authorization: Bearer YOUR_KEY' or 'api-key: YOUR_KEY'."
        )
    return None


def _is_metrics_key(services: HttpServices, token: str | None) -> bool:
    key = services.accounts.metrics_key
    return (
        key is not None
        and token is not None
        and hmac.compare_digest(key.encode(), token.encode("utf-8", "surrogatepass"))
    )
