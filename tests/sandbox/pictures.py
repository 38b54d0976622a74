"""Getting at the pictures in an answer."""

import base64
import io

import httpx
from PIL import Image


def read_files(answer: httpx.Response) -> list[bytes]:
    """Return the files of a good answer that carries base64."""
    assert answer.status_code == 200, answer.text
    return [base64.b64decode(one["b64_json"], validate=True) for one in answer.json()["data"]]


def open_picture(file: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(file))
    picture.load()
    return picture
