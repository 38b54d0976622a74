"""Read bodies bounded in bytes and time, once there is room for them."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from starlette.requests import ClientDisconnect, Request

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
    """Return a whole body that is cheap to parse; raises like `read_bounded`.

    Parsing 43 MB of small values stalls the loop for seconds, even from a thread, and takes many times their size.

    Raises:
        InvalidOrder: large JSON has too much structure.
    """
    body, structure = bytearray(), 0
    async with contextlib.aclosing(read_bounded(request, room, limit_bytes, limit_s)) as chunks:
        async for chunk in chunks:
            body += chunk
            structure += len(chunk) - len(chunk.translate(None, _STRUCTURE))
            if structure > MAX_STRUCTURE and len(body) > SIMPLE_BYTES:
                raise InvalidOrder(
                    f"A JSON body of more than {SIMPLE_BYTES} bytes may have at most {MAX_STRUCTURE} commas, colons "
                    "and brackets.",
                    param=None,
                    code="json_too_complex",
                )
    return body


async def read_bounded(
    request: Request, room: Room, limit_bytes: int, limit_s: float
) -> AsyncGenerator[bytes, None]:
    """Yield the decoded body as it arrives, bounded in time, and in size before and after decoding.

    *room* has the larger size, or grows with it.

    A reader that may stop early must close it (`aclosing`), which stops the clock.

    Raises:
        RequestRejected: 413, 408, 415 for an unknown encoding, or 499 if the client left.
        InvalidOrder: it is not in its encoding.
        BytesRefused: there is no room.
    """
    decoder = decoder_for(request) if "content-encoding" in request.headers else None
    announced = request.headers.get("content-length", "")
    if announced.isdigit():
        _check_size(int(announced), limit_bytes)
        room.grow_to(int(announced))
    received_bytes = size_bytes = 0
    now = asyncio.get_running_loop().time
    end_s = now() + limit_s
    try:
        async with (
            asyncio.timeout_at(_earlier(end_s, now())) as clock,
            contextlib.aclosing(request.stream()) as chunks,
        ):
            async for chunk in chunks:
                # Empty blocks of gzip have no piece that could be counted.
                received_bytes += len(chunk)
                _check_size(received_bytes, limit_bytes)
                room.grow_to(received_bytes)
                for piece in decoder.decode(chunk) if decoder else (chunk,):
                    size_bytes += len(piece)
                    _check_size(size_bytes, limit_bytes)
                    room.grow_to(size_bytes)
                    yield piece
                    if piece is not chunk:
                        # A chunk of gzip may have hundreds of pieces.
                        await asyncio.sleep(0)
                clock.reschedule(_earlier(end_s, now()))
        if decoder is not None:
            decoder.check_complete()
    except TimeoutError as error:
        raise RequestRejected(BODY_TOO_SLOW) from error
    except ClientDisconnect as error:
        raise RequestRejected(CLIENT_GONE) from error


def _check_size(size_bytes: int, limit_bytes: int) -> None:
    if size_bytes > limit_bytes:
        raise RequestRejected(body_too_large(limit_bytes))


def _earlier(end_s: float, now_s: float) -> float:
    return min(end_s, now_s + MAX_SILENCE_S)
