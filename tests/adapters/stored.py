"""Pictures in a store: what they are called there, and how they are read back."""

import hashlib
from collections.abc import AsyncIterator


def name_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest() + ".png"


async def collect(chunks: AsyncIterator[bytes], received: list[bytes] | None = None) -> bytes:
    """Read to the end; *received* has what came before an error, too."""
    received = [] if received is None else received
    async for chunk in chunks:
        received.append(chunk)
    return b"".join(received)
