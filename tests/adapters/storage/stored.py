"""Name stored images, and read them back."""

import asyncio
import hashlib
from collections.abc import AsyncIterator

from service.adapters.storage.store import ObjectStore


def name_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest() + ".png"


async def collect(chunks: AsyncIterator[bytes], received: list[bytes] | None = None) -> bytes:
    """Read to the end; *received* has what came before an error, too."""
    received = [] if received is None else received
    async for chunk in chunks:
        received.append(chunk)
    return b"".join(received)


async def become_writable(store: ObjectStore, *, within_s: float) -> None:
    """Ask until it is: at most one probe a second, so that not every order asks a store that is down."""
    async with asyncio.timeout(within_s):
        while not await store.is_writable():  # noqa: ASYNC110 - a probe is a question
            await asyncio.sleep(0.02)
