"""Process images with Pillow, in a small pool of processes; of a backend's images, this process reads only the header.

Encoding a PNG takes hundreds of milliseconds of CPU, reading megabytes of metadata takes
seconds, and a decoder is the likeliest part to be broken by hostile bytes: none of that
happens in the event loop. Callers' images are opened in a thread (`read_input`).
"""

import asyncio
import io
import multiprocessing
import signal
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import TypeVar, TypeVarTuple

from PIL import Image as PillowImage
from PIL import ImageOps

from service.adapters.imaging.content_credentials import has_credentials
from service.adapters.imaging.headers import Header, read_crowded_header, read_header
from service.adapters.imaging.segments import Crowded
from service.domain.images import ContentCredentials, Finish, InputImage
from service.domain.inputs import MAX_INPUT_PIXELS
from service.parent_death import die_with_parent
from service.ports.imaging import FinishedImage, ImageBroken

FORMATS = {"PNG": "png", "JPEG": "jpeg", "WEBP": "webp", "GIF": "gif"}
_TRAILER_BYTES = 1024
"""Bytes in which to look for the end of an image; some writers pad."""
_CREDENTIALS = {
    True: ContentCredentials.KEPT,
    False: ContentCredentials.NONE,
    None: ContentCredentials.UNKNOWN,
}
MAX_PIXELS = MAX_INPUT_PIXELS
"""Above five times the largest image a model makes, and as much as callers may send; stops bombs at the header."""


Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class PillowImages:
    """Implements `ports.imaging.ImageFinisher` and `ports.imaging.InputReader`.

    Workers start with the first image that needs one.

    Callers' images are decoded by a worker of their own: they may still be refused, and must
    not delay images that are paid for.
    """

    def __init__(self, *, workers: int) -> None:
        self._finishing = _Workers(workers)
        self._looking = _Workers(1)

    async def finish(self, data: bytes, finish: Finish | None) -> FinishedImage:
        """Implement `Pictures.finish`."""
        image = judge(data, await self._read_header(data))
        # Animations and drawings pass through: resampling would take their frames, or their scalability.
        if finish is None or image.format in ("gif", "svg"):
            return image
        if finish.cutout is None and (image.width, image.height) == (finish.width, finish.height):
            return image
        finished = await self._finishing.run(render, data, finish)
        # New pixels would belie the provider's credentials, so none are copied.
        is_lost = image.credentials is ContentCredentials.KEPT
        credentials = ContentCredentials.LOST if is_lost else image.credentials
        return FinishedImage(finished, image.format, finish.width, finish.height, credentials)

    async def _read_header(self, data: bytes) -> Header | None:
        try:
            return read_header(data)
        except Crowded:
            # It is paid for all the same: read where only its own order waits.
            return await self._finishing.run(read_crowded_header, data)

    def read_input(self, role: str, path: str, digest: str, size_bytes: int) -> InputImage:
        """Implement `InputReader.read_input`."""
        kind, width, height, has_alpha = "", 0, 0, False
        try:
            with _quiet_bombs(), PillowImage.open(path, formats=tuple(FORMATS)) as opened:
                kind, (width, height) = FORMATS[str(opened.format)], opened.size
                has_alpha = _has_alpha(opened)
        except PillowImage.DecompressionBombError:
            # Larger than any limit: the exact limit does not matter, the rules refuse it by its pixels.
            kind, width, height = "png", MAX_PIXELS, 2
        except (OSError, ValueError, SyntaxError, KeyError):
            # An unknown format is reported as the empty one.
            pass
        return InputImage(
            role=role,
            digest=digest,
            format=kind,
            width=width,
            height=height,
            size_bytes=size_bytes,
            has_alpha=has_alpha,
            path=path,
        )

    async def look_through(self, image: InputImage) -> InputImage:
        """Implement `InputReader.look_through`."""
        return replace(image, has_alpha=await self._looking.run(is_see_through, image.path))

    def close(self) -> None:
        """End the workers without waiting for them."""
        self._finishing.close()
        self._looking.close()


