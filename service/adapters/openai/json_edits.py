"""Send the body of a JSON edit while its images are read.

All calls of an order send the same images at once: each call holds one piece of them, and reads and encodes it off the loop.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from typing import BinaryIO

import pybase64

_PIECE_BYTES = 192 * 1024
"""A multiple of 3: the base64 texts of the pieces are together that of the image."""


def length_of(parts: Sequence[bytes | BinaryIO]) -> int:
    """Return the bytes of the body, in which the files among *parts* are base64."""
    return sum(len(part) if isinstance(part, bytes) else _base64_bytes(part) for part in parts)


async def read_pieces(parts: Sequence[bytes | BinaryIO]) -> AsyncIterator[bytes]:
    """Yield the body once; the files are read to their ends."""
    for part in parts:
        if isinstance(part, bytes):
            yield part
        else:
            while piece := await asyncio.to_thread(_read_piece, part):
                yield piece


def _base64_bytes(file: BinaryIO) -> int:
    return -(-os.fstat(file.fileno()).st_size // 3) * 4


def _read_piece(file: BinaryIO) -> bytes:
    return pybase64.b64encode(file.read(_PIECE_BYTES))
