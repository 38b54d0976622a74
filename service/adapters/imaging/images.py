"""Read and change images: heads in this process, by bounded readers, pixels in worker processes only.

Encoding a PNG takes hundreds of milliseconds of CPU, megabytes of metadata take minutes, and a decoder is the part most
likely to fail on hostile bytes: none of these runs here. Failure behaviour: a caller's image that a worker
cannot process is refused; an image that is paid for is then delivered as the provider made it.
"""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path
from weakref import WeakValueDictionary

from service.adapters.imaging.content_credentials import has_credentials
from service.adapters.imaging.files import FileBytes
from service.adapters.imaging.headers import Header, read_crowded_header, read_header
from service.adapters.imaging.heads import Head, read_head
from service.adapters.imaging.processes import Bounds, Job, WorkerFailed, Workers, WorkersBusy
from service.adapters.imaging.segments import TooManySegments
from service.domain.images import ContentCredentials, Finish, InputImage
from service.domain.inputs import MAX_INPUT_PIXELS
from service.ports.imaging import FinishedImage, ImageBroken, ImagingBusy, white_path
from service.ports.telemetry import ImageUnprocessed, Telemetry

_log = logging.getLogger(__name__)

_TRAILER_BYTES = 1024
"""Bytes to search for the end of an image, since some writers pad."""
_CREDENTIALS = {
    True: ContentCredentials.KEPT,
    False: ContentCredentials.NONE,
    None: ContentCredentials.UNKNOWN,
}
MAX_PIXELS = MAX_INPUT_PIXELS
"""As much as callers may send, and five times the largest image of a model; stops decompression bombs at the header."""
_FINISHING = Bounds(workers=2, job_s=120.0)
_NO_HEAD = Head("", 0, 0, False, 1)
_CHECKING = Bounds(workers=1, waiting=64, waiting_of_one=16, wait_s=30.0, job_s=60.0)


class WorkerImages:
    """Implements all of `ports.imaging`.

    Callers' images have a worker of their own: they may still be refused, and must not delay images that
    are paid for.
    """

    def __init__(
        self, *, telemetry: Telemetry, finishing: Bounds = _FINISHING, checking: Bounds = _CHECKING
    ) -> None:
        self._telemetry = telemetry
        self._finishing = Workers(finishing)
        self._checking = Workers(checking)
        self._whitening: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def finish(self, data: bytes, finish: Finish | None, holder: str) -> FinishedImage:
        image = judge(data, await _read_header(data))
        if finish is None or _is_finished(image, finish):
            return image
        try:
            answer = await self._finishing.do(holder, _finishing_job(image, finish))
        except WorkerFailed as error:
            # It is paid for: another size or format is better than none.
            self._telemetry.record(ImageUnprocessed(origin="provider", reason=error.reason))
            _log.error("image not finished", extra={"reason": error.reason})
            return image
        if not answer.is_whole:
            raise ImageBroken
        # The provider's credentials do not hold for new pixels, so they are not copied.
        is_lost = image.credentials is ContentCredentials.KEPT
        credentials = ContentCredentials.LOST if is_lost else image.credentials
        return FinishedImage(answer.data, *_form(image, finish), credentials)

    def read_input(self, role: str, path: str, digest: str, size_bytes: int) -> InputImage:
        with Path(path).open("rb") as file:
            try:
                head = read_head(FileBytes(file))
            except TooManySegments as error:
                raise ImageBroken from error
        head = head or _NO_HEAD
        image = InputImage(
            role=role,
            digest=digest,
            format=head.format,
            width=head.width,
            height=head.height,
            size_bytes=size_bytes,
            has_alpha=head.has_alpha,
            path=path,
            orientation=head.orientation,
        )
        return replace(image, width=head.height, height=head.width) if image.is_on_its_side else image

    async def check_transparency(self, image: InputImage, holder: str) -> InputImage:
        answer = await self._check(holder, Job("has_transparent_pixel", {"image": image.path}))
        return replace(image, has_alpha=answer == b"\x01")

    async def turn(self, image: InputImage, orientation: int, holder: str) -> InputImage:
        turned = f"{image.path}.turned"
        fields = {"image": image.path, "orientation": orientation, "target": turned}
        try:
            await self._check(holder, Job("turn", fields))
            return self._read_anew(image, _move(turned, Path(image.path)))
        finally:
            _remove(turned)

    async def whiten(self, mask: InputImage, holder: str) -> InputImage:
        white = white_path(mask.path)
        # All calls of an order use it; the first makes it.
        async with self._whitening.setdefault(mask.path, asyncio.Lock()):
            if not white.exists():
                begun = f"{white}.begun"
                try:
                    await self._check(holder, Job("whiten", {"image": mask.path, "target": begun}))
                    _move(begun, white)
                finally:
                    _remove(begun)
        return self._read_anew(mask, white)

    def _read_anew(self, image: InputImage, path: Path) -> InputImage:
        """Return *image* with the content of the file at *path*."""
        return self.read_input(image.role, str(path), image.digest, path.stat().st_size)

    async def aclose(self) -> None:
        """Kill the workers, whatever they do."""
        await self._finishing.aclose()
        await self._checking.aclose()

    async def _check(self, holder: str, job: Job) -> bytes:
        try:
            return (await self._checking.do(holder, job)).data
        except WorkerFailed as error:
            self._telemetry.record(ImageUnprocessed(origin="caller", reason=error.reason))
            raise (ImagingBusy if isinstance(error, WorkersBusy) else ImageBroken) from error


async def _read_header(data: bytes) -> Header | None:
    try:
        return read_header(data)
    except TooManySegments:
        # It is paid for, so all of it is walked.
        return await read_crowded_header(data)


def _move(path: str, target: Path) -> Path:
    return Path(path).replace(target)


def _remove(path: str) -> None:
    Path(path).unlink(missing_ok=True)


def _form(image: FinishedImage, finish: Finish) -> tuple[str, int, int]:
    """Return the format, width and height of *image* once it is finished."""
    return finish.format or image.format, finish.width or image.width, finish.height or image.height


def _is_finished(image: FinishedImage, finish: Finish) -> bool:
    """Tell if *image* is already as *finish* asks, or cannot be: frames or scalability would be lost."""
    if image.format in ("gif", "svg"):
        return True
    return finish.cutout is None and _form(image, finish) == (image.format, image.width, image.height)


def _finishing_job(image: FinishedImage, finish: Finish) -> Job:
    kind, width, height = _form(image, finish)
    cutout = finish.cutout
    fields = {
        "size": (width, height),
        "kind": kind,
        "compression": finish.compression,
        "cutout": (cutout.image.path, cutout.mask.path) if cutout else None,
    }
    return Job("finish", fields, image.data)


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
