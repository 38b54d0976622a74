"""Run a gateway in front of a sandbox, and control both, for tests of whole orders with images.

Owns both processes, images to send, and forms written byte by byte.
"""

import base64
import contextlib
import hashlib
import io
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from PIL import Image

from tests.contract.conformance import HELD
from tests.processes import Gateway, is_check, run_gateway, run_sandbox

BOUNDARY = "a-boundary"
PATIENCE_S = 30.0
SPARING_S = 3.0
"""A hundred times what a body of a few megabytes takes; 100,000 of anything against each other take far longer."""
EDITS, VARIATIONS, GENERATIONS = "/v1/images/edits", "/v1/images/variations", "/v1/images/generations"

Part = tuple[str, bytes, str | None, str | None]
"""Name, content, file name and content type; without a file name it is a text field."""


@dataclass(slots=True)
class House:
    """A running gateway and its provider."""

    gateway: Gateway
    client: httpx.Client
    sandbox: httpx.Client
    data_dir: Path

    def behave(self, **fields: object) -> None:
        """Replace the sandbox's behaviour."""
        self.sandbox.put("/sandbox/behaviour", json=fields).raise_for_status()

    def journal(self, *, prompt: str | None = None) -> list[dict[str, Any]]:
        """Return the calls that reached the provider, once none is in flight."""
        answer = self.sandbox.get("/sandbox/journal", params={"settle_s": 10})
        entries = [entry for entry in answer.json()["entries"] if not is_check(entry)]
        return [entry for entry in entries if prompt is None or (entry["prompt"] or "").startswith(prompt)]

    def painted(self, prompt: str) -> list[dict[str, Any]]:
        """Return the images that the provider painted for *prompt*."""
        return [image for entry in self.journal(prompt=prompt) for image in entry["images"]]

    def journal_of_input(self, file: bytes) -> list[dict[str, Any]]:
        """Return the calls that *file* was sent with."""
        return [
            entry
            for entry in self.journal()
            if any(each["sha256"] == digest_of(file) for each in entry["inputs"])
        ]

    def uploads(self) -> list[Path]:
        """Return what lies in the directory of uploads."""
        directory = self.data_dir / "uploads"
        return sorted(directory.iterdir()) if directory.exists() else []

    def file_behind(self, link: httpx.URL) -> Path:
        """Return the file of the image of a link."""
        (file,) = self.data_dir.rglob(link.path.rpartition("/")[2])
        return file

    def check_uploads_gone(self) -> None:
        until(lambda: not self.uploads())

    @contextlib.contextmanager
    def unharmed(self) -> Iterator[None]:
        """Check that the block leaves no file, and that nothing crashed."""
        log_bytes = self.gateway.log.stat().st_size
        yield
        self.check_uploads_gone()
        assert b"traceback" not in self.gateway.log.read_bytes()[log_bytes:].lower()

    def cpu_s(self) -> float:
        """Return the CPU time that the gateway and its workers have taken."""
        process = psutil.Process(self.gateway.process.pid)
        times = [each.cpu_times() for each in (process, *process.children(recursive=True))]
        return sum(each.user + each.system for each in times)

    @contextlib.contextmanager
    def sparing(self) -> Iterator[None]:
        """Check that the CPU time of the block is not quadratic in its size."""
        before_s = self.cpu_s()
        yield
        assert self.cpu_s() - before_s < SPARING_S

    def edit(self, *files: tuple[str, bytes], **fields: str) -> httpx.Response:
        """Order an edit; each of *files* is a field and its bytes."""
        return self._post(EDITS, files, fields)

    def vary(self, *files: tuple[str, bytes], **fields: str) -> httpx.Response:
        return self._post(VARIATIONS, files, fields)

    def _post(self, route: str, files: Sequence[tuple[str, bytes]], fields: dict[str, str]) -> httpx.Response:
        named = [(name, ("upload", data, "application/octet-stream")) for name, data in files]
        return self.client.post(route, files=named, data=fields)


