"""`/`: serve a page for trying the gateway by hand, without a build step or a CDN."""

from importlib.resources import files

from fastapi import APIRouter
from starlette.responses import Response

_POLICY = "default-src 'self'; img-src 'self' data: https: http:; form-action 'none'; frame-ancestors 'none'"
"""Only the script sends the form: a browser would put its content into the URL."""

router = APIRouter(include_in_schema=False)


@router.head("/")
@router.get("/")
async def get_page() -> Response:
    return _serve("index.html", "text/html")


@router.get("/playground.js")
async def get_script() -> Response:
    return _serve("playground.js", "text/javascript")


@router.get("/playground.css")
async def get_style() -> Response:
    return _serve("playground.css", "text/css")


def _serve(name: str, media_type: str) -> Response:
    text = (files("service") / "web" / name).read_text("utf-8")
    headers = {"content-security-policy": _POLICY, "cache-control": "no-cache"}
    return Response(text, headers=headers, media_type=media_type)
