"""Keep paid images that the store did not take beside it, until it does.

A remote store can go away between an order and its image. An image it does not take goes
into a spill of this machine (a directory, itself a store), bounded in bytes, and
from there home by a loop, also after a restart. An image is read from the spill first:
it leaves it only once the store has it, so that one of them always has it.
Several processes may share a spill; two of them bring home the same bytes.
Processes that do not share it find its images only once they are home.
Failure behaviour: closed. If the spill takes nothing either, or is full, the store has
failed. A spill that cannot be read hides no image of the store, and makes none missing.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Protocol

from service.domain.errors import GatewayError, ImageMissing, StoreUnavailable
from service.ports.store import ImageFiles, ImageStore, StoreCleaner, StoredImage, StoreListing
from service.ports.telemetry import ImageSpilled, SpillCounted, Telemetry

MOST_BYTES = 256 * 1024 * 1024
_LEAST_BYTES = 64 * 1024
"""The least size that an image counts for, so that the spill is bounded in files, too."""
_PIECE_BYTES = 256 * 1024
_PAUSE_S = 1.0
_UNREADABLE = (ImageMissing, StoreUnavailable)


class Shelves(ImageStore, ImageFiles, StoreListing, StoreCleaner, Protocol):
    """All parts of a store together."""


class SpillingStore:
    """Implements all of `ports.store` over two stores.

    *home* is the store of all images, *spill* holds waiting ones, at most *most_bytes*; processes that
    share it may exceed that by their writes of one moment.
    """

    def __init__(
        self, home: Shelves, *, spill: Shelves, telemetry: Telemetry, most_bytes: int = MOST_BYTES
    ) -> None:
        self._home = home
        self._spill = spill
        self._telemetry = telemetry
        self._most_bytes = most_bytes
        self._turn = asyncio.Lock()

    async def put(self, name: str, data: bytes) -> None:
        """Implement `ImageStore.put`; skips a store that is known to be down."""
        if await self._home.is_writable():
            with suppress(StoreUnavailable):
                await self._home.put(name, data)
                return
        try:
            async with self._turn:
                await self._keep(name, data)
        except _UNREADABLE as error:
            self._telemetry.record(ImageSpilled(name=name, outcome="refused"))
            raise StoreUnavailable from error
        self._telemetry.record(ImageSpilled(name=name, outcome="kept"))

    async def get(self, name: str) -> bytes:
        """Implement `ImageStore.get`."""
        try:
            return await self._spill.get(name)
        except _UNREADABLE as error:
            with _no_loss_by(error):
                return await self._home.get(name)

    async def is_writable(self) -> bool:
        """Implement `ImageStore.is_writable`: a spill is for images that are paid for already."""
        return await self._home.is_writable()

    async def size(self, name: str) -> int:
        """Implement `ImageFiles.size`."""
        try:
            return await self._spill.size(name)
        except _UNREADABLE as error:
            with _no_loss_by(error):
                return await self._home.size(name)

    async def read(self, name: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Implement `ImageFiles.read`; a spilled image is read at once, since it may go home meanwhile."""
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
        """Implement `ImageFiles.presign`: such a link does not lead to the spill."""
        with suppress(*_UNREADABLE):
            await self._spill.size(name)
            return None
        return await self._home.presign(name, ttl_s=ttl_s)

    async def modified_s(self, name: str) -> float:
        """Implement `StoreListing.modified_s`: of the younger one, if both have it.

        An image in the spill has an age even while the store does not answer, so that it can go.
        """
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
        """Implement `StoreListing.list`; an image in both comes twice."""
        async for image in self._spill.list(part):
            yield image
        async for image in self._home.list(part):
            yield image

    async def delete(self, names: Sequence[str]) -> None:
        """Implement `StoreCleaner.delete`: from the spill first, or it would bring them home again."""
        await self._spill.delete(names)
        await self._home.delete(names)

    async def remove_remains(self, *, before_s: float) -> int:
        """Implement `StoreCleaner.remove_remains`."""
        removed = await self._spill.remove_remains(before_s=before_s)
        return removed + await self._home.remove_remains(before_s=before_s)

    async def bring_home_forever(self) -> None:
        """Empty the spill whenever the store takes its images.

        Often: a process that shares the store and not the spill takes an image that is not home in time for lost.
        """
        while True:
            # An unreadable disk is tried again.
            with suppress(StoreUnavailable):
                await self.bring_home()
            await asyncio.sleep(_PAUSE_S)

    async def bring_home(self) -> None:
        """Move images from the spill into the store, as far as it takes them.

        Raises:
            StoreUnavailable: the spill cannot be read.
        """
        waiting = [image.name async for image in self._spill.list()]
        left = len(waiting)
        self._telemetry.record(SpillCounted(images=left))
        for name in waiting:
            if not await self._home.is_writable():
                return
            # An image that the store does not take delays none of the others.
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
            # Deleted, damaged, or brought home by another process.
            return
        await self._home.put(name, data)
        await self._spill.delete([name])
        self._telemetry.record(ImageSpilled(name=name, outcome="brought_home"))


@contextmanager
def _no_loss_by(error: GatewayError) -> Iterator[None]:
    """Treat no image as missing that an unreadable spill may hold: it would be paid for again."""
    try:
        yield
    except ImageMissing:
        if isinstance(error, StoreUnavailable):
            raise error from None
        raise
