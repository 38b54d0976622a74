"""Make image files to send, and read those of an answer."""

import base64
import hashlib
import io

import httpx
from PIL import Image


def read_files(answer: httpx.Response) -> list[bytes]:
    """Return the files of a good answer that carries base64."""
    assert answer.status_code == 200, answer.text
    return [base64.b64decode(one["b64_json"], validate=True) for one in answer.json()["data"]]


def make_file(
    *,
    size: tuple[int, int] = (64, 48),
    mode: str = "RGBA",
    file_format: str = "PNG",
    colour: str = "#3070b0c0",
) -> bytes:
    """Return the file of a one-coloured image."""
    file = io.BytesIO()
    plain = Image.new("RGBA", size, colour).convert(mode)
    plain.save(file, file_format)
    return file.getvalue()


def digest(file: bytes) -> str:
    """Return the file's SHA-256 as the journal has it."""
    return hashlib.sha256(file).hexdigest()


def open_image(file: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(file))
    image.load()
    return image
