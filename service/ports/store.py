"""Store image bytes, for orders, file routes and retention.

A name is the digest of the bytes and their format, so equal names mean equal bytes.
Failure behaviour: closed. Every method raises `StoreUnavailable`, and `ImageMissing` if it reads
an image that the store does not have.
"""

import math
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

UNUSED_S = 3600
"""Age at which unreferenced bytes may be deleted: their writer had ample time to refer to them."""


class ImageStore(Protocol):
    """Stores image bytes by the digest of their content."""

    async def put(self, name: str, data: bytes, *, deadline_s: float = math.inf) -> None:
        """Store *data* under *name* until the monotonic instant *deadline_s*, or a little longer."""

    async def get(self, name: str, *, deadline_s: float = math.inf) -> bytes:
        """Return the bytes, until the monotonic instant *deadline_s*."""

    async def is_writable(self) -> bool:
        """Tell if a `put` is likely to succeed; asked before any call is paid for, and never fails."""


class ImageFiles(Protocol):
    """Reads stored images in parts, for the file routes."""

    async def size(self, name: str) -> int:
        """Return the size in bytes."""

    def read(self, name: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield the bytes from *start* up to, but not including, *end*."""

    async def presign(self, name: str, *, ttl_s: int) -> str | None:
        """Return a URL that gives the image to anyone for *ttl_s*; None for a store without such URLs."""


class LocatedFiles(Protocol):
    """Finds the files of images, for a server that reads the store's directory itself."""

    async def locate(self, name: str) -> str:
        """Return the path of the image below the directory, once its content was found good."""


class StoredImage(NamedTuple):
    """One image in a listing of the store; *modified_s* is seconds since the epoch."""

    name: str
    size_bytes: int
    modified_s: float


class StoreListing(Protocol):
    """Lists stored images with their age, for retention."""

    async def modified_s(self, name: str) -> float:
        """Return the time of the image's last write, in seconds since the epoch."""

    def list(self, part: int | None = None) -> AsyncIterator[StoredImage]:
        """Yield all images, or those of one of 256 parts, in no order; holds one page at a time."""


class StoreCleaner(Protocol):
    """Deletes from the store, for retention."""

    async def delete(self, names: Sequence[str]) -> None:
        """Delete images; a missing one is no error."""

    async def remove_remains(self, *, before_s: float) -> int:
        """Delete partial files that killed writers left before an instant; returns their number."""
