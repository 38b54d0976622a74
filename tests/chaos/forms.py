"""Write edits as callers send them: small ones, hostile ones, and files of every kind."""

import base64
import io
import random
from typing import Any

import aiohttp
from PIL import Image

from tests.chaos.ground import EDITS, Answer, Ground, new_prompt
from tests.chaos.provider import new_picture

_SEGMENT_BYTES = 1000


def noise(width: int, height: int | None = None, *, mode: str = "RGB", seed: int = 1) -> Image.Image:
    """Return an image in which no two places are alike."""
    size = (width, height or width)
    count = size[0] * size[1] * len(mode)
    return Image.frombytes(mode, size, random.Random(seed).randbytes(count))


def file_of(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def jpeg_of_segments(size_bytes: int) -> bytes:
    """Return a JPEG whose Exif is in thousands of segments, which some decoders join one by one."""
    plain = file_of(noise(64), "JPEG")
    segment = b"\xff\xe1" + (_SEGMENT_BYTES + 8).to_bytes(2, "big") + b"Exif\0\0" + bytes(_SEGMENT_BYTES)
    return plain[:2] + segment * (size_bytes // len(segment)) + plain[2:]


def gif_of_comments(size_bytes: int) -> bytes:
    """Return a GIF with thousands of comments."""
    plain = file_of(noise(64).convert("P"), "GIF")
    comment = b"\x21\xfe" + b"\xff" + b"x" * 255 + b"\0"
    return plain[:-1] + comment * (size_bytes // len(comment)) + b"\x3b"


async def edit(ground: Ground, url: str, file: bytes = b"", *, mask: bytes = b"", **fields: str) -> Answer:
    """Order an edit by a form; of a small image with a prompt of its own unless told."""
    form = aiohttp.FormData({"model": "gpt-image-2", "prompt": new_prompt(), **fields})
    # aiohttp warns of large bytes.
    content = io.BytesIO(file or new_picture())
    form.add_field("image", content, filename="image", content_type="application/octet-stream")
    if mask:
        form.add_field("mask", mask, filename="mask", content_type="image/png")
    return await ground.post(f"{url}{EDITS}", data=form)


def image_in(answer: Answer) -> Image.Image:
    """Return the image of an answer by base64."""
    image = Image.open(io.BytesIO(bytes_in(answer)))
    image.load()
    return image


def bytes_in(answer: Answer) -> bytes:
    if answer.status != 200:
        raise AssertionError(f"{answer.status} {answer.content[:300]!r}")
    return base64.b64decode(answer.json["data"][0]["b64_json"])
