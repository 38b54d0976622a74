"""Read bodies bounded in bytes and time, once there is room for them."""

import asyncio
from collections.abc import Iterator
from typing import Self

from starlette.requests import Request

from service.domain.errors import InvalidOrder
from service.gateway.admission.held_bytes import Room
from service.http.access import holder_of
from service.http.content_encoding import decoder_for
from service.http.errors import BODY_TOO_SLOW, CLIENT_GONE, RequestRejected, body_too_large, unsupported_type
from service.http.services import services_of

JSON = "application/json"
FORM = "multipart/form-data"

MAX_BODY_S = 30.0
"""Longest time for a body without files."""
MAX_SILENCE_S = 30.0
"""Longest time in which a client may send nothing of a body: its room is kept from others meanwhile."""

SIMPLE_BYTES = 256 * 1024
"""Bytes of JSON that may have any structure: parsing it is quick."""
MAX_STRUCTURE = 50_000
"""Most commas, colons and brackets of larger JSON, in texts, too."""
_STRUCTURE = b",:[]{}"


def memory_for(request: Request) -> Room:
    """Return an empty room in memory for the body of *request*."""
    return services_of(request.scope).budgets.memory.room_for(holder_of(request.scope))


def disk_for(request: Request) -> Room:
    """Return an empty room on disk for the files of *request*."""
    return services_of(request.scope).budgets.disk.room_for(holder_of(request.scope))


def check_media_type(request: Request, *takes: str) -> str:
    """Return the media type of the body, without its parameters; raises `RequestRejected` if it is none that the route *takes*."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in takes:
        raise RequestRejected(unsupported_type(media_type, *takes))
    return media_type


async def read_json(request: Request, room: Room, limit_bytes: int, limit_s: float) -> bytearray:
    """Return a whole body that is cheap to parse; raises like `Body`.

    Parsing 43 MB of small values stalls the loop for seconds, even from a thread, and takes many times their size.

    Raises:
        InvalidOrder: large JSON has too much structure.
    """
    body, structure = bytearray(), 0
    async for piece in Body(request, room, limit_bytes, limit_s):
        body += piece
        structure += len(piece) - len(piece.translate(None, _STRUCTURE))
        if structure > MAX_STRUCTURE and len(body) > SIMPLE_BYTES:
            raise InvalidOrder(
                f"A JSON body of more than {SIMPLE_BYTES} bytes may have at most {MAX_STRUCTURE} commas, colons "
                "and brackets.",
                param=None,
                code="json_too_complex",
            )
    return body


class Body:
    """Iterates over the decoded body of *request* as it arrives, bounded in time, and in size before and after decoding.

    *room* has the larger size, or grows with it. No generator: each would be registered with the loop, which costs more
    than to read a small body.

    Raises:
        RequestRejected: 413, 408, 415 for an unknown encoding, or 499 if the client left.
        InvalidOrder: it is not in its encoding.
        BytesRefused: there is no room.
    """

    def __init__(self, request: Request, room: Room, limit_bytes: int, limit_s: float) -> None:
        self._receive = request.receive
        self._room = room
        self._limit_bytes = limit_bytes
        self._decoder = decoder_for(request) if "content-encoding" in request.headers else None
        announced = request.headers.get("content-length", "")
        if announced.isdigit():
            self._take(int(announced))
        self._received_bytes = self._decoded_bytes = 0
        self._now_s = asyncio.get_running_loop().time
        self._end_s = self._now_s() + limit_s
        self._is_whole = False
        self._pieces: Iterator[bytes] = iter(())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while True:
            for piece in self._pieces:
                self._decoded_bytes += len(piece)
                self._take(self._decoded_bytes)
                # A chunk of gzip may have hundreds of pieces.
                await asyncio.sleep(0)
                return piece
            if self._is_whole:
                if self._decoder is not None:
                    self._decoder.check_complete()
                raise StopAsyncIteration
            chunk = await self._next_chunk()
            # Empty blocks of gzip have no piece that could be counted.
            self._received_bytes += len(chunk)
            self._take(self._received_bytes)
            if self._decoder is not None:
                self._pieces = self._decoder.decode(chunk)
            elif chunk:
                return chunk

    async def _next_chunk(self) -> bytes:
        """Return the next bytes that the client sends, perhaps none."""
        now_s = self._now_s()
        if now_s > self._end_s:
            # One whose bytes are always there already never lets the time-out run.
            raise RequestRejected(BODY_TOO_SLOW)
        try:
            async with asyncio.timeout_at(min(self._end_s, now_s + MAX_SILENCE_S)):
                message = await self._receive()
        except TimeoutError as error:
            raise RequestRejected(BODY_TOO_SLOW) from error
        if message["type"] == "http.disconnect":
            raise RequestRejected(CLIENT_GONE)
        self._is_whole = not message.get("more_body", False)
        chunk: bytes = message.get("body", b"")
        return chunk

    def _take(self, size_bytes: int) -> None:
        if size_bytes > self._limit_bytes:
            raise RequestRejected(body_too_large(self._limit_bytes))
        self._room.grow_to(size_bytes)
