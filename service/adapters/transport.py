"""Reach servers that the operator names: a provider, its moderation endpoint, an issuer's keys.

httpx requests over aiohttp's connections (docs/adr/0003). Failure behaviour: none of its own;
the sender gets the errors of httpx or aiohttp.
"""

from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

from service.domain.hosts import is_loopback

_KEEPALIVE_S = 3.0
"""Longest idle time of a connection that is used again: less than the 5 s after which uvicorn and Node.js close theirs.

A call written into a connection that its server is just closing has an unknown outcome: an image may be
paid for and lost. A new connection costs milliseconds beside the seconds of an image.
"""


def open_transport(url: str, *, connections: int) -> AiohttpTransport:
    """Return a transport for *url*; opens no socket before the first request.

    Honours `HTTPS_PROXY`, `NO_PROXY` and `SSL_CERT_FILE`, but never sends requests
    for this machine through a proxy.
    """
    address = httpx.URL(url)
    verify = httpx.create_ssl_context()

    def open_session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=verify, limit=connections, keepalive_timeout=_KEEPALIVE_S),
            # It would read ~/.netrc along with the proxies, and put other credentials beside the gateway's.
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=2**20,
        )

    proxy = (
        None if is_loopback(address.host) or proxy_bypass(address.host) else getproxies().get(address.scheme)
    )
    return AiohttpTransport(client=open_session, proxy=httpx.Proxy(proxy) if proxy else None)
