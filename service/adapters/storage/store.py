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
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import obstore
from cachetools import TTLCache
from obstore import store as obstore_stores
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from service.domain.delivering import delivery_headers
from service.domain.errors import ImageMissing, StoreUnavailable
from service.ports.store import StoredImage
from service.ports.telemetry import StoreFailed, StoreTrouble, Telemetry

_FOLDER = "images"
_NAME = re.compile(r"[0-9a-f]{64}\.[a-z]+")
_REMAINS = re.compile(r".+#\d+")
"""Files obstore writes beside their target before it renames them."""
_PROBE_NAME = "probe"
_PROBE_PAUSE_S = 1.0
_MAX_PROBE_BYTES = 4 * 1024 * 1024
_PIECE_BYTES = 256 * 1024
_REMOTE_PART_BYTES = 1024 * 1024
"""One request each: fewer than pieces, and no more memory than a slow client may hold."""
_UPLOAD_PART_BYTES = 8 * 1024 * 1024
"""Larger objects go up in parts of this size, side by side, so that none outlasts its time."""
_PAGE_OBJECTS = 1000
_DELETE_OBJECTS = 100
_CHECKED_S = 3600.0
_FRESH_S = 1800.0
"""Half the age at which retention deletes unreferenced bytes: a younger object is as good as new."""
_NO_BUCKET = ("NoSuchBucket", "bucket does not exist", "ContainerNotFound")
_FAILURES = (BaseError, OSError, ValueError, NotImplementedError)
_DENIED = (PermissionDeniedError, UnauthenticatedError, PermissionError)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreTimeouts:
    """Seconds to connect, for a request with its body, for an operation of several, for a probe."""

    connect_s: float = 2.0
    request_s: float = 10.0
    operation_s: float = 20.0
    probe_s: float = 3.0


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
        self._telemetry = telemetry
        self._explain = explain or (lambda _: {})
        self._is_troubled = False
        self._timeouts = timeouts or StoreTimeouts()
        self._directory = _directory_of(url)
        self._store = None if self._directory else _open_remote(url, options or {}, self._timeouts)
        with suppress(*_FAILURES):
            self._opened()
        self._failed = False
        self._failed_bytes = 0
        self._probe_at_s = 0.0
        self._checked: TTLCache[str, bool] = TTLCache(10_000, _CHECKED_S)

    async def put(self, name: str, data: bytes) -> None:
        """Implement `ImageStore.put`; a complete object is not sent again, unless a sweep may be about to take it."""
        try:
            async with self._guarded() as store:
                if await _has_fresh(store, name, len(data)):
                    return
                await self._write(store, _path(name), data, _attributes(name))
        except (StoreUnavailable, ImageMissing) as error:
            # A missing bucket answers like a missing object.
            self._note_failure(error)
            self._failed_bytes = len(data)
            raise StoreUnavailable from error
        self._failed = False

    async def get(self, name: str) -> bytes:
        """Implement `ImageStore.get`; damaged bytes are deleted and count as missing."""
        async with self._guarded() as store:
            result = await obstore.get_async(store, _path(name))
            data = bytes(await result.bytes_async())
        digest = await asyncio.to_thread(hashlib.sha256, data)
        await self._require_intact(name, digest.hexdigest())
        return data

    async def is_writable(self) -> bool:
        """Implement `ImageStore.is_writable`; costs nothing while writes succeed."""
        if not self._failed:
            return True
        if time.monotonic() >= self._probe_at_s:
            self._probe_at_s = time.monotonic() + _PROBE_PAUSE_S
            await self.probe()
        return not self._failed

    @property
    def is_failing(self) -> bool:
        """Tell if the last write or the last operation at all failed; asks no server."""
        return self._failed or self._is_troubled

    async def probe(self) -> None:
        """Find out by a small write if the store works; `is_writable` has the result.

        A directory on a disk that was full must take as much as it refused.
        """
        size_bytes = min(self._failed_bytes, _MAX_PROBE_BYTES) if self._directory else 0
        try:
            async with asyncio.timeout(self._timeouts.probe_s), self._guarded() as store:
                await self._write(store, _PROBE_NAME, bytes(size_bytes) or b"ok", {})
                if size_bytes:
                    await self._write(store, _PROBE_NAME, b"ok", {})
        except (StoreUnavailable, ImageMissing, TimeoutError) as error:
            self._note_failure(error)
        else:
            self._failed = False

    async def size(self, name: str) -> int:
        """Implement `ImageFiles.size`."""
        async with self._guarded() as store:
            size_bytes = int((await obstore.head_async(store, _path(name)))["size"])
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
        part_bytes = _PIECE_BYTES if self._directory else _REMOTE_PART_BYTES
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
            paths = [_path(name) for name in names[first : first + _DELETE_OBJECTS]]
            try:
                await self._delete(paths)
            except ImageMissing:
                # Not every kind of store continues after a missing one.
                for path in paths:
                    with suppress(ImageMissing):
                        await self._delete([path])

    async def modified_s(self, name: str) -> float:
        """Implement `StoreListing.modified_s`."""
        async with self._guarded() as store:
            return (await obstore.head_async(store, _path(name)))["last_modified"].timestamp()

    async def list(self, part: int | None = None) -> AsyncIterator[StoredImage]:
        """Implement `StoreListing.list`; after a `StoreUnavailable` there may be more.

        The 256 parts are the folders, by the first two digits of the names.
        """
        folder = _FOLDER if part is None else f"{_FOLDER}/{part:02x}"
        async with self._guarded() as store:
            pages = obstore.list(store, folder, chunk_size=_PAGE_OBJECTS)
        while True:
            async with self._guarded():
                try:
                    page = await anext(pages)
                except StopAsyncIteration:
                    return
            for entry in page:
                name = PurePosixPath(entry["path"]).name
                if _NAME.fullmatch(name):
                    yield StoredImage(name, int(entry["size"]), entry["last_modified"].timestamp())

    async def remove_remains(self, *, before_s: float) -> int:
        """Implement `StoreCleaner.remove_remains`: the partial files of killed writers in a directory.

        Listings do not show these files. *before_s* (seconds since the epoch) spares
        those that are being written. Buckets have a lifecycle rule for this.

        Raises:
            StoreUnavailable: some may be left.
        """
        if self._directory is None:
            return 0
        async with self._guarded():
            return await asyncio.to_thread(_remove_remains, self._directory, before_s)

    async def presign(self, name: str, *, ttl_s: int) -> str | None:
        """Return a URL that gives the image to anyone for *ttl_s*; a directory has none.

        Its media type, file name and cache rule were stored with the image.

        Raises:
            StoreUnavailable: there are no credentials to sign with.
        """
        async with self._guarded() as store:
            if isinstance(
                store, (obstore_stores.S3Store, obstore_stores.GCSStore, obstore_stores.AzureStore)
            ):
                return await obstore.sign_async(store, "GET", _path(name), timedelta(seconds=ttl_s))
        return None

    @asynccontextmanager
    async def _guarded(self) -> AsyncIterator[obstore_stores.ObjectStore]:
        """Bound an operation in time and translate its errors."""
        try:
            async with asyncio.timeout(self._timeouts.operation_s):
                yield self._opened()
            self._is_troubled = False
        except FileNotFoundError as error:
            if any(mark in str(error) for mark in _NO_BUCKET):
                self._tell(error)
                # Missing would drop the entry and pay again.
                raise StoreUnavailable from error
            raise ImageMissing from error
        except _FAILURES as error:
            self._tell(error)
            raise StoreUnavailable from error

    def _tell(self, error: BaseException) -> None:
        self._is_troubled = True
        if self._telemetry is not None:
            self._telemetry.record(StoreFailed(reason=_reason_of(error)))

    def _opened(self) -> obstore_stores.ObjectStore:
        if self._store is None:
            self._store = obstore_stores.LocalStore(self._directory, mkdir=True)
        return self._store

    async def _write(
        self, store: obstore_stores.ObjectStore, path: str, data: bytes, attributes: dict[str, str]
    ) -> None:
        if self._directory:
            await obstore.put_async(store, path, data, use_multipart=False)
        else:
            await obstore.put_async(store, path, data, attributes=attributes, chunk_size=_UPLOAD_PART_BYTES)

    async def _read_part(self, name: str, start: int, end: int) -> tuple[bytes, int]:
        """Return a part of an image and the size of the whole."""
        async with self._guarded() as store:
            result = await obstore.get_async(store, _path(name), options={"range": (start, end)})
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
        async with self._guarded() as store:
            await obstore.delete_async(store, paths)

    def _note_failure(self, error: BaseException) -> None:
        if not isinstance(error, StoreUnavailable):
            # Not reported yet.
            self._tell(error)
        if not self._failed:
            reason = _reason_of(error)
            _log.warning(
                "store failed",
                # The name of the exception tells a full disk from a missing one.
                extra={
                    "reason": reason,
                    "error": type(error.__cause__ or error).__name__,
                    **self._explain(reason),
                },
            )
        self._failed = True


