"""Keep the pages of other web sites out of a gateway that needs no credentials.

A page that a user of this machine or network visits can send requests here, and after rebinding its
own name to this address it can read the answers. So the Host header must name the gateway, and a
request that may spend must not come from another site. Programs send neither header field of a
browser and are not concerned. With credentials the layer is absent: a page has none.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from service.http.errors import Problem
from service.http.headers import NO_RETRY

_EXEMPT = frozenset({"/livez", "/readyz", "/metrics"})
"""Probes and scrapers call by any name, and learn no prompt, link or person."""

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_FROM_OTHERS = frozenset({"cross-site", "same-site"})

UNKNOWN_HOST = Problem(
    403,
    "This gateway does not answer to the name in the Host header. Call it by its address, or list the name in "
    "GATEWAY_ALLOWED_HOSTS.",
    code="host_not_allowed",
    headers=NO_RETRY,
)
OTHER_SITE = Problem(
    403,
    "Pages of this origin may not call this gateway. To allow them, list the origin in GATEWAY_CORS_ORIGINS.",
    code="cross_site_request",
    headers=NO_RETRY,
)


def is_preflight(scope: Scope) -> bool:
    """Tell if a request with OPTIONS is a browser's question whether its page may call; `cross_origin.py` permits it."""
    headers = Headers(scope=scope)
    return "origin" in headers and "access-control-request-method" in headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Sites:
    """The *public_url* of an open gateway, the *hosts* that may name it, and further *origins*.

    Pages of both may order.
    """

    public_url: str
    hosts: frozenset[str] = frozenset()
    origins: frozenset[str] = frozenset()

    def find_foreign(self, scope: Scope) -> Problem | None:
        """Return the answer to a request for another host, or of another site's page."""
        headers = Headers(scope=scope)
        if scope["path"] not in _EXEMPT and not self._is_named(headers.get("host", "")):
            return UNKNOWN_HOST
        if scope["method"] not in _READING and self._is_from_others(headers):
            return OTHER_SITE
        return None

    def _is_named(self, host: str) -> bool:
        """Tell if *host* names this gateway; an address does, because only names can be rebound."""
        if not host:
            return True
        name = _host_of(f"//{host}")
        if not name:
            return False
        if _is_address(name) or name == "localhost" or name.endswith(".localhost"):
            return True
        return name in self.hosts or name == _host_of(self.public_url)

    def _is_from_others(self, headers: Headers) -> bool:
        # Pages can set neither field; a proxy may change the host, which leaves the second.
        if headers.get("sec-fetch-site") == "same-origin":
            return False
        origins = headers.getlist("origin")
        if origins:
            return not all(self._is_allowed(origin, headers) for origin in origins)
        return headers.get("sec-fetch-site") in _FROM_OTHERS

    def _is_allowed(self, origin: str, headers: Mapping[str, str]) -> bool:
        """Tell if *origin* is this gateway's or an allowed one; `null` is that of files and sandboxed frames."""
        if origin in self.origins:
            return True
        _, separator, place = origin.lower().partition("://")
        if not separator:
            return False
        own = (headers.get("host", "").lower(), urlsplit(self.public_url).netloc.lower())
        return place in own or _host_of(origin) in self.hosts


def _host_of(url: str) -> str | None:
    """Return the host of *url* without its port, in lower case; None if it is malformed."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it raises if it is not a number
    except ValueError:
        return None
    return (parts.hostname or "").removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
