"""Keep paid images that the store does not take in a spill, until the store takes them.

A remote store may fail between an order and its image. The image then goes into a local directory
(itself a store), bounded in bytes, and a loop moves it to the store, even after a restart. Reads try
the spill first: an image leaves it only once the store has it. Several processes may share a spill;
others find its images only once they are in the store.
Failure behaviour: closed. If the spill is full or fails too, the store has failed. An unreadable
spill hides no image of the store, and makes none missing.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

from service.domain.errors import GatewayError, ImageMissing, StoreUnavailable
from service.ports.store import ImageFiles, ImageStore, StoreCleaner, StoredImage, StoreListing
from service.ports.telemetry import ImageSpilled, SpillCounted, Telemetry

MOST_BYTES = 256 * 1024 * 1024
_LEAST_BYTES = 64 * 1024
"""Smallest size that an image counts as, so that the number of files is bounded too."""
_PIECE_BYTES = 256 * 1024
_PAUSE_S = 1.0
_LEAST_S = 1.0
_MOST_S = 5.0
"""Bounds of the time to learn if the store works, for an image whose order has little time left or much."""
_UNREADABLE = (ImageMissing, StoreUnavailable)


class CompleteStore(ImageStore, ImageFiles, StoreListing, StoreCleaner, Protocol):
    """All parts of a store together."""


class SpillingStore:
    """Implements all of `ports.store` over two stores.

    *home* is the store of all images; *spill* holds at most *most_bytes* of waiting ones, which
    concurrent writes of several processes may exceed.
    """

    def __init__(
        self, home: CompleteStore, *, spill: CompleteStore, telemetry: Telemetry, most_bytes: int = MOST_BYTES
    ) -> None:
        self._home = home
        self._spill = spill
        self._telemetry = telemetry
        self._most_bytes = most_bytes
        self._turn = asyncio.Lock()

    async def put(self, name: str, data: bytes, *, deadline_s: float = math.inf) -> None:
        """Store an image in the spill if the store is known to be down, fails, or takes too long."""
        within_s = deadline_s - time.monotonic()
        with suppress(StoreUnavailable, TimeoutError):
            async with asyncio.timeout(min(max(within_s, _LEAST_S), _MOST_S)):
                is_writable = await self._home.is_writable()
            if is_writable:
                await self._home.put(name, data, deadline_s=deadline_s)
                return
        try:
            async with self._turn:
                await self._keep(name, data)
        except _UNREADABLE as error:
            self._telemetry.record(ImageSpilled(name=name, outcome="refused"))
            raise StoreUnavailable from error
        self._telemetry.record(ImageSpilled(name=name, outcome="kept"))

    async def get(self, name: str, *, deadline_s: float = math.inf) -> bytes:
        try:
            return await self._spill.get(name, deadline_s=deadline_s)
        except _UNREADABLE as error:
            with _no_loss_by(error):
                return await self._home.get(name, deadline_s=deadline_s)

    async def is_writable(self) -> bool:
        """Tell if the store is writable; the spill is only for images that are paid for already."""
        return await self._home.is_writable()

    async def size(self, name: str) -> int:
        try:
            return await self._spill.size(name)
        except _UNREADABLE as error:
            with _no_loss_by(error):
                return await self._home.size(name)

    async def read(self, name: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield bytes; a spilled image is read at once, since it may be moved meanwhile."""
        try:
            data = await self._spill.get(name)
        except _UNREADABLE as error:
            with _no_loss_by(error):
                async for piece in self._home.read(name, start, end):
                    yield piece
            return
        end = min(end, len(data))
        for offset in range(start, end, _PIECE_BYTES):
            yield data[offset : min(offset + _PIECE_BYTES, end)]

    async def presign(self, name: str, *, ttl_s: int) -> str | None:
        """Return a URL of the store; None for a spilled image."""
        with suppress(*_UNREADABLE):
            await self._spill.size(name)
            return None
        return await self._home.presign(name, ttl_s=ttl_s)

    async def modified_s(self, name: str) -> float:
        """Return the later time of both; the spill's alone if the store does not answer."""
        spilled_s: float | None = None
        with suppress(*_UNREADABLE):
            spilled_s = await self._spill.modified_s(name)
        try:
            home_s = await self._home.modified_s(name)
        except _UNREADABLE:
            if spilled_s is None:
                raise
            return spilled_s
        return home_s if spilled_s is None else max(home_s, spilled_s)

    async def list(self, part: int | None = None) -> AsyncIterator[StoredImage]:
        """Yield images; one that both have comes twice."""
        async for image in self._spill.list(part):
            yield image
        async for image in self._home.list(part):
            yield image

    async def delete(self, names: Sequence[str]) -> None:
        """Delete images from the spill first, or it would move them to the store again."""
        await self._spill.delete(names)
        await self._home.delete(names)

    async def remove_remains(self, *, before_s: float) -> int:
        removed = await self._spill.remove_remains(before_s=before_s)
        return removed + await self._home.remove_remains(before_s=before_s)

    async def bring_home_forever(self) -> None:
        """Empty the spill often: processes without access to it soon take its images for lost."""
        while True:
            # An unreadable spill is tried again.
            with suppress(StoreUnavailable):
                await self.bring_home()
            await asyncio.sleep(_PAUSE_S)

    async def bring_home(self) -> None:
        """Move images from the spill to the store while it takes them; raises `StoreUnavailable` for the spill."""
        waiting = [image.name async for image in self._spill.list()]
        left = len(waiting)
        self._telemetry.record(SpillCounted(images=left))
        for name in waiting:
            if not await self._home.is_writable():
                return
            # An image that the store refuses delays no other.
            with suppress(StoreUnavailable):
                await self._move(name)
                left -= 1
                self._telemetry.record(SpillCounted(images=left))

    async def _keep(self, name: str, data: bytes) -> None:
        taken_bytes = max(len(data), _LEAST_BYTES)
        async for image in self._spill.list():
            if image.name != name:
                taken_bytes += max(image.size_bytes, _LEAST_BYTES)
        if taken_bytes > self._most_bytes:
            raise StoreUnavailable
        await self._spill.put(name, data)

    async def _move(self, name: str) -> None:
        try:
            data = await self._spill.get(name)
        except ImageMissing:
            # Deleted, damaged, or moved by another process.
            return
        await self._home.put(name, data)
        await self._spill.delete([name])
        self._telemetry.record(ImageSpilled(name=name, outcome="brought_home"))


@contextmanager
def _no_loss_by(error: GatewayError) -> Iterator[None]:
    """Do not report an image as missing that an unreadable spill may hold: it would be paid for again."""
    try:
        yield
    except ImageMissing:
        if isinstance(error, StoreUnavailable):
            raise error from None
        raise
