"""Process images with Pillow in a small pool of processes; this process reads only the headers of a backend's images.

Encoding a PNG takes hundreds of milliseconds of CPU, megabytes of metadata take seconds, and a
decoder is the part most likely to fail on hostile bytes: none of these runs in the event loop.
Callers' images are opened in a thread (`read_input`).
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
from service.adapters.imaging.headers import Header, read_header, read_unbounded_header
from service.adapters.imaging.segments import TooManySegments
from service.domain.images import ContentCredentials, Finish, InputImage
from service.domain.inputs import MAX_INPUT_PIXELS
from service.parent_death import die_with_parent
from service.ports.imaging import FinishedImage, ImageBroken

FORMATS = {"PNG": "png", "JPEG": "jpeg", "WEBP": "webp", "GIF": "gif"}
_TRAILER_BYTES = 1024
"""Bytes to search for the end of an image, since some writers pad."""
_CREDENTIALS = {
    True: ContentCredentials.KEPT,
    False: ContentCredentials.NONE,
    None: ContentCredentials.UNKNOWN,
}
MAX_PIXELS = MAX_INPUT_PIXELS
"""As much as callers may send, and five times the largest image of a model; stops decompression bombs at the header."""

Arguments = TypeVarTuple("Arguments")
Result = TypeVar("Result")


class PillowImages:
    """Implements `ports.imaging.ImageFinisher` and `ports.imaging.InputReader`.

    Workers start with the first image that needs one. Callers' images have a worker of their own:
    they may still be refused, and must not delay images that are paid for.
    """

    def __init__(self, *, workers: int) -> None:
        self._finishing = _Workers(workers)
        self._checking = _Workers(1)

    async def finish(self, data: bytes, finish: Finish | None) -> FinishedImage:
        image = judge(data, await self._read_header(data))
        # Animations and drawings pass unchanged: resampling would lose frames or scalability.
        if finish is None or image.format in ("gif", "svg"):
            return image
        if finish.cutout is None and (image.width, image.height) == (finish.width, finish.height):
            return image
        finished = await self._finishing.run(composite, data, finish)
        # The provider's credentials do not hold for new pixels, so they are not copied.
        is_lost = image.credentials is ContentCredentials.KEPT
        credentials = ContentCredentials.LOST if is_lost else image.credentials
        return FinishedImage(finished, image.format, finish.width, finish.height, credentials)

    async def _read_header(self, data: bytes) -> Header | None:
        try:
            return read_header(data)
        except TooManySegments:
            # It is paid for: a worker reads it, and only its own order waits.
            return await self._finishing.run(read_unbounded_header, data)

    def read_input(self, role: str, path: str, digest: str, size_bytes: int) -> InputImage:
        kind, width, height, has_alpha = "", 0, 0, False
        try:
            with _quiet_bombs(), PillowImage.open(path, formats=tuple(FORMATS)) as opened:
                kind, (width, height) = FORMATS[str(opened.format)], opened.size
                has_alpha = _has_alpha(opened)
        except PillowImage.DecompressionBombError:
            # Larger than any limit: the rules refuse it by its pixels.
            kind, width, height = "png", MAX_PIXELS, 2
        except (OSError, ValueError, SyntaxError, KeyError):
            # An unknown format is reported as empty.
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

    async def check_transparency(self, image: InputImage) -> InputImage:
        return replace(image, has_alpha=await self._checking.run(has_transparent_pixel, image.path))

    def close(self) -> None:
        """End the workers without waiting for them."""
        self._finishing.close()
        self._checking.close()


class _Workers:
    """A small pool of processes, recreated if one of them dies."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._pool = self._open_pool()

    async def run(self, work: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Return the result of *work* in a worker; raises `ImageBroken` if it raises or kills the worker."""
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
            # Another image may have killed the worker: try once more in a new one.
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
        ImageBroken: it is not a PNG, JPEG, WebP, GIF or SVG, incomplete, or larger than `MAX_PIXELS`.
    """
    if header is None:
        raise ImageBroken
    kind, width, height = header
    if kind != "svg" and not (0 < width * height <= MAX_PIXELS and _is_whole(data, kind)):
        raise ImageBroken
    return FinishedImage(data, kind, width, height, _CREDENTIALS[has_credentials(data)])


def _is_whole(data: bytes, kind: str) -> bool:
    """Tell if the end of the file is there; decoding it would take fifty milliseconds."""
    if kind == "webp":
        return int.from_bytes(data[4:8], "little") + 8 <= len(data)
    trailer = {"png": b"IEND", "jpeg": b"\xff\xd9", "gif": b"\x3b"}[kind]
    return trailer in data[-_TRAILER_BYTES:]


def resample(data: bytes, width: int, height: int) -> bytes:
    """Resample the image to exactly this size (Lanczos); if the shape differs, its longer sides are cropped."""
    with PillowImage.open(io.BytesIO(data), formats=tuple(FORMATS)) as opened:
        return _save(_fit(opened, (width, height)), str(opened.format))


def composite(data: bytes, finish: Finish) -> bytes:
    """Resample the image and, with a cutout, use the input's pixels where the mask is opaque; partial alpha blends.

    The input is unchanged, or resampled (Lanczos) if another size is asked for. Runs in a worker.
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
        # Only the mask decides; the input's own transparency is ignored.
        kept = _fit(_to_rgb(image), size)
        alpha = _fit(mask.convert("RGBA").getchannel("A"), size)
        return _save(PillowImage.composite(kept, painted, alpha), str(opened.format))


def has_transparent_pixel(path: str) -> bool:
    """Tell if some pixel of the image at *path* is not opaque. Runs in a worker."""
    with PillowImage.open(path, formats=tuple(FORMATS)) as image:
        histogram = image.convert("RGBA").getchannel("A").histogram()
        return any(histogram[:255])


def _fit(image: PillowImage.Image, size: tuple[int, int]) -> PillowImage.Image:
    if image.size == size:
        return image
    # Palettes cannot be mixed: Pillow would fall back to the nearest pixel.
    if image.mode == "P":
        image = image.convert("RGBA" if _has_alpha(image) else "RGB")
    return ImageOps.fit(image, size, method=PillowImage.Resampling.LANCZOS)


def _to_rgb(image: PillowImage.Image) -> PillowImage.Image:
    """Return the colours under any transparency; of 16 bits per channel the upper eight."""
    if image.mode.startswith("I"):
        image = image.convert("I").point(lambda value: value * (1 / 256)).convert("L")
    return image.convert("RGBA").convert("RGB")


def _save(image: PillowImage.Image, kind: str) -> bytes:
    target = io.BytesIO()
    image.save(target, format=kind)
    return target.getvalue()


def _has_alpha(image: PillowImage.Image) -> bool:
    return "A" in image.getbands() or "transparency" in image.info


@contextmanager
def _quiet_bombs() -> Iterator[None]:
    """Let Pillow open images without a warning; `MAX_PIXELS` is the limit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PillowImage.DecompressionBombWarning)
        yield


def _start_worker() -> None:
    """Let a worker end with its gateway, even a killed one; the gateway handles Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    die_with_parent()
