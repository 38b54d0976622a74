"""Store image bytes with obstore, in a directory, S3, GCS or Azure.

Names are `<SHA-256 of the content>.<format>`, so every read is checked: a damaged object is deleted
and counts as missing. A file that was found good is not checked again within the hour, unless it was
written meanwhile. Writes are atomic; in a directory, a file is written beside its target and renamed. Files are
not flushed to the disk at once; the check finds the losses of a power cut.
Failure behaviour: closed. After a failed write the store counts as not writable until a probe
succeeds, so that no image is paid for in vain. `StoreTimeouts` bound every operation. Errors name
no URL, bucket or key; the log has the explanation of *explain*.
"""

import asyncio
import hashlib
import logging
import math
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import obstore
from cachetools import TTLCache

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
from service.adapters.storage.open_files import OpenFiles
from service.adapters.storage.opening import StoreTimeouts
from service.domain.errors import ImageMissing, StoreUnavailable
from service.ports.store import StoredImage
from service.ports.telemetry import StoreTrouble, Telemetry

_PROBE_PAUSE_S = 1.0
_LEAST_S = 2.0
"""Time for a write whose order has no time left."""
_MAX_PROBE_BYTES = 4 * 1024 * 1024
_PIECE_BYTES = 256 * 1024
_PART_BYTES = 512 * 1024
_REMOTE_PART_BYTES = 1024 * 1024
"""Sizes of one read: fewer reads than pieces, and little memory for a slow client."""
_PAGE_OBJECTS = 1000
_DELETE_OBJECTS = 100
_CHECKED_S = 3600.0
_UNCHECKED, _GOOD = object(), object()
_log = logging.getLogger(__name__)


class _Part(NamedTuple):
    """Some bytes of an image, the size of the whole, and its version, which changes with the bytes; `_GOOD` if it is known."""

    data: bytes | memoryview
    size_bytes: int
    version: object


