"""Save images as files; a file is whole or not there."""

import re
from dataclasses import dataclass
from pathlib import Path

_KINDS = ((b"\x89PNG", "png"), (b"\xff\xd8", "jpg"), (b"RIFF", "webp"), (b"GIF8", "gif"), (b"<", "svg"))


@dataclass(frozen=True, slots=True)
class Album:
    """The directory for the images of one order, whose names begin with *name*."""

    directory: Path
    name: str

    def save(self, place: int, data: bytes) -> Path:
        """Save the image for *place*, which counts from 0; returns its path."""
        path = self.directory / f"{self.name}-{place + 1}.{_extension_of(data)}"
        unfinished = path.with_name(f".{path.name}.part")
        try:
            unfinished.write_bytes(data)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)
        return path


def name_of(request_id: str) -> str:
    """Return the end of a request's id, without characters that could leave the directory; empty if none is left."""
    return re.sub(r"[^A-Za-z0-9]", "", request_id)[-8:]


def _extension_of(data: bytes) -> str:
    return next((extension for start, extension in _KINDS if data.startswith(start)), "img")
