"""Reach servers that the operator names: a provider, its moderation endpoint, an issuer's keys.

httpx requests use aiohttp's connections (docs/adr/0003). Errors of httpx and aiohttp pass through.
"""

import base64
import socket
import ssl
import sys
from collections.abc import Callable
from functools import partial
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from httpx_aiohttp.transport import AiohttpResponseStream

from service.domain.hosts import is_loopback

_KEEPALIVE_S = 3.0
"""Longest idle time of a connection: less than the 5 s after which uvicorn and Node.js close theirs.

A call sent while its server closes the connection has an unknown outcome: an image may be paid for
and lost. A new connection costs milliseconds, an image takes seconds.
"""

_PIECE_BYTES = 256 * 1024
"""Read of an answer at once: as much as the loop takes from a socket. Each piece of httpx_aiohttp's 16 kB costs as much."""
_UNREAD_BYTES = 64 * 1024
"""Half of the bytes that a connection reads ahead, beside a piece, while its answer waits to be read."""

_STALLED_S = 300.0
"""Closing a connection waits until its server has read what was written, for ever if that hangs: each call that is given
up would leave a socket behind."""


def open_transport(
    url: str,
    *,
    connections: int,
    traceparent: Callable[[], str] | None = None,
    proxy: str | None = None,
    ca_file: str | None = None,
    stalled_s: float = _STALLED_S,
) -> httpx.AsyncBaseTransport:
    """Return a transport for *url*; opens no socket before the first request.

    With *traceparent*, it adds a header of W3C Trace Context with that value to each request, unless it is empty. *proxy*,
    an `http://` or `https://` URL, is used for all requests, and *ca_file* has the only authorities that are trusted.
    Without them it honours `HTTPS_PROXY`, `NO_PROXY` and `SSL_CERT_FILE`; then requests to this machine use no proxy.
    A connection breaks, where the system can do so, once the server has taken no byte that waits for it for *stalled_s*.

    Raises OSError (ssl.SSLError is one) if *ca_file* cannot be read or has no certificate.
    """
    verify = ssl.create_default_context(cafile=ca_file) if ca_file else httpx.create_ssl_context()

    def open_session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=verify,
                limit=connections,
                keepalive_timeout=_KEEPALIVE_S,
                socket_factory=partial(_open_socket, stalled_s=stalled_s),
            ),
            # True would read ~/.netrc along with the proxies, and send other credentials beside the gateway's.
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=_UNREAD_BYTES,
        )

    proxy = proxy or _proxy_of_environment(url)
    transport = _Transport(verify=verify, client=open_session, proxy=_open_proxy(proxy) if proxy else None)
    transport.traceparent = traceparent
    return transport


def _open_proxy(url: str) -> httpx.Proxy:
    proxy = httpx.Proxy(url)
    if proxy.auth is None:
        return proxy
    # aiohttp deprecates the form in which httpx_aiohttp passes them on; this header it sends as `proxy-authorization`.
    credentials = base64.b64encode(":".join(proxy.auth).encode()).decode()
    return httpx.Proxy(proxy.url, headers={"authorization": f"Basic {credentials}"})


def _open_socket(info: aiohttp.AddrInfoType, *, stalled_s: float) -> socket.socket:
    family, kind, protocol, *_ = info
    opened = socket.socket(family, kind, protocol)
    if sys.platform == "linux":
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(stalled_s * 1000))
    return opened


def _proxy_of_environment(url: str) -> str | None:
    address = httpx.URL(url)
    if is_loopback(address.host) or proxy_bypass(address.host):
        return None
    return getproxies().get(address.scheme)


class _Transport(AiohttpTransport):
    """Adds the header of the trace to requests, and reads answers in large pieces."""

    traceparent: Callable[[], str] | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self.traceparent is not None and (value := self.traceparent()):
            request.headers["traceparent"] = value
        response = await super().handle_async_request(request)
        if isinstance(response.stream, AiohttpResponseStream):
            response.stream.CHUNK_SIZE = _PIECE_BYTES
        return response
