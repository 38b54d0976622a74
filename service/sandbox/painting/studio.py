"""Paint images in a few threads, number them, and keep those that have a URL.

Owns everything about painting that is not a pure function. Pillow releases the interpreter lock while it fills
and encodes, so threads suffice and the event loop stays free.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import AsyncGenerator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pybase64

from service.sandbox.faults.behaviour import Behaviour
from service.sandbox.painting.image_plan import ImagePlan
from service.sandbox.painting.painter import paint
from service.sandbox.painting.watermark import Watermark
from service.sandbox.rules.accepted_order import Order

_SHELF_IMAGES = 256
_FIRST_BLOCK = 32  # pixels
_HIGHEST_SERIAL = 2**32 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Painted:
    """One finished image; *base64* encodes *file*, *sha256* is the hex digest of its bytes."""

    serial: int
    sha256: str
    base64: str
    file: bytes
    format: str
    has_credentials: bool


class Studio:
    """Numbers images from *first_serial* upwards, wrapping to 1 after 32 bits."""

    def __init__(self, *, threads: int, first_serial: int = 1) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="painter")
        self._next_serial = first_serial
        self._shelf: OrderedDict[str, bytes] = OrderedDict()

    def plan(self, order: Order, count: int, behaviour: Behaviour) -> list[ImagePlan]:
        """Plan *count* images and number them, without painting."""
        return [self._plan_one(order, index, behaviour) for index in range(count)]

    async def paint(self, plans: Sequence[ImagePlan]) -> AsyncGenerator[Painted]:
        """Start all at once and yield them in order, each as soon as it is finished."""
        loop = asyncio.get_running_loop()
        begun = [loop.run_in_executor(self._threads, _finish, plan) for plan in plans]
        for painting in begun:
            yield await painting

    async def sketch(self, plan: ImagePlan, step: int) -> str:
        """Return a sketch of an image as base64; *step* counts from 0, and each step doubles the detail."""
        rough = replace(plan, block=max(2, _FIRST_BLOCK >> step))
        painted = await asyncio.get_running_loop().run_in_executor(self._threads, _finish, rough)
        return painted.base64

    def shelve(self, painted: Painted) -> str:
        """Keep a file under the name returned, and drop the oldest file of too many."""
        name = f"{painted.sha256[:32]}.{painted.format}"
        self._shelf[name] = painted.file
        if len(self._shelf) > _SHELF_IMAGES:
            self._shelf.popitem(last=False)
        return name

    def fetch(self, name: str) -> bytes | None:
        return self._shelf.get(name)

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _plan_one(self, order: Order, index: int, behaviour: Behaviour) -> ImagePlan:
        width, height = order.width, order.height
        if behaviour.painted_size:
            width, height = map(int, behaviour.painted_size.split("x"))
        serial = index + 1 if behaviour.repeat_pictures else self._take_serial()
        return ImagePlan(
            model=order.model.name,
            prompt=order.prompt,
            width=width,
            height=height,
            quality=order.quality,
            output_format=order.output_format,
            output_compression=order.output_compression,
            is_transparent=order.background == "transparent",
            is_flat=behaviour.paint == "flat",
            has_credentials=behaviour.embed_credentials and order.output_format == "png",
            watermark=Watermark(order_hash=order.order_hash, serial=serial),
        )

    def _take_serial(self) -> int:
        serial = self._next_serial
        self._next_serial = 1 if serial == _HIGHEST_SERIAL else serial + 1
        return serial


def _finish(plan: ImagePlan) -> Painted:
    file = paint(plan)
    return Painted(
        serial=plan.watermark.serial,
        sha256=hashlib.sha256(file).hexdigest(),
        base64=pybase64.b64encode_as_string(file),
        file=file,
        format=plan.output_format,
        has_credentials=plan.has_credentials,
    )