class _Workers:
    """A small pool of processes that is created anew when one of them dies."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool = self._open_pool()

    async def run(self, work: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Return the result of *work* in a worker.

        Raises:
            ImageBroken: it raised anything, or its worker died of it.
        """
        try:
            return await self._run(work, *arguments)
        except Exception as error:
            raise ImageBroken from error

    async def _run(self, work: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        loop = asyncio.get_running_loop()
        pool = self._pool
        try:
            return await loop.run_in_executor(pool, work, *arguments)
        except BrokenExecutor:
            # A worker died, perhaps of another image: once more, among new ones.
            if self._pool is pool:
                pool.shutdown(wait=False)
                self._pool = self._open_pool()
            return await loop.run_in_executor(self._pool, work, *arguments)

    def _open_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._count, mp_context=multiprocessing.get_context("spawn"), initializer=_start_worker
        )

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def judge(data: bytes, header: Header | None) -> FinishedImage:
    """Return the image that *header* describes; no pixel is decoded.

    Raises:
        ImageBroken: not a PNG, JPEG, WebP, GIF or SVG, cut off, or larger than `MAX_PIXELS`.
    """
    if header is None:
        raise ImageBroken
    kind, width, height = header
    if kind != "svg" and not (0 < width * height <= MAX_PIXELS and _is_whole(data, kind)):
        raise ImageBroken
    return FinishedImage(data, kind, width, height, _CREDENTIALS[has_credentials(data)])


def _is_whole(data: bytes, kind: str) -> bool:
    """Tell if the end of the file is there; decoding to find out would cost fifty milliseconds."""
    if kind == "webp":
        return int.from_bytes(data[4:8], "little") + 8 <= len(data)
    trailer = {"png": b"IEND", "jpeg": b"\xff\xd9", "gif": b"\x3b"}[kind]
    return trailer in data[-_TRAILER_BYTES:]


def render(data: bytes, finish: Finish) -> bytes:
    """Return the image as *finish* asks for it, in its own format. Runs in a worker."""
    return resample(data, finish.width, finish.height) if finish.cutout is None else composite(data, finish)


def resample(data: bytes, width: int, height: int) -> bytes:
    """Return the image in exactly these pixels.

    Lanczos; if the shape differs, the middle is kept and the longer sides are
    cut off.
    """
    with PillowImage.open(io.BytesIO(data), formats=tuple(FORMATS)) as opened:
        return _save(_fit(opened, (width, height)), str(opened.format))


def composite(data: bytes, finish: Finish) -> bytes:
    """Return the image with the input's own pixels wherever the mask is opaque.

    The input is bit for bit as sent, or its Lanczos resample where another
    size was asked; partial alpha blends.
    """
    size, cutout = (finish.width, finish.height), finish.cutout
    if cutout is None:
        return resample(data, *size)
    with (
        PillowImage.open(io.BytesIO(data), formats=tuple(FORMATS)) as opened,
        PillowImage.open(cutout.image.path, formats=tuple(FORMATS)) as image,
        PillowImage.open(cutout.mask.path, formats=("PNG",)) as mask,
    ):
        painted = _fit(opened, size).convert("RGB")
        # The mask decides alone; colours under the input's own transparency are its colours all the same.
        kept = _fit(_to_rgb(image), size)
        alpha = _fit(mask.convert("RGBA").getchannel("A"), size)
        return _save(PillowImage.composite(kept, painted, alpha), str(opened.format))


def is_see_through(path: str) -> bool:
    """Tell if some pixel of the image at *path* is not opaque. Runs in a worker."""
    with PillowImage.open(path, formats=tuple(FORMATS)) as picture:
        histogram = picture.convert("RGBA").getchannel("A").histogram()
        return any(histogram[:255])


def _fit(picture: PillowImage.Image, size: tuple[int, int]) -> PillowImage.Image:
    if picture.size == size:
        return picture
    # Palettes cannot be mixed: Pillow would fall back to the nearest pixel.
    if picture.mode == "P":
        picture = picture.convert("RGBA" if _has_alpha(picture) else "RGB")
    return ImageOps.fit(picture, size, method=PillowImage.Resampling.LANCZOS)


def _to_rgb(picture: PillowImage.Image) -> PillowImage.Image:
    """Return the colours under any transparency; of 16 bits the upper eight, as screens show them."""
    if picture.mode.startswith("I"):
        picture = picture.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    return picture.convert("RGBA").convert("RGB")


def _save(picture: PillowImage.Image, kind: str) -> bytes:
    target = io.BytesIO()
    picture.save(target, format=kind)
    return target.getvalue()


def _has_alpha(picture: PillowImage.Image) -> bool:
    return "A" in picture.getbands() or "transparency" in picture.info


@contextmanager
def _quiet_bombs() -> Iterator[None]:
    """Let Pillow open images it warns of: `MAX_PIXELS` is the limit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PillowImage.DecompressionBombWarning)
        yield


def _start_worker() -> None:
    """End a worker with its gateway, even a killed one; Ctrl-C is the gateway's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