@contextlib.contextmanager
def open_house(directory: Path, **settings: object) -> Iterator[House]:
    """Run a sandbox and a gateway before it, without limits unless *settings* say otherwise."""
    limits = {"default_policy__requests_per_min": 0, "default_policy__images_per_min": 0}
    with run_sandbox() as url:
        given = {"openai_base_url": f"{url}/v1", "openai_api_key": "sk-ours", **limits, **settings}
        with (
            run_gateway(directory, **given) as gateway,
            httpx.Client(base_url=gateway.url, trust_env=False, timeout=60, event_hooks=HELD) as client,
            httpx.Client(base_url=url, trust_env=False, timeout=60) as sandbox,
        ):
            yield House(gateway, client, sandbox, directory)


def until(condition: Callable[[], object]) -> None:
    """Wait for what another process does by itself."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come about"
        time.sleep(0.02)


def noise(width: int = 64, height: int | None = None, *, seed: int = 1, mode: str = "RGB") -> Image.Image:
    """Return an image in which no two places are alike."""
    size = (width, height or width)
    count = size[0] * size[1] * len(Image.new(mode, (1, 1)).getbands())
    return Image.frombytes(mode, size, random.Random(seed).randbytes(count))


def file_of(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return target.getvalue()


def png(width: int = 64, *, seed: int = 1, mode: str = "RGB") -> bytes:
    return file_of(noise(width, seed=seed, mode=mode))


def mask_with_hole(width: int, height: int | None = None) -> Image.Image:
    """Return a mask that lets the right half be repainted."""
    height = height or width
    mask = Image.new("RGBA", (width, height), (0, 0, 0, 255))
    mask.paste((0, 0, 0, 0), (width // 2, 0, width, height))
    return mask


def pictures_of(answer: httpx.Response) -> list[Image.Image]:
    """Return the decoded images of a good answer, from its links or its base64."""
    assert answer.status_code == 200, answer.text
    return [open_picture(file) for file in files_of(answer)]


def files_of(answer: httpx.Response) -> list[bytes]:
    return [
        httpx.get(entry["url"], trust_env=False).content
        if "url" in entry
        else base64.b64decode(entry["b64_json"], validate=True)
        for entry in answer.json()["data"]
    ]


def open_picture(file: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(file))
    image.load()
    return image


def digest_of(file: bytes) -> str:
    return hashlib.sha256(file).hexdigest()


def data_url(file: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(file).decode()}"


def text(name: str, value: str) -> Part:
    return name, value.encode(), None, None


def file(name: str, data: bytes, *, kind: str | None = "application/octet-stream") -> Part:
    return name, data, "upload", kind


def form(*parts: Part, end: bytes = b"--\r\n") -> bytes:
    """Return a multipart body; *end* follows the last boundary."""
    pieces = []
    for name, content, filename, kind in parts:
        disposition = f'form-data; name="{name}"'
        if filename is not None:
            disposition += f'; filename="{filename}"'
        lines = [f"--{BOUNDARY}", f"content-disposition: {disposition}"]
        if kind is not None:
            lines.append(f"content-type: {kind}")
        pieces.append("\r\n".join(lines).encode() + b"\r\n\r\n" + content + b"\r\n")
    return b"".join(pieces) + f"--{BOUNDARY}".encode() + end


def post_form(
    client: httpx.Client, body: bytes | Iterator[bytes], *, route: str = EDITS, boundary: str = BOUNDARY
) -> httpx.Response:
    """Post a form as it is; an iterator goes chunked and without a length."""
    kind = f"multipart/form-data; boundary={boundary}" if boundary else "multipart/form-data"
    return client.post(route, content=body, headers={"content-type": kind})


def check_error(answer: httpx.Response, status: int, *, code: str | None, param: str | None) -> str:
    """Check the envelope of a refusal; returns its message."""
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert (error["code"], error["param"]) == (code, param), error
    message: str = error["message"]
    return message
