"""Store image bytes, for orders, file routes and retention.

A name is the digest of the bytes and their format, so equal names mean equal
bytes. Failure behaviour: closed; a failed read or write is reported, never guessed.
"""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol

UNUSED_S = 3600
"""Age at which unreferenced bytes may go: their maker has had ample time to refer to them."""


class ImageStore(Protocol):
    """Stores image bytes by the digest of their content."""

    async def put(self, name: str, data: bytes) -> None:
        """Store *data* under *name*; an equal name means equal bytes.

        Raises:
            StoreUnavailable: nothing was kept.
        """
        ...

    async def get(self, name: str) -> bytes:
        """Return the bytes.

        Raises:
            ImageMissing: it is not there.
            StoreUnavailable: it cannot be read now.
        """
        ...

    async def is_writable(self) -> bool:
        """Tell if a `put` is likely to succeed; asked before any call is paid for."""
        ...


class ImageFiles(Protocol):
    """Reads stored images in parts, for the file routes."""

    async def size(self, name: str) -> int:
        """Return the size in bytes; raises as `ImageStore.get`."""
        ...

    def read(self, name: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield bytes *start* up to, not including, *end*; raises as `ImageStore.get`."""
        ...

    async def presign(self, name: str, *, ttl_s: int) -> str | None:
        """Return a URL that gives the image to anyone for *ttl_s*; None for a store without such URLs.

        Raises:
            StoreUnavailable: there are no credentials to sign with.
        """
        ...


class StoredImage(NamedTuple):
    """One image in a listing of the store; *modified_s* is seconds since the epoch."""

    name: str
    size_bytes: int
    modified_s: float


class StoreListing(Protocol):
    """Lists stored images by age, for retention; every method raises `StoreUnavailable`."""

    async def modified_s(self, name: str) -> float:
        """Return when the image was last written, in seconds since the epoch; raises `ImageMissing`."""
        ...

    def list(self, part: int | None = None) -> AsyncIterator[StoredImage]:
        """Yield every image in no order, or those of one of 256 parts; holds one page at a time."""
        ...


class StoreCleaner(Protocol):
    """Deletes from the store, for retention; every method raises `StoreUnavailable`."""

    async def delete(self, names: Sequence[str]) -> None:
        """Delete images; missing ones are no error."""
        ...

    async def remove_remains(self, *, before_s: float) -> int:
        """Delete the partial files of killed writers from before an instant; returns their number."""
        ...
