"""Bound every operation of an image store in time, measure it, and translate its errors.

Failure behaviour: closed. A missing bucket is `StoreUnavailable`; only a missing object is
`ImageMissing`, since that drops an entry and pays again.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from time import perf_counter

import obstore
from obstore import store as obstore_stores

from service.adapters.storage.failures import FAILURES, StoreFailures, lacks_bucket
from service.adapters.storage.opening import StoreTimeouts, directory_of, open_remote
from service.domain.errors import ImageMissing, StoreUnavailable
from service.ports.telemetry import StoreAsked, StoreOperation, Telemetry

_UPLOAD_PART_BYTES = 8 * 1024 * 1024
"""Larger objects are uploaded in concurrent parts of this size, so that none takes too long."""


class GuardedStore:
    """One store, by URL; *directory* is None for a remote one.

    Raises `ValueError` if *url* and *options* describe no store. A directory that cannot be
    created now is created later.
    """

    def __init__(
        self,
        url: str,
        *,
        options: Mapping[str, str],
        timeouts: StoreTimeouts,
        failures: StoreFailures,
        telemetry: Telemetry | None,
    ) -> None:
        self.directory = directory_of(url)
        self._failures = failures
        self._telemetry = telemetry
        self._timeouts = timeouts
        self._store = None if self.directory else open_remote(url, options, timeouts)
        with suppress(*FAILURES):
            self._opened()

    @asynccontextmanager
    async def operation(
        self, kind: StoreOperation | None, *, within_s: float = math.inf
    ) -> AsyncIterator[obstore_stores.ObjectStore]:
        """Bound an operation in time, and translate its errors; it is measured, unless *kind* is None.

        *within_s* is the time that its order has left.
        """
        started_s = perf_counter()
        try:
            async with asyncio.timeout(min(within_s, self._timeouts.operation_s)):
                yield self._opened()
            if self._failures.is_troubled:
                self._failures.note_success()
        except FileNotFoundError as error:
            if lacks_bucket(error):
                self._failures.note(error)
                raise StoreUnavailable from error
            raise ImageMissing from error
        except FAILURES as error:
            # Any caller may have little time: that is no failure of the store.
            if not isinstance(error, TimeoutError) or within_s >= self._timeouts.operation_s:
                self._failures.note(error)
            raise StoreUnavailable from error
        finally:
            if self._telemetry is not None and kind is not None:
                self._telemetry.record(StoreAsked(operation=kind, duration_s=perf_counter() - started_s))

    async def write(
        self, store: obstore_stores.ObjectStore, path: str, data: bytes, attributes: dict[str, str]
    ) -> None:
        """Write an object: into a directory in one piece, into a bucket in concurrent parts."""
        if self.directory:
            await obstore.put_async(store, path, data, use_multipart=False)
        else:
            await obstore.put_async(store, path, data, attributes=attributes, chunk_size=_UPLOAD_PART_BYTES)

    async def sign(self, path: str, *, ttl_s: int) -> str | None:
        """Return a URL that gives an object to anyone for *ttl_s*; None for a directory."""
        async with self.operation(None) as store:
            if isinstance(
                store, (obstore_stores.S3Store, obstore_stores.GCSStore, obstore_stores.AzureStore)
            ):
                return await obstore.sign_async(store, "GET", path, timedelta(seconds=ttl_s))
        return None

    def _opened(self) -> obstore_stores.ObjectStore:
        if self._store is None:
            self._store = obstore_stores.LocalStore(self.directory, mkdir=True)
        return self._store
