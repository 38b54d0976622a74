"""Where image bytes live: obstore over a directory, S3, GCS or Azure.

Names are made by the gateway from the content's digest. Writes are atomic: obstore
writes a local file beside its target and renames it.
Failure behaviour: closed and remembered; after a failed write the store counts as
not writable until a probe succeeds, so that no picture is paid for in vain.
"""

import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from obstore import get_async, get_range_async, head_async, put_async
from obstore import store as obstore_stores
from obstore.exceptions import BaseError

from service.domain.errors import ImageMissing, StoreUnavailable

_PROBE_NAME = "probe"
_PROBE_PAUSE_S = 1.0
_CHUNK_BYTES = 256 * 1024


class ObjectStore:
    """Implements `ports.ImageStore` and `ports.ImageFiles` over one store URL."""

    def __init__(self, url: str) -> None:
        self._store = _open(url)
        self._failed = False
        self._probe_at_s = 0.0

    async def put(self, name: str, data: bytes) -> None:
        """Implement `ImageStore.put`."""
        try:
            await put_async(self._store, _path(name), data)
        except (BaseError, OSError) as error:
            self._failed = True
            raise StoreUnavailable from error
        self._failed = False

    async def get(self, name: str) -> bytes:
        """Implement `ImageStore.get`."""
        with _translated_errors():
            result = await get_async(self._store, _path(name))
            return bytes(await result.bytes_async())

    async def is_writable(self) -> bool:
        """Implement `ImageStore.is_writable`; costs nothing while writes succeed."""
        if not self._failed:
            return True
        if time.monotonic() >= self._probe_at_s:
            self._probe_at_s = time.monotonic() + _PROBE_PAUSE_S
            await self.probe()
        return not self._failed

    async def probe(self) -> None:
        """Find out by a small write whether the store works; `is_writable` tells."""
        try:
            await put_async(self._store, _PROBE_NAME, b"ok")
        except (BaseError, OSError):
            self._failed = True
        else:
            self._failed = False

    async def size(self, name: str) -> int:
        """Implement `ImageFiles.size`."""
        with _translated_errors():
            return int((await head_async(self._store, _path(name)))["size"])

    async def read(self, name: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Implement `ImageFiles.read`."""
        while start < end:
            part_end = min(start + _CHUNK_BYTES, end)
            with _translated_errors():
                yield bytes(await get_range_async(self._store, _path(name), start=start, end=part_end))
            start = part_end


def _path(name: str) -> str:
    # Two hex digits of fan-out keep directories small on file systems that mind.
    return f"images/{name[:2]}/{name}"


def _open(url: str) -> obstore_stores.ObjectStore:
    parts = urlsplit(url)
    if parts.scheme == "file":
        return obstore_stores.LocalStore(Path(unquote(parts.path)), mkdir=True)
    return obstore_stores.from_url(url)


@contextmanager
def _translated_errors() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise ImageMissing from error
    except (BaseError, OSError) as error:
        raise StoreUnavailable from error
