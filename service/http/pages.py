"""Serve the pages for people, `/` and `/admin`, and the files of `service/web/` that they load.

Plain ES modules and CSS, without a build step or a CDN. A page holds no data: its scripts ask the routes that every client
asks, with the key that the person types.
"""

from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from importlib.resources import files
from pathlib import PurePath
from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import Response

from service.http.errors import UNKNOWN_URL, Problem

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    # Images of orders are shown from their bytes; their links open in tabs of their own.
    "img-src 'self' data: blob:; "
    # Only scripts send forms: a browser would put their content into the URL.
    "form-action 'none'; base-uri 'none'; frame-ancestors 'none'"
)
_MEDIA_TYPES = {".css": "text/css", ".html": "text/html", ".js": "text/javascript", ".svg": "image/svg+xml"}

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    media_type: str
    etag: str


@router.head("/")
@router.get("/")
async def get_playground(request: Request) -> Response:
    return _serve(request, "playground.html")


@router.head("/admin")
@router.get("/admin")
async def get_admin_page(request: Request) -> Response:
    return _serve(request, "admin.html")


@router.head("/web/{name:path}")
@router.get("/web/{name:path}")
async def get_file(request: Request, name: Annotated[str, Path()]) -> Response:
    return _serve(request, name)


def _serve(request: Request, name: str) -> Response:
    file = _read_files().get(name)
    if file is None:
        return Problem(404, "There is no such file of the page.", code=UNKNOWN_URL).response()
    # `no-cache` makes a browser ask each time, so that files of two versions never meet.
    headers = {"content-security-policy": _POLICY, "cache-control": "no-cache", "etag": file.etag}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    return Response(file.content, headers=headers, media_type=file.media_type)


@cache
def _read_files() -> dict[str, _File]:
    """Read all files once, a few hundred kilobytes, so that a path cannot leave their directory."""
    return dict(_walk(PurePath()))


def _walk(directory: PurePath) -> list[tuple[str, _File]]:
    found: list[tuple[str, _File]] = []
    for entry in (files("service") / "web").joinpath(str(directory)).iterdir():
        path = directory / entry.name
        if entry.is_dir():
            found += _walk(path)
        elif path.suffix in _MEDIA_TYPES:
            content = entry.read_bytes()
            etag = f'"{sha256(content).hexdigest()[:32]}"'
            found.append((path.as_posix(), _File(content, _MEDIA_TYPES[path.suffix], etag)))
    return found
