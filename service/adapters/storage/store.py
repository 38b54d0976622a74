"""Store image bytes with obstore, in a directory, S3, GCS or Azure.

Names are `<SHA-256 of the content>.<format>`, so that every read can be checked: a
damaged object is deleted and counts as missing, to be made again. Writes are atomic:
a directory gets a file beside the target that is renamed, the others have no half
objects. A directory is not flushed to the disk at once; the check finds the losses of a
power cut.
Failure behaviour: closed and remembered; after a failed write the store counts as
not writable until a probe succeeds, so that no image is paid for in vain. Nothing
waits longer than `StoreTimeouts` says, even if the server stops answering. The
text of an error names no URL, bucket or key; the log has the explanation of *explain*.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import PurePosixPath

import obstore
from cachetools import TTLCache
from obstore import store as obstore_stores

from service.adapters.storage.failures import StoreFailures
from service.adapters.storage.guarded import GuardedStore
from service.adapters.storage.objects import (
    FOLDER,
    PROBE_NAME,
    attributes_of,
    has_fresh,
    is_image_name,
    path_of,
    remove_remains,
)
from service.adapters.storage.opening import StoreTimeouts
from service.domain.errors import ImageMissing, StoreUnavailable
from service.ports.store import StoredImage
from service.ports.telemetry import Telemetry

_PROBE_PAUSE_S = 1.0
_MAX_PROBE_BYTES = 4 * 1024 * 1024
_PIECE_BYTES = 256 * 1024
_REMOTE_PART_BYTES = 1024 * 1024
"""One request each: fewer than pieces, and no more memory than a slow client may hold."""
_PAGE_OBJECTS = 1000
_DELETE_OBJECTS = 100
_CHECKED_S = 3600.0
_log = logging.getLogger(__name__)


class ObjectStore:
    """Implements all of `ports.store` over one store URL.

    *url* is `file:///directory`, `s3://bucket/prefix`, `gs://bucket/prefix` or
    `az://container/prefix`. *options* are obstore's own for that kind of store
    (`endpoint`, `region`, `access_key_id` and so on); obstore takes the rest from
    `AWS_*`, `GOOGLE_*` and `AZURE_*`. Raises `ValueError` if they cannot describe
    a store. A directory that cannot be created is created later.
    """

    def __init__(
        self,
        url: str,
        *,
        options: Mapping[str, str] | None = None,
        timeouts: StoreTimeouts | None = None,
        telemetry: Telemetry | None = None,
        explain: Callable[[str], Mapping[str, str]] | None = None,
    ) -> None:
        self._failures = StoreFailures(telemetry, explain)
        self._timeouts = timeouts or StoreTimeouts()
        self._guarded = GuardedStore(
            url, options=options or {}, timeouts=self._timeouts, failures=self._failures
        )
        self._failed_bytes = 0
        self._probe_at_s = 0.0
        self._checked: TTLCache[str, bool] = TTLCache(10_000, _CHECKED_S)

    async def put(self, name: str, data: bytes) -> None:
        """Implement `ImageStore.put`; a complete object is not sent again, unless a sweep may be about to take it."""
        try:
            async with self._guarded.operation() as store:
                if await has_fresh(store, name, len(data)):
                    return
                await self._guarded.write(store, path_of(name), data, attributes_of(name))
        except (StoreUnavailable, ImageMissing) as error:
            # A missing bucket answers like a missing object.
            self._failures.note_write(error)
            self._failed_bytes = len(data)
            raise StoreUnavailable from error
        self._failures.has_failed_write = False

    async def get(self, name: str) -> bytes:
        """Implement `ImageStore.get`; damaged bytes are deleted and count as missing."""
        async with self._guarded.operation() as store:
            result = await obstore.get_async(store, path_of(name))
            data = bytes(await result.bytes_async())
        digest = await asyncio.to_thread(hashlib.sha256, data)
        await self._require_intact(name, digest.hexdigest())
        return data

    async def is_writable(self) -> bool:
        """Implement `ImageStore.is_writable`; costs nothing while writes succeed."""
        if not self._failures.has_failed_write:
            return True
        if time.monotonic() >= self._probe_at_s:
            self._probe_at_s = time.monotonic() + _PROBE_PAUSE_S
            await self.probe()
        return not self._failures.has_failed_write

    @property
    def is_failing(self) -> bool:
        """Tell if the last write or the last operation at all failed; asks no server."""
        return self._failures.has_failed_write or self._failures.is_troubled

    async def probe(self) -> None:
        """Find out by a small write if the store works; `is_writable` has the result.

        A directory on a disk that was full must take as much as it refused.
        """
        size_bytes = min(self._failed_bytes, _MAX_PROBE_BYTES) if self._guarded.directory else 0
        try:
            async with asyncio.timeout(self._timeouts.probe_s), self._guarded.operation() as store:
                await self._guarded.write(store, PROBE_NAME, bytes(size_bytes) or b"ok", {})
                if size_bytes:
                    await self._guarded.write(store, PROBE_NAME, b"ok", {})
        except (StoreUnavailable, ImageMissing, TimeoutError) as error:
            self._failures.note_write(error)
        else:
            self._failures.has_failed_write = False

    async def size(self, name: str) -> int:
        """Implement `ImageFiles.size`."""
        async with self._guarded.operation() as store:
            size_bytes = int((await obstore.head_async(store, path_of(name)))["size"])
        if size_bytes == 0:
            await self._require_intact(name, hashlib.sha256().hexdigest())
        return size_bytes

    async def read(self, name: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Implement `ImageFiles.read`.

        A whole image is checked on the way, and its last part is held back until then: no reader
        gets all of a damaged one, and none gets it twice. A part alone cannot be checked, so the
        image is read once in full before parts of it are given.
        """
        if start >= end:
            return
        part_bytes = _PIECE_BYTES if self._guarded.directory else _REMOTE_PART_BYTES
        part, size_bytes = await self._read_part(name, start, min(start + part_bytes, end))
        is_whole = start == 0 and end >= size_bytes
        end = min(end, size_bytes)
        if not is_whole:
            await self._check_once(name)
        digest = hashlib.sha256(part)
        while True:
            start += len(part)
            if start >= end and is_whole:
                await self._require_intact(name, digest.hexdigest())
            for offset in range(0, len(part), _PIECE_BYTES):
                yield part[offset : offset + _PIECE_BYTES]
            if start >= end:
                return
            part, _ = await self._read_part(name, start, min(start + part_bytes, end))
            digest.update(part)

    async def verify(self, name: str) -> None:
        """Read an image in full and check it; holds one part of it at a time.

        Raises:
            ImageMissing: it was damaged and is deleted, or it is not there.
            StoreUnavailable: it cannot be read now.
        """
        async for _ in self.read(name, 0, await self.size(name)):
            pass

    async def delete(self, names: Sequence[str]) -> None:
        """Delete images; missing ones are no error.

        Raises:
            StoreUnavailable: some may be left.
        """
        for first in range(0, len(names), _DELETE_OBJECTS):
            paths = [path_of(name) for name in names[first : first + _DELETE_OBJECTS]]
            try:
                await self._delete(paths)
            except ImageMissing:
                # Not every kind of store continues after a missing one.
                for path in paths:
                    with suppress(ImageMissing):
                        await self._delete([path])

    async def modified_s(self, name: str) -> float:
        """Implement `StoreListing.modified_s`."""
        async with self._guarded.operation() as store:
            return (await obstore.head_async(store, path_of(name)))["last_modified"].timestamp()

    async def list(self, part: int | None = None) -> AsyncIterator[StoredImage]:
        """Implement `StoreListing.list`; after a `StoreUnavailable` there may be more.

        The 256 parts are the folders, by the first two digits of the names.
        """
        folder = FOLDER if part is None else f"{FOLDER}/{part:02x}"
        async with self._guarded.operation() as store:
            pages = obstore.list(store, folder, chunk_size=_PAGE_OBJECTS)
        while True:
            async with self._guarded.operation():
                try:
                    page = await anext(pages)
                except StopAsyncIteration:
                    return
            for entry in page:
                name = PurePosixPath(entry["path"]).name
                if is_image_name(name):
                    yield StoredImage(name, int(entry["size"]), entry["last_modified"].timestamp())

    async def remove_remains(self, *, before_s: float) -> int:
        """Implement `StoreCleaner.remove_remains`: the partial files of killed writers in a directory.

        Listings do not show these files. *before_s* (seconds since the epoch) spares
        those that are being written. Buckets have a lifecycle rule for this.

        Raises:
            StoreUnavailable: some may be left.
        """
        if self._guarded.directory is None:
            return 0
        async with self._guarded.operation():
            return await asyncio.to_thread(remove_remains, self._guarded.directory, before_s)

    async def presign(self, name: str, *, ttl_s: int) -> str | None:
        """Return a URL that gives the image to anyone for *ttl_s*; a directory has none.

        Its media type, file name and cache rule were stored with the image.

        Raises:
            StoreUnavailable: there are no credentials to sign with.
        """
        async with self._guarded.operation() as store:
            if isinstance(
                store, (obstore_stores.S3Store, obstore_stores.GCSStore, obstore_stores.AzureStore)
            ):
                return await obstore.sign_async(store, "GET", path_of(name), timedelta(seconds=ttl_s))
        return None

    async def _read_part(self, name: str, start: int, end: int) -> tuple[bytes, int]:
        """Return a part of an image and the size of the whole."""
        async with self._guarded.operation() as store:
            result = await obstore.get_async(store, path_of(name), options={"range": (start, end)})
            return bytes(await result.bytes_async()), int(result.meta["size"])

    async def _check_once(self, name: str) -> None:
        if name not in self._checked:
            await self.verify(name)
            self._checked[name] = True

    async def _require_intact(self, name: str, digest: str) -> None:
        if digest == name.partition(".")[0]:
            return
        _log.error("stored image damaged", extra={"image": name})
        self._checked.pop(name, None)
        with suppress(StoreUnavailable):
            await self.delete([name])
        raise ImageMissing

    async def _delete(self, paths: Sequence[str]) -> None:
        async with self._guarded.operation() as store:
            await obstore.delete_async(store, paths)
