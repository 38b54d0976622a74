"""Where image bytes live, as orders, file routes and retention see it.

A name is the digest of the bytes and their format, so the same name again is the same
bytes. Failure behaviour: closed; what cannot be kept or read is said, never guessed.
"""

from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple, Protocol


class ImageStore(Protocol):
    """Where image bytes live, by the digest of their content."""

    async def put(self, name: str, data: bytes) -> None:
        """Keep *data* under *name*; the same name again is the same bytes.

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
        """Whether a `put` is likely to succeed; asked before anything is paid for."""
        ...


class ImageFiles(Protocol):
    """Reading stored images in parts, for the file routes."""

    async def size(self, name: str) -> int:
        """Return the size in bytes; raises as `ImageStore.get`."""
        ...

    def read(self, name: str, start: int, end: int) -> AsyncIterator[bytes]:
        """Yield bytes *start* up to, not including, *end*; raises as `ImageStore.get`."""
        ...

    async def presign(self, name: str, *, ttl_s: int) -> str | None:
        """Return a URL that gives the image to anyone for *ttl_s*; None where the store has none.

        Raises:
            StoreUnavailable: there is nothing to sign with.
        """
        ...


class StoredImage(NamedTuple):
    """One image of the store as a listing shows it; *modified_s* is seconds since the epoch."""

    name: str
    size_bytes: int
    modified_s: float


class StoreShelves(Protocol):
    """The store as retention sees it; everything raises `StoreUnavailable`."""

    async def modified_s(self, name: str) -> float:
        """Return when the image was last written, in seconds since the epoch; raises `ImageMissing`."""
        ...

    def list(self, part: int | None = None) -> AsyncIterator[StoredImage]:
        """Yield every image in no order, or those of one of 256 parts; holds one page at a time."""
        ...

    async def delete(self, names: Sequence[str]) -> None:
        """Delete images; those that are not there are no mistake."""
        ...

    async def remove_remains(self, *, before_s: float) -> int:
        """Delete what killed writers left before an instant; return how many files."""
        ...
