"""`/v1/images/files/{name}`: stored images behind signed links.

A link is the credential. Content never changes under a name, so caches may keep it
for ever; it is shown on any internal page (`CORP: cross-origin`) but never run.
"""

import re

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from service.domain.errors import ImageMissing
from service.http.errors import Problem
from service.http.schemas import ErrorResponse
from service.http.services import services_of

_NAME = re.compile(r"[0-9a-f]{64}\.(png|jpeg|webp|gif|svg)")
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")

router = APIRouter(tags=["Images"])


@router.head("/v1/images/files/{name}", include_in_schema=False)
@router.get(
    "/v1/images/files/{name}",
    operation_id="getImageFile",
    summary="Download a stored image by its signed link",
    response_class=Response,
    responses={
        200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}},
        "4XX": {"model": ErrorResponse},
    },
)
async def get_image_file(request: Request, name: str) -> Response:
    """Serve the file, a single range of it, or 304."""
    services = services_of(request.scope)
    if not _NAME.fullmatch(name):
        raise ImageMissing
    services.links.check(name, request.url.query)
    digest, _, kind = name.partition(".")
    media_type = "image/svg+xml" if kind == "svg" else f"image/{kind}"
    headers = {
        "etag": f'"{digest}"',
        "cache-control": "private, max-age=31536000, immutable",
        "accept-ranges": "bytes",
        # A drawing can hold scripts: it is downloaded, not shown as a page of ours.
        "content-disposition": f'{"attachment" if kind == "svg" else "inline"}; filename="{digest[:16]}.{kind}"',
        "cross-origin-resource-policy": "cross-origin",
        "content-security-policy": "default-src 'none'; sandbox",
    }
    size_bytes = await services.files.size(name)
    if _matches(request.headers.get("if-none-match", ""), headers["etag"]):
        return Response(status_code=304, headers=headers)
    # Ranges have a meaning for GET only (RFC 9110, 14.2).
    is_head = request.method == "HEAD"
    start, end, status = (
        (0, size_bytes, 200) if is_head else _asked_part(request, headers["etag"], size_bytes)
    )
    if start >= end:
        problem = Problem(416, "This range is outside the image.", code="range_not_satisfiable")
        return Response(
            problem.body(),
            416,
            headers={"content-range": f"bytes */{size_bytes}"},
            media_type="application/json",
        )
    headers["content-length"] = str(end - start)
    if status == 206:
        headers["content-range"] = f"bytes {start}-{end - 1}/{size_bytes}"
    if is_head:
        return Response(status_code=status, headers=headers, media_type=media_type)
    chunks = services.files.read(name, start, end)
    return StreamingResponse(chunks, status, headers=headers, media_type=media_type)


def _matches(field: str, etag: str) -> bool:
    """Whether an `If-None-Match` names *etag*, weakly compared (RFC 9110, 13.1.2)."""
    return field.strip() == "*" or etag in (part.strip().removeprefix("W/") for part in field.split(","))


def _asked_part(request: Request, etag: str, size_bytes: int) -> tuple[int, int, int]:
    """Return (start, end, status) of what to send: one range, or everything.

    Several ranges, other units and a stale `If-Range` get everything, as RFC 9110
    allows; a start behind the end of the file comes back empty.
    """
    match = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if match is None or match.group(0) == "bytes=-" or request.headers.get("if-range", etag) != etag:
        return 0, size_bytes, 200
    first, last = match.groups()
    if not first:
        return max(0, size_bytes - int(last)), size_bytes, 206
    end = min(int(last) + 1, size_bytes) if last else size_bytes
    return int(first), end, 206
