"""Fetch images that a backend returns as URLs.

The backend is not trusted: its URL must not lead into the operator's network. Public https on
port 443, the backend's own origin and hosts that the operator trusts are allowed. The address is
checked where its socket is created, so neither the spelling of a host nor a second DNS answer
bypasses the check. Follows no redirect; uses no proxy, cookie or key.
Failure behaviour: closed; every failure is `DownloadFailed`, and the image is lost.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver
from httpx_aiohttp import AiohttpTransport

from service.domain.hosts import is_loopback
from service.ports.provider import DownloadFailed

MAX_BYTES = 50 * 1024 * 1024
_CONNECT_S = 5.0
_READ_S = 15.0
_PORTS = {"http": 80, "https": 443}
_HEADERS = {
    "accept": "image/*",
    # Images do not compress, and a compressed answer could be a bomb.
    "accept-encoding": "identity",
    "user-agent": "image-gateway",
}

_UNICAST_6 = ip_network("2000::/3")
_LOCAL_6 = ip_network("fc00::/7")
_TUNNELS = (ip_network("2002::/16"), ip_network("2001::/32"), ip_network("192.88.99.0/24"))
"""6to4, Teredo and the relays of 6to4: they lead to an unchecked IPv4 address."""
_DOCUMENTATION = ip_network("3fff::/20")
_METADATA = frozenset(map(ip_address, ("168.63.129.16", "100.100.100.200", "fd00:ec2::254")))
"""Metadata services of Azure, Alibaba and AWS (IPv6); the others have link-local addresses."""


class DownloadRefused(DownloadFailed):
    """The URL leads to a forbidden address; nothing was sent there."""

    def __init__(self) -> None:
        super().__init__("The image provider linked to an image at an address that is not allowed.")


@dataclass(frozen=True, slots=True)
class _Trusted:
    """A host and its subdomains, at one port."""

    host: str
    port: int

    def covers(self, url: httpx.URL) -> bool:
        host = _host_of(url)
        return _port_of(url) == self.port and (host == self.host or host.endswith(f".{self.host}"))


class ImageDownloads:
    """Implements `ports.provider.Downloads` for the backend at *backend_url*.

    *trusted* hosts (`cdn.corp`, `cdn.corp:8443`) and their subdomains may be in the company's own
    network. *resolver* and *tls* are for tests.
    """

    def __init__(
        self,
        backend_url: str,
        *,
        trusted: Sequence[str] = (),
        max_bytes: int = MAX_BYTES,
        resolver: AbstractResolver | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        backend = httpx.URL(backend_url)
        self._own = _origin_of(backend)
        self._trusted = [_parse_trusted(entry) for entry in trusted]
        self._max_bytes = max_bytes
        tls = tls or httpx.create_ssl_context(trust_env=True)
        inner = _is_inside_or_loopback if is_loopback(backend.host) else is_inside
        self._outside = _open_transport(is_public, resolver, tls)
        self._inside = _open_transport(inner, resolver, tls)

    async def fetch(self, url: str, *, deadline_s: float) -> bytes:
        """Fetch an image; raises `DownloadRefused` for a forbidden address."""
        request, transport = self._prepare(url)
        try:
            async with asyncio.timeout(max(0.0, deadline_s - time.monotonic())):
                return await self._exchange(request, transport)
        except TimeoutError as error:
            raise _failed("it did not come in time") from error
        except httpx.UnsupportedProtocol as error:
            # A numeric host that is not four numbers.
            raise DownloadRefused from error
        # The look-up of an invalid name raises UnicodeError.
        except (httpx.HTTPError, aiohttp.ClientError, OSError, ValueError) as error:
            if _is_refusal(error):
                raise DownloadRefused from error
            raise _failed("the connection failed") from error

    async def aclose(self) -> None:
        """Close every connection."""
        await self._outside.aclose()
        await self._inside.aclose()

    def _prepare(self, text: str) -> tuple[httpx.Request, AiohttpTransport]:
        """Return the request, and the transport that may send it."""
        try:
            url = httpx.URL(text)
        except (httpx.InvalidURL, ValueError) as error:
            raise DownloadRefused from error
        if not url.host or url.userinfo:
            raise DownloadRefused
        if _origin_of(url) == self._own or (
            url.scheme == "https" and any(entry.covers(url) for entry in self._trusted)
        ):
            transport = self._inside
        elif _origin_of(url)[::2] == ("https", 443):
            transport = self._outside
        else:
            raise DownloadRefused
        extensions = {"timeout": {"connect": _CONNECT_S, "read": _READ_S}}
        return httpx.Request("GET", url, headers=_HEADERS, extensions=extensions), transport

    async def _exchange(self, request: httpx.Request, transport: AiohttpTransport) -> bytes:
        async with aclosing(await transport.handle_async_request(request)) as response:
            if response.status_code != httpx.codes.OK:
                raise _failed(f"the answer was {response.status_code}")
            if response.headers.get("content-encoding", "identity").lower() != "identity":
                raise _failed("it is compressed")
            return await self._read(response)

    async def _read(self, response: httpx.Response) -> bytes:
        announced = response.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self._max_bytes:
            raise _failed("it is too large")
        data = bytearray()
        async for chunk in response.aiter_raw():
            data += chunk
            if len(data) > self._max_bytes:
                raise _failed("it is too large")
        if not data:
            raise _failed("it is empty")
        return bytes(data)


class _AddressRefused(OSError):
    """The address of a socket is forbidden."""

    def __init__(self) -> None:
        super().__init__("address refused")


def _open_transport(
    allows: Callable[[IPv4Address | IPv6Address], bool],
    resolver: AbstractResolver | None,
    tls: ssl.SSLContext,
) -> AiohttpTransport:
    """Return a transport that connects only to addresses that *allows* accepts."""

    def make_socket(info: tuple[int, int, int, str, tuple[str, int]]) -> socket.socket:
        family, kind, protocol, _, sockaddr = info
        if not allows(ip_address(sockaddr[0])):
            raise _AddressRefused
        return socket.socket(family, kind, protocol)

    def open_session() -> aiohttp.ClientSession:
        connector = aiohttp.TCPConnector(
            ssl=tls, resolver=resolver, use_dns_cache=False, force_close=True, socket_factory=make_socket
        )
        # True would read proxies and ~/.netrc from the environment.
        return aiohttp.ClientSession(
            connector=connector, trust_env=False, cookie_jar=aiohttp.DummyCookieJar(), read_bufsize=2**20
        )

    # Without *verify* it would load every certificate of the system.
    return AiohttpTransport(verify=tls, client=open_session)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    return address.is_global and is_inside(address) and address not in _LOCAL_6


def is_inside(address: IPv4Address | IPv6Address) -> bool:
    """Tell if an address may be a host, public or internal: no loopback, link-local, multicast or metadata address."""
    if address in _METADATA or any(address in tunnel for tunnel in _TUNNELS):
        return False
    if isinstance(address, IPv6Address):
        # An address that wraps an IPv4 address (mapped, compatible, NAT64) is in neither.
        return (address in _UNICAST_6 or address in _LOCAL_6) and address not in _DOCUMENTATION
    return not (
        address.is_loopback
        or address.is_link_local
        or address.is_multicast
        or address.is_reserved
        or address.packed[0] == 0
    )


def _is_inside_or_loopback(address: IPv4Address | IPv6Address) -> bool:
    """Accept loopback as well: for a backend on this machine, such as the sandbox."""
    return address.is_loopback or is_inside(address)


def _origin_of(url: httpx.URL) -> tuple[str, str, int]:
    host = _host_of(url)
    return url.scheme, "localhost" if is_loopback(host) else host, _port_of(url)


def _host_of(url: httpx.URL) -> str:
    return url.host.removesuffix(".").lower()


def _port_of(url: httpx.URL) -> int:
    return url.port or _PORTS.get(url.scheme, 0)


def _parse_trusted(entry: str) -> _Trusted:
    with suppress(httpx.InvalidURL):
        url = httpx.URL(f"https://{entry.strip().removeprefix('.')}")
        if url.host and not url.userinfo and url.raw_path == b"/":
            return _Trusted(_host_of(url), _port_of(url))
    raise ValueError("A trusted host is written as cdn.corp or cdn.corp:8443.")


def _is_refusal(error: BaseException | None) -> bool:
    """Tell if a refused socket is among the causes; two libraries wrap its exception."""
    while error is not None:
        if isinstance(error, _AddressRefused):
            return True
        error = error.__cause__
    return False


def _failed(reason: str) -> DownloadFailed:
    return DownloadFailed(f"The image that the image provider linked to could not be fetched: {reason}.")
