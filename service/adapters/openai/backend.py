"""A backend that speaks the OpenAI Images API over HTTP.

Requests are httpx objects handed straight to the aiohttp transport: the client
around it costs more CPU than the whole exchange (docs/performance.md).
"""

from collections.abc import Callable
from dataclasses import dataclass
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx
from aiolimiter import AsyncLimiter
from httpx_aiohttp import AiohttpTransport

from service.adapters.openai import failures, wire
from service.domain.errors import CallFailure
from service.domain.images import CallMade, ImageCall, Realm

_KEEPALIVE_S = 15.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
_MAX_ANSWER_BYTES_PER_IMAGE = 64 * 1024 * 1024
"""More than base64 of the largest picture any model makes (8.3 megapixels of raw RGBA)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackendAddress:
    """Where a backend is and how we show who we are; *url* ends with `/v1` or the like."""

    name: str
    realm: Realm
    url: str
    api_key: str
    organization: str | None = None
    project: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds to get a connection from the pool, to connect, and between two reads."""

    pool_s: float = 10.0
    connect_s: float = 5.0
    read_s: float = 300.0


def open_transport(url: str, *, connections: int) -> AiohttpTransport:
    """Return a transport for *url*; opens no socket before the first request.

    Honours `HTTPS_PROXY`, `NO_PROXY` and `SSL_CERT_FILE`, but never sends what is
    meant for this machine through a proxy.
    """
    address = httpx.URL(url)
    verify = httpx.create_ssl_context()

    def open_session() -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=verify, limit=connections, keepalive_timeout=_KEEPALIVE_S),
            # It would read ~/.netrc along with the proxies, and put other credentials beside ours.
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            read_bufsize=2**20,
        )

    proxy = (
        None if address.host in _LOOPBACK or proxy_bypass(address.host) else getproxies().get(address.scheme)
    )
    return AiohttpTransport(client=open_session, proxy=httpx.Proxy(proxy) if proxy else None)


class OpenAIBackend:
    """Implements `ports.Backend`. *pace* limits images per minute; it waits, it never refuses."""

    def __init__(
        self,
        address: BackendAddress,
        *,
        transport: httpx.AsyncBaseTransport,
        timeouts: Timeouts,
        pace: AsyncLimiter | None,
    ) -> None:
        self.name = address.name
        self.realm = address.realm
        self._transport = transport
        self._pace = pace
        self._url = httpx.URL(f"{address.url.rstrip('/')}/images/generations")
        self._headers = _headers(address)
        self._extensions = {
            "timeout": {"pool": timeouts.pool_s, "connect": timeouts.connect_s, "read": timeouts.read_s}
        }

    async def make(self, call: ImageCall, paced: Callable[[], None]) -> CallMade | CallFailure:
        """Implement `Backend.make`."""
        if self._pace is not None:
            # More than the bucket holds could never be taken at once.
            await self._pace.acquire(min(call.n, self._pace.max_rate))
        request = httpx.Request(
            "POST",
            self._url,
            headers=self._headers,
            content=wire.encode_generation(call),
            extensions=self._extensions,
        )
        paced()
        try:
            return await self._exchange(request, limit_bytes=call.n * _MAX_ANSWER_BYTES_PER_IMAGE)
        except (httpx.HTTPError, aiohttp.ClientError) as error:
            return failures.classify_exception(error)

    async def _exchange(self, request: httpx.Request, *, limit_bytes: int) -> CallMade | CallFailure:
        response = await self._transport.handle_async_request(request)
        try:
            body = await _read(response, limit_bytes)
        finally:
            await response.aclose()
        if body is None:
            return failures.broken("The image provider's answer is larger than any picture it could hold.")
        if response.status_code != httpx.codes.OK:
            return failures.classify_answer(response.status_code, response.headers, wire.decode_json(body))
        try:
            return wire.decode_answer(body)
        except wire.NotUnderstood:
            return failures.broken("The image provider's answer cannot be understood.", status=200)


async def _read(response: httpx.Response, limit_bytes: int) -> bytes | None:
    """Read the whole body, or return None once it is larger than *limit_bytes*."""
    chunks: list[bytes] = []
    size_bytes = 0
    async for chunk in response.aiter_raw():
        size_bytes += len(chunk)
        if size_bytes > limit_bytes:
            return None
        chunks.append(chunk)
    return b"".join(chunks)


def _headers(address: BackendAddress) -> dict[str, str]:
    headers = {
        "authorization": f"Bearer {address.api_key}",
        "content-type": "application/json",
        "accept": "application/json",
        # Pictures do not compress, and an answer that does could be a bomb.
        "accept-encoding": "identity",
        "user-agent": "image-gateway",
    }
    if address.organization:
        headers["openai-organization"] = address.organization
    if address.project:
        headers["openai-project"] = address.project
    return headers
