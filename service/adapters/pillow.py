"""Pictures with Pillow: headers are read here, pixels only in a small pool of processes.

Encoding a PNG takes hundreds of milliseconds of CPU, and a decoder is the likeliest
thing to be broken by hostile bytes: neither happens in the process that serves.
"""

import asyncio
import ctypes
import io
import multiprocessing
import signal
import sys
import warnings
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor

from PIL import Image as PillowImage
from PIL import ImageOps

from service.domain.images import Finish
from service.ports import Picture, PictureBroken

FORMATS = {"PNG": "png", "JPEG": "jpeg", "WEBP": "webp"}
MAX_PIXELS = 40_000_000
"""Above five times the largest picture a model makes; stops decompression bombs at the header."""


class PillowPictures:
    """Implements `ports.Pictures`; workers start with the first picture that needs one."""

    def __init__(self, *, workers: int) -> None:
        self._workers = workers
        self._pool = self._open_pool()

    async def finish(self, data: bytes, finish: Finish | None) -> Picture:
        """Implement `Pictures.finish`."""
        picture = read_header(data)
        if finish is None or (picture.width, picture.height) == (finish.width, finish.height):
            return picture
        try:
            resampled = await self._run(data, finish)
        except (OSError, ValueError, SyntaxError, BrokenExecutor) as error:
            raise PictureBroken from error
        return Picture(resampled, picture.format, finish.width, finish.height)

    async def _run(self, data: bytes, finish: Finish) -> bytes:
        loop = asyncio.get_running_loop()
        pool = self._pool
        try:
            return await loop.run_in_executor(pool, resample, data, finish.width, finish.height)
        except BrokenExecutor:
            # A worker died, perhaps of another picture: once more, among new ones.
            if self._pool is pool:
                pool.shutdown(wait=False)
                self._pool = self._open_pool()
            return await loop.run_in_executor(self._pool, resample, data, finish.width, finish.height)

    def _open_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            self._workers, mp_context=multiprocessing.get_context("spawn"), initializer=_die_with_parent
        )

    def close(self) -> None:
        """End the workers; waits for none."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def read_header(data: bytes) -> Picture:
    """Return format and pixels from the header alone; no pixel is decoded.

    Raises:
        PictureBroken: not a PNG, JPEG or WebP, or larger than `MAX_PIXELS`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PillowImage.DecompressionBombWarning)
            with PillowImage.open(io.BytesIO(data), formats=tuple(FORMATS)) as opened:
                width, height, name = *opened.size, FORMATS[str(opened.format)]
    except (OSError, ValueError, SyntaxError, KeyError, PillowImage.DecompressionBombError) as error:
        raise PictureBroken from error
    if width * height > MAX_PIXELS:
        raise PictureBroken
    return Picture(data, name, width, height)


def resample(data: bytes, width: int, height: int) -> bytes:
    """Return the picture in exactly these pixels and its own format.

    Lanczos; where the shape differs, the middle is kept and the longer sides are
    cut off. Runs in a worker.
    """
    with PillowImage.open(io.BytesIO(data), formats=tuple(FORMATS)) as opened:
        name = opened.format
        # Palettes cannot be mixed: Pillow would fall back to the nearest pixel.
        has_alpha = "A" in opened.getbands() or "transparency" in opened.info
        pixels = opened.convert("RGBA" if has_alpha else "RGB") if opened.mode == "P" else opened
        fitted = ImageOps.fit(pixels, (width, height), method=PillowImage.Resampling.LANCZOS)
    target = io.BytesIO()
    fitted.save(target, format=name)
    return target.getvalue()


def _die_with_parent() -> None:
    """Let no worker outlive a gateway that was killed; Ctrl-C is the gateway's to handle."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform == "linux":
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG, linux/prctl.h
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
