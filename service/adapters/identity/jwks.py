"""Fetch the keys that an issuer publishes (JWKS, RFC 7517), on demand.

joserfc decides which key may verify a token. An unreadable key set changes nothing, and an
unusable key is skipped.
Failure behaviour: closed. Fetched keys stay in use for a day while their source fails; without
any, no token is accepted.
"""

import asyncio
import logging
import math
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

import aiohttp
import httpx
import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError, SecurityWarning
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import Key, import_key

from service.domain.errors import StateUnavailable, Unauthenticated
from service.domain.hosts import is_loopback
from service.ports.clock import Clock

_LARGEST_KEY_SET_BYTES = 1024 * 1024
_MOST_KEYS = 100
_FIRST_PAUSE_S = 1.0
"""Between two attempts to get the first keys; no token is accepted meanwhile."""
# A compressed answer is not decompressed, so it is not JSON and cannot be a bomb.
_HEADERS = {"accept": "application/json", "accept-encoding": "identity", "user-agent": "image-gateway"}
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class JwksTimes:
    """Seconds after which keys are fetched anew (*refresh_s*) and discarded (*max_stale_s*).

    *miss_pause_s* is the shortest time between two searches for an unknown key, and after a failed fetch.
    """

    refresh_s: float = 300.0
    max_stale_s: float = 86_400.0
    miss_pause_s: float = 10.0
    timeout_s: float = 5.0


class JwksSource:
    """Implements `jwt.KeySource` with the key set at *url*.

    The URL is `https`, `http` on loopback, `file`, or a path. Fetches never overlap.
    """

    def __init__(
        self, url: str, *, client: httpx.AsyncClient, clock: Clock, times: JwksTimes | None = None
    ) -> None:
        self._url, self._path = _parse_address(url)
        self._client = client
        self._clock = clock
        self._times = times or JwksTimes()
        self._fetching = asyncio.Lock()
        self._keys: tuple[Key, ...] = ()
        self._loaded_at_s = self._failed_at_s = self._missed_at_s = -math.inf

    def check_file(self) -> None:
        """Read a key file once, to find a wrong name at startup.

        Raises:
            OSError: the file cannot be read.
            ValueError: it has no usable key.
        """
        if self._path is not None:
            _parse_keys(_read_file(self._path))

    async def find(self, kid: str | None, algorithm: JWSAlgModel) -> Key:
        await self._keep_fresh()
        found = self._fitting(kid, algorithm)
        if not found:
            await self._look_again(kid, algorithm)
            found = self._fitting(kid, algorithm)
        if not found:
            raise Unauthenticated("The token is signed with a key that its issuer does not publish.")
        if kid is None and len(found) > 1:
            raise Unauthenticated("The token does not name the key it is signed with (kid).")
        return found[0]

    async def _keep_fresh(self) -> None:
        # During a fetch, the other callers continue with the present keys.
        if self._is_due() and not (self._is_usable() and self._fetching.locked()):
            async with self._fetching:
                if self._is_due():
                    await self._fetch()
        if not self._is_usable():
            raise StateUnavailable("jwks")

    async def _look_again(self, kid: str | None, algorithm: JWSAlgModel) -> None:
        """Fetch the keys again for an unknown *kid*, unless that was tried recently."""
        async with self._fetching:
            pause_over = self._age_s(self._missed_at_s) >= self._times.miss_pause_s
            if pause_over and not self._fitting(kid, algorithm):
                await self._fetch()
                # Not before: a cancelled caller must not use up the one attempt.
                self._missed_at_s = self._clock.monotonic_s()

    def _is_due(self) -> bool:
        pause_s = self._times.miss_pause_s if self._keys else _FIRST_PAUSE_S
        is_old = self._age_s(self._loaded_at_s) >= self._times.refresh_s
        return is_old and self._age_s(self._failed_at_s) >= pause_s

    def _is_usable(self) -> bool:
        return self._age_s(self._loaded_at_s) <= self._times.max_stale_s

    def _age_s(self, instant_s: float) -> float:
        return self._clock.monotonic_s() - instant_s

    def _fitting(self, kid: str | None, algorithm: JWSAlgModel) -> list[Key]:
        named = self._keys if kid is None else (key for key in self._keys if key.kid == kid)
        return [key for key in named if _is_for(algorithm, key)]

    async def _fetch(self) -> None:
        """Replace the keys, or keep them if the fetch fails."""
        try:
            async with asyncio.timeout(self._times.timeout_s):
                document = await self._read()
            keys = _parse_keys(document)
        except (TimeoutError, OSError, httpx.HTTPError, aiohttp.ClientError, ValueError) as error:
            self._failed_at_s = self._clock.monotonic_s()
            _log.warning("jwks unavailable", extra={"reason": type(error).__name__, "detail": str(error)})
        else:
            self._keys = keys
            self._loaded_at_s = self._clock.monotonic_s()

    async def _read(self) -> bytes:
        if self._path is not None:
            return await asyncio.to_thread(_read_file, self._path)
        # A redirect could lead anywhere, this machine included.
        async with self._client.stream(
            "GET", self._url, headers=_HEADERS, follow_redirects=False
        ) as response:
            if response.status_code != httpx.codes.OK:
                raise ValueError(f"status {response.status_code}")
            document = bytearray()
            async for chunk in response.aiter_raw():
                document += chunk
                if len(document) > _LARGEST_KEY_SET_BYTES:
                    raise ValueError("too large")
        return bytes(document)


def _is_for(algorithm: JWSAlgModel, key: Key) -> bool:
    try:
        algorithm.check_key(key)
        key.check_key_op("verify")
    except JoseError:
        return False
    return True


def _parse_address(url: str) -> tuple[str, Path | None]:
    """Return the URL, and the path if it names a file.

    Raises:
        ValueError: it is not an address to fetch keys from safely.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in ("", "localhost"):
        return url, Path(url2pathname(parts.path))
    if not parts.scheme and not parts.netloc and parts.path:
        return url, Path(url)
    try:
        address = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ValueError("the address of the keys is not a URL") from error
    is_safe = address.scheme == "https" or (address.scheme == "http" and is_loopback(address.host))
    if not is_safe or not address.host or address.userinfo:
        raise ValueError(
            "keys come from an https URL without credentials, an http URL on loopback, or a file"
        )
    return url, None


def _read_file(path: Path) -> bytes:
    with path.open("rb") as file:
        document = file.read(_LARGEST_KEY_SET_BYTES + 1)
    if len(document) > _LARGEST_KEY_SET_BYTES:
        raise ValueError("too large")
    return document


def _parse_keys(document: bytes) -> tuple[Key, ...]:
    """Return the usable keys of a JWKS (RFC 7517, 5).

    Raises:
        ValueError: it is not a key set, or has no usable key.
    """
    value = orjson.loads(document)
    entries = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(entries, list) or len(entries) > _MOST_KEYS:
        raise ValueError("not a key set")
    keys = tuple(key for entry in entries if isinstance(entry, dict) and (key := _import_key(entry)))
    if not keys:
        raise ValueError("no usable key")
    return keys


def _import_key(entry: dict[str, Any]) -> Key | None:
    try:
        # joserfc only warns about short RSA keys (RFC 7518, 3.3).
        with warnings.catch_warnings(action="error", category=SecurityWarning):
            key = import_key(entry)
    except (JoseError, SecurityWarning, UnsupportedAlgorithm, ValueError, TypeError, LookupError):
        return None
    # Symmetric keys count as private; with a published private key, anyone can sign.
    return None if key.is_private else key