def _reason_of(error: BaseException) -> StoreTrouble:
    """Return why the store failed."""
    cause = error.__cause__ or error
    if isinstance(cause, TimeoutError):
        return "timeout"
    if isinstance(cause, _DENIED):
        return "denied"
    return "missing" if isinstance(cause, FileNotFoundError) else "other"


def _path(name: str) -> str:
    # Two hex digits of fan-out keep directories small on file systems that mind.
    return f"{_FOLDER}/{name[:2]}/{name}"


def _attributes(name: str) -> dict[str, str]:
    """Return the attributes that a presigned URL answers with, since its requests cannot ask for them."""
    headers = delivery_headers(name)
    return {
        "Content-Type": headers.media_type,
        "Content-Disposition": headers.disposition,
        "Cache-Control": headers.cache_control,
    }


async def _has_fresh(store: obstore_stores.ObjectStore, name: str, size_bytes: int) -> bool:
    """Tell if the object is there, complete, and far from the age at which unused ones go."""
    try:
        meta = await obstore.head_async(store, _path(name))
    except FileNotFoundError:
        return False
    age_s = (datetime.now(UTC) - meta["last_modified"]).total_seconds()
    return int(meta["size"]) == size_bytes and age_s < _FRESH_S


def _remove_remains(directory: Path, before_s: float) -> int:
    removed = 0
    for path in directory.rglob("*#*"):
        # Another process may sweep the same directory.
        with suppress(FileNotFoundError):
            if _REMAINS.fullmatch(path.name) and path.stat().st_mtime < before_s:
                path.unlink()
                removed += 1
    return removed


def _directory_of(url: str) -> Path | None:
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else None


def _open_remote(url: str, options: Mapping[str, str], timeouts: StoreTimeouts) -> obstore_stores.ObjectStore:
    # The keys depend on the kind of store; obstore checks them.
    config: Any = dict(options)
    try:
        return obstore_stores.from_url(
            url,
            config=config,
            client_options={
                "connect_timeout": timedelta(seconds=timeouts.connect_s),
                "timeout": timedelta(seconds=timeouts.request_s),
                # The scheme of the endpoint decides; without one it is https.
                "allow_http": True,
            },
            retry_config={
                "max_retries": 2,
                "backoff": {
                    "init_backoff": timedelta(milliseconds=100),
                    "max_backoff": timedelta(seconds=1),
                    "base": 2,
                },
                # After a request that took all its time there is no other.
                "retry_timeout": timedelta(seconds=timeouts.request_s / 2),
            },
        )
    except _FAILURES as error:
        raise ValueError("The URL or the options of the image store describe no store.") from error
