"""Paint images in a few threads, number them, and shelve those that have a URL.

Owns everything about painting that is not a pure function. Pillow lets go of the interpreter lock while it fills
and encodes, so threads suffice and the event loop stays free.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pybase64

from service.sandbox.behaviour import Behaviour
from service.sandbox.marks import Mark
from service.sandbox.orders import Order
from service.sandbox.painter import Picture, paint

_SHELF_PICTURES = 256
_FIRST_BLOCK = 32  # pixels
_HIGHEST_SERIAL = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Painted:
    """One finished picture; *base64* is its file, *sha256* the hex digest of the file's bytes."""

    serial: int
    sha256: str
    base64: str
    file: bytes
    has_credentials: bool


class Studio:
    """Numbers pictures from *first_serial* upwards, wrapping to 1 after 32 bits."""

    def __init__(self, *, threads: int, first_serial: int = 1) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="painter")
        self._next_serial = first_serial
        self._shelf: OrderedDict[str, bytes] = OrderedDict()

    def plan(self, order: Order, count: int, behaviour: Behaviour) -> list[Picture]:
        """Decide on *count* pictures and number them; nothing is painted yet."""
        return [self._plan_one(order, index, behaviour) for index in range(count)]

    async def paint(self, pictures: Sequence[Picture]) -> AsyncGenerator[Painted]:
        """Begin all at once and yield them in their order, each as soon as it is finished."""
        loop = asyncio.get_running_loop()
        begun = [loop.run_in_executor(self._threads, _finish, picture) for picture in pictures]
        for painting in begun:
            yield await painting

    async def sketch(self, picture: Picture, step: int) -> str:
        """Return a forerunner of a picture as base64; *step* counts from 0, and each shows twice the detail."""
        rough = replace(picture, block=max(2, _FIRST_BLOCK >> step))
        painted = await asyncio.get_running_loop().run_in_executor(self._threads, _finish, rough)
        return painted.base64

    def shelve(self, painted: Painted) -> str:
        """Keep a file for a while and return its name; the oldest of too many is thrown away."""
        name = f"{painted.sha256[:32]}.png"
        self._shelf[name] = painted.file
        if len(self._shelf) > _SHELF_PICTURES:
            self._shelf.popitem(last=False)
        return name

    def fetch(self, name: str) -> bytes | None:
        return self._shelf.get(name)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _plan_one(self, order: Order, index: int, behaviour: Behaviour) -> Picture:
        serial = index + 1 if behaviour.repeat_pictures else self._take_serial()
        return Picture(
            model=order.model.name,
            prompt=order.prompt,
            width=order.width,
            height=order.height,
            quality=order.quality,
            output_format=order.output_format,
            output_compression=order.output_compression,
            is_transparent=order.background == "transparent",
            is_flat=behaviour.paint == "flat",
            has_credentials=behaviour.embed_credentials and order.output_format == "png",
            mark=Mark(order_hash=order.order_hash, serial=serial),
        )

    def _take_serial(self) -> int:
        serial = self._next_serial
        self._next_serial = 1 if serial == _HIGHEST_SERIAL else serial + 1
        return serial


def _finish(picture: Picture) -> Painted:
    file = paint(picture)
    return Painted(
        serial=picture.mark.serial,
        sha256=hashlib.sha256(file).hexdigest(),
        base64=pybase64.b64encode_as_string(file),
        file=file,
        has_credentials=picture.has_credentials,
    )