class ObjectStore:
    """Implements all of `ports.store` over one store URL.

    *url* is `file:///directory`, `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`.
    *options* are obstore's for that scheme, such as `endpoint`, `region` or `access_key_id`; obstore
    reads the rest from `AWS_*`, `GOOGLE_*` and `AZURE_*`. Raises `ValueError` if they describe no
    store. A directory that cannot be created now is created later.
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
            url,
            options=options or {},
            timeouts=self._timeouts,
            failures=self._failures,
            telemetry=telemetry,
        )
        self._failed_bytes = 0
        self._probe_at_s = 0.0
        self._checked: TTLCache[str, object] = TTLCache(10_000, _CHECKED_S)
        """The versions of images that were found good."""
        self._open = OpenFiles(self._guarded.directory, forget=lambda name: self._checked.pop(name, None))

    async def put(self, name: str, data: bytes, *, deadline_s: float = math.inf) -> None:
        """Store an image; into a bucket, unless it is there, complete and fresh.

        A directory takes it without that question, which would cost more than an image that it has already.
        """
        try:
            # It is paid for: a try at least.
            within_s = max(deadline_s - time.monotonic(), _LEAST_S)
            async with self._guarded.operation("write", within_s=within_s) as store:
                if self._guarded.directory is None and await has_fresh(store, name, len(data)):
                    return
                await self._guarded.write(store, path_of(name), data, attributes_of(name))
        except (StoreUnavailable, ImageMissing) as error:
            self._failures.note_write(error)
            self._failed_bytes = len(data)
            raise StoreUnavailable from error
        if self._failures.has_failed_write:
            self._failures.note_success(wrote=True)

    async def get(self, name: str, *, deadline_s: float = math.inf) -> bytes:
        part = await self._read_part(name, within_s=deadline_s - time.monotonic())
        if not self._is_trusted(name, part):
            digest = await asyncio.to_thread(hashlib.sha256, part.data)
            await self._require_intact(name, digest.hexdigest())
            self._checked[name] = part.version
        return bytes(part.data)

    async def is_writable(self) -> bool:
        """Tell if the store takes writes; sends nothing while they succeed."""
        if not self._failures.has_failed_write:
            return True
        if time.monotonic() >= self._probe_at_s:
            self._probe_at_s = math.inf
            try:
                await self.probe()
            finally:
                # Counted from its end: the images of one order must not wait for a probe each.
                self._probe_at_s = time.monotonic() + _PROBE_PAUSE_S
        return not self._failures.has_failed_write

    @property
    def is_failing(self) -> bool:
        """Tell if the last write or the last operation of any kind failed; sends nothing."""
        return self._failures.has_failed_write or self._failures.is_troubled

    @property
    def trouble(self) -> StoreTrouble | None:
        """Return the reason of the latest failure while the store is failing."""
        return self._failures.reason if self.is_failing else None

    async def probe(self) -> None:
        """Try a small write; `is_writable` has the result. A directory must take as much as it refused."""
        self._open.close_old()
        size_bytes = min(self._failed_bytes, _MAX_PROBE_BYTES) if self._guarded.directory else 0
        try:
            async with asyncio.timeout(self._timeouts.probe_s), self._guarded.operation("check") as store:
                await self._guarded.write(store, PROBE_NAME, bytes(size_bytes) or b"ok", {})
                if size_bytes:
                    await self._guarded.write(store, PROBE_NAME, b"ok", {})
        except (StoreUnavailable, ImageMissing, TimeoutError) as error:
            self._failures.note_write(error)
        else:
            self._failures.note_success(wrote=True)

    async def size(self, name: str) -> int:
        known_bytes = self._open.size(name)
        if known_bytes is not None:
            return known_bytes
        async with self._guarded.operation("check") as store:
            size_bytes = int((await obstore.head_async(store, path_of(name)))["size"])
        if size_bytes == 0:
            await self._require_intact(name, hashlib.sha256().hexdigest())
        return size_bytes

    async def read(self, name: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield bytes of an image.

        A whole image is checked on the way, and its last part is withheld until then: no reader
        gets all of a damaged image, and none gets it twice. Before a part of an image is read, the
        image is checked in full, once.
        """
        if start >= end:
            return
        part = await self._read_part(name, start, end)
        is_whole, version = start == 0 and end >= part.size_bytes, part.version
        end = min(end, part.size_bytes)
        digest = hashlib.sha256() if is_whole and not self._is_trusted(name, part) else None
        while True:
            start += len(part.data)
            if digest is not None:
                digest.update(part.data)
                if start >= end:
                    await self._require_intact(name, digest.hexdigest())
                    self._checked[name] = version
            elif not self._is_known(name, part):
                await self.verify(name)
            for offset in range(0, len(part.data), _PIECE_BYTES):
                yield bytes(part.data[offset : offset + _PIECE_BYTES])
            if start >= end:
                return
            part = await self._read_part(name, start, end)

    async def locate(self, name: str) -> str:
        if self._open.size(name) is None:
            async with self._guarded.operation("check") as store:
                version = (await obstore.head_async(store, path_of(name)))["e_tag"]
            if self._checked.get(name, _UNCHECKED) != version:
                await self.verify(name)
            self._open.keep(name, path_of(name), version)
        return path_of(name)

    async def verify(self, name: str) -> None:
        """Read an image in full and check it, one part at a time; raises `ImageMissing` if it is damaged."""
        self._checked.pop(name, None)
        self._open.close(name)
        async for _ in self.read(name, 0, await self.size(name)):
            pass

    async def delete(self, names: Sequence[str]) -> None:
        for name in names:
            self._open.close(name)
        for first in range(0, len(names), _DELETE_OBJECTS):
            paths = [path_of(name) for name in names[first : first + _DELETE_OBJECTS]]
            try:
                await self._delete(paths)
            except ImageMissing:
                # Some stores stop at a missing object.
                for path in paths:
                    with suppress(ImageMissing):
                        await self._delete([path])

    async def modified_s(self, name: str) -> float:
        async with self._guarded.operation("check") as store:
            return (await obstore.head_async(store, path_of(name)))["last_modified"].timestamp()

    async def list(self, part: int | None = None) -> AsyncIterator[StoredImage]:
        # The 256 parts are the folders, by the first two digits of the names.
        folder = FOLDER if part is None else f"{FOLDER}/{part:02x}"
        async with self._guarded.operation(None) as store:
            pages = obstore.list(store, folder, chunk_size=_PAGE_OBJECTS)
        while True:
            async with self._guarded.operation("check"):
                try:
                    page = await anext(pages)
                except StopAsyncIteration:
                    return
            for entry in page:
                name = PurePosixPath(entry["path"]).name
                if is_image_name(name):
                    yield StoredImage(name, int(entry["size"]), entry["last_modified"].timestamp())

    async def remove_remains(self, *, before_s: float) -> int:
        """Delete partial files of a directory, which listings omit; buckets have a lifecycle rule for them."""
        if self._guarded.directory is None:
            return 0
        async with self._guarded.operation("delete"):
            return await asyncio.to_thread(remove_remains, self._guarded.directory, before_s)

    async def presign(self, name: str, *, ttl_s: int) -> str | None:
        # Media type, file name and cache rule of its answer were stored with the image.
        return await self._guarded.sign(path_of(name), ttl_s=ttl_s)

    async def _read_part(
        self, name: str, start: int = 0, end: int | None = None, *, within_s: float = math.inf
    ) -> _Part:
        """Return the bytes from *start* up to *end*, or fewer of many; all without *end*."""
        if name in self._open.files:
            found = self._open.read(name, start, end if end is None else min(start + _PIECE_BYTES, end))
            if found is not None:
                return _Part(*found, _GOOD)
        part_bytes = _PART_BYTES if self._guarded.directory else _REMOTE_PART_BYTES
        options: Any = {} if end is None else {"range": (start, min(start + part_bytes, end))}
        async with self._guarded.operation("read", within_s=within_s) as store:
            result = await obstore.get_async(store, path_of(name), options=options)
            part = _Part(memoryview(await result.bytes_async()), result.meta["size"], result.meta["e_tag"])
        if self._is_trusted(name, part):
            # Asked for again, and so perhaps once more.
            self._open.keep(name, path_of(name), result.meta["e_tag"])
        return part

    def _is_known(self, name: str, part: _Part) -> bool:
        """Tell if the image was found good, and was not written since."""
        return part.version is _GOOD or self._checked.get(name, _UNCHECKED) == part.version

    def _is_trusted(self, name: str, part: _Part) -> bool:
        """Tell if *part* needs no check; what comes from a bucket may be damaged on the way."""
        return self._guarded.directory is not None and self._is_known(name, part)

    async def _require_intact(self, name: str, digest: str) -> None:
        if digest == name.partition(".")[0]:
            return
        _log.error("stored image damaged", extra={"image": name})
        self._checked.pop(name, None)
        with suppress(StoreUnavailable):
            await self.delete([name])
        raise ImageMissing

    async def _delete(self, paths: Sequence[str]) -> None:
        async with self._guarded.operation("delete") as store:
            await obstore.delete_async(store, paths)
