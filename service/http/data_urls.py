"""Spool the images of a JSON edit, which are data URLs, like uploaded files."""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pybase64

from service.domain.errors import InvalidOrder
from service.gateway.admission.held_bytes import Room
from service.http.uploads import Form, SpooledFile, disk_full, new_path

_DECODED_AT_ONCE = 1024 * 1024
"""Characters that are decoded, hashed and written in two milliseconds; a multiple of four."""


async def spool_references(
    fields: dict[str, Any], directory: Path, room: Room
) -> tuple[dict[str, Any], Form]:
    """Return *fields* without its images, and a form with their files.

    Yields to the event loop between parts: in asyncio's threads, large bodies would hold up the images of others.
    Raises as `_spool` does.
    """
    form = Form(room)
    try:
        for place, reference in enumerate(fields.pop("images", [])):
            form.files.append(await _spool(directory, "image", reference["image_url"], f"images[{place}]"))
        for name in ("mask", "markup"):
            if name in fields:
                form.files.append(await _spool(directory, name, fields.pop(name)["image_url"], name))
    except BaseException:
        form.discard()
        raise
    return fields, form


async def _spool(directory: Path, name: str, url: str, place: str) -> SpooledFile:
    """Write the image of a data URL to disk, as a file of the form field *name*; *place* is its own in the body.

    Raises:
        InvalidOrder: *url* is not a base64 `data:` URL. Others are not fetched: they could reach internal services.
        BytesRefused: the disk does not take it.
    """
    head, separator, _ = url.partition(",")
    if not separator or not head.startswith("data:") or not head.endswith(";base64"):
        raise InvalidOrder(
            f"Invalid '{place}.image_url': only base64 data URLs (data:image/png;base64,...) are accepted.",
            param=f"{place}.image_url",
            code="invalid_image_url",
        )
    try:
        path = new_path(directory)
        try:
            return await _decode(name, url, len(head) + 1, path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
    except ValueError as error:
        raise InvalidOrder(
            f"Invalid '{place}.image_url': the base64 of the data URL is malformed.",
            param=f"{place}.image_url",
            code="invalid_base64_image",
        ) from error
    except OSError as error:
        raise disk_full(error) from error


async def _decode(name: str, url: str, start: int, path: Path) -> SpooledFile:
    """Write the base64 of *url* from *start* on to *path*; raises `ValueError` or `OSError`."""
    digest, size_bytes = hashlib.sha256(), 0
    with path.open("wb") as file:
        for place in range(start, len(url), _DECODED_AT_ONCE):
            if size_bytes % 3:
                raise ValueError("padding before the end")
            data = pybase64.b64decode(url[place : place + _DECODED_AT_ONCE], validate=True)
            file.write(data)
            digest.update(data)
            size_bytes += len(data)
            await asyncio.sleep(0)
    return SpooledFile(name, path, digest.hexdigest(), size_bytes)
