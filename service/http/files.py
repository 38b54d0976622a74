"""`/v1/images/files/{name}`: serve stored images by signed links; let their owners describe and delete them.

A link works as long as its team keeps the image. The content of a name never changes, so caches
may keep it forever; any page may show it (`CORP: cross-origin`), and no browser runs it.
Describing and deleting need credentials, and an image of another caller counts as missing.
"""

import re
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from service.domain.callers import Caller, Role
from service.domain.delivering import delivery_headers
from service.domain.errors import ImageMissing, ImageNotKept, StoreUnavailable
from service.http.access import caller_of
from service.http.direct import DirectRoute
from service.http.errors import Problem
from service.http.services import HttpServices, services_of
from service.ports.references import Reference

_NAME = re.compile(r"[0-9a-f]{64}\.(png|jpeg|webp|gif|svg)")
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")

_MOST_UNWATCHED_BYTES = 4 * 1024 * 1024
"""Most bytes that may be read in vain for a client that has left."""
_NO_RANGE = Problem(416, "This range is outside the image.", code="range_not_satisfiable")

router = APIRouter(tags=["Images"])
links = APIRouter(tags=["Images"], route_class=DirectRoute)
"""The routes of signed links."""

_Name = Annotated[str, Path(description="Name of the file, as in the link: its SHA-256 and its format.")]
_Team = Annotated[str | None, Query(description="For admins: team of the image; their own team by default.")]
_User = Annotated[
    str | None, Query(description="For service keys and open gateways: user who ordered the image.")
]


class ImageModels(BaseModel):
    """The model as the caller asked for it, as the gateway sent it, and as the provider answered it, if it did."""

    asked: str
    sent: str
    answered: str | None


class ImageInfo(BaseModel):
    """Origin of a stored image."""

    object: Literal["image"] = "image"
    name: str
    created: int = Field(description="Seconds since 1970.")
    operation: str
    models: ImageModels
    backend: str | None = Field(description="Name of the backend that made the image; null if unknown.")
    realm: str = Field(description="`live`, or `sandbox` for test images.")
    fingerprint: str = Field(description="Keyed hash of the order; equal orders have equal ones.")
    parents: list[str] = Field(description="SHA-256 of every input image.")
    size_bytes: int
    width: int
    height: int
    content_credentials: str = Field(
        description="C2PA data of the provider: `kept` unchanged, `lost` in resampling, `none` received, or `unknown`, "
        "if the file has more segments than the gateway searches."
    )
    cost_microusd: int | None = Field(description="Null if the price is unknown.")
    team: str
    user: str = Field(description="Keyed hash of the user who ordered it.")
    brief: bool = Field(description="True if ordered with `no-store`; such an image is kept for an hour.")


@links.head("/v1/images/files/{name}", include_in_schema=False)
@links.get(
    "/v1/images/files/{name}",
    operation_id="getImageFile",
    summary="Download a stored image by its signed link",
    response_class=Response,
)
async def get_image_file(request: Request, name: _Name) -> Response:
    """Serve the file or a range of it, redirect to the store, or answer 304; 410 once the image is deleted."""
    services = services_of(request.scope)
    _check_name(name)
    team = services.images.links.check(name, request.url.query)
    await services.images.ownership.check_link(team, name)
    try:
        return await _serve(request, services, team, name)
    except ImageMissing as error:
        await services.images.ownership.note_lost(team, name)
        raise ImageNotKept from error


@router.delete(
    "/v1/images/files/{name}",
    operation_id="deleteImageFile",
    summary="Delete a stored image of your own",
    status_code=204,
)
async def delete_image_file(
    request: Request, name: _Name, team: _Team = None, user: _User = None
) -> Response:
    """Remove the image from the cache; its links answer 410. The file is deleted once no team keeps it."""
    _check_name(name)
    services = services_of(request.scope)
    caller = caller_of(request.scope, services, named_user=user)
    with _advising_admins(caller, team):
        await services.images.ownership.delete(caller, name, team=team)
    return Response(status_code=204)


@router.get(
    "/v1/images/files/{name}/info",
    operation_id="getImageInfo",
    summary="Describe a stored image of your own",
)
async def get_image_info(request: Request, name: _Name, team: _Team = None, user: _User = None) -> ImageInfo:
    """Describe the image to the user who ordered it, or to an admin."""
    _check_name(name)
    services = services_of(request.scope)
    caller = caller_of(request.scope, services, named_user=user)
    with _advising_admins(caller, team):
        return _describe(await services.images.ownership.find(caller, name, team=team))


@contextmanager
def _advising_admins(caller: Caller, team: str | None) -> Iterator[None]:
    """Tell an admin who gave no team to name the image's."""
    try:
        yield
    except ImageMissing as error:
        if caller.role is not Role.ADMIN or team is not None:
            raise
        raise ImageMissing(
            f"Your team '{caller.team}' has no such image. For an image of another team, add ?team=NAME."
        ) from error


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise ImageMissing


def _describe(reference: Reference) -> ImageInfo:
    return ImageInfo(
        name=reference.name,
        created=reference.created_s,
        operation=reference.operation,
        models=ImageModels(
            asked=reference.asked_model, sent=reference.sent_model, answered=reference.answered_model
        ),
        backend=reference.backend or None,
        realm=reference.realm,
        fingerprint=reference.fingerprint,
        parents=list(reference.parents),
        size_bytes=reference.size_bytes,
        width=reference.width,
        height=reference.height,
        content_credentials=reference.credentials,
        cost_microusd=reference.cost_microusd,
        team=reference.team,
        user=reference.user,
        brief=reference.is_brief,
    )


async def _serve(request: Request, services: HttpServices, team: str, name: str) -> Response:
    delivered = delivery_headers(name)
    media_type = delivered.media_type
    headers = {
        "etag": f'"{name.partition(".")[0]}"',
        "cache-control": delivered.cache_control,
        "accept-ranges": "bytes",
        "content-disposition": delivered.disposition,
        "cross-origin-resource-policy": "cross-origin",
        "content-security-policy": "default-src 'none'; sandbox",
    }
    size_bytes = await services.images.files.size(name)
    if _matches(request.headers.get("if-none-match", ""), headers["etag"]):
        return Response(status_code=304, headers=headers)
    is_head = request.method == "HEAD"
    if services.images.redirect_s and not is_head and (url := await _presign(services, name)):
        # A cached redirect would outlive the presigned URL.
        return Response(status_code=302, headers={"location": url, "cache-control": "private, no-store"})
    # Ranges have a meaning for GET only (RFC 9110, 14.2).
    start, end, status = (
        (0, size_bytes, 200) if is_head else _asked_part(request, headers["etag"], size_bytes)
    )
    if start >= end:
        return _NO_RANGE.response({"content-range": f"bytes */{size_bytes}"})
    if services.images.front is not None and services.images.front.sends(request):
        return await services.images.front.answer(name, headers, media_type)
    headers["content-length"] = str(end - start)
    if status == 206:
        headers["content-range"] = f"bytes {start}-{end - 1}/{size_bytes}"
    if is_head:
        return Response(status_code=status, headers=headers, media_type=media_type)
    content = await _read(services, team, name, start, end)
    answer: Callable[..., Response] = Response
    if not isinstance(content, bytes):
        answer = _UnwatchedPieces if end - start <= _MOST_UNWATCHED_BYTES else StreamingResponse
    return answer(content, status, headers=headers, media_type=media_type)


class _UnwatchedPieces(StreamingResponse):
    """Sends few pieces without the two tasks that notice that a client leaves."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.stream_response(send)


async def _read(
    services: HttpServices, team: str, name: str, start: int, end: int
) -> bytes | AsyncIterator[bytes]:
    """Return a part of one piece, whose answer takes two tasks less, or the pieces of a larger one."""
    chunks = services.images.files.read(name, start, end)
    # Before the status line is sent: a damaged file can still be a 410.
    first = await anext(chunks)
    if len(first) < end - start:
        return _read_rest(services, team, name, first, chunks)
    await anext(chunks, None)
    return first


async def _presign(services: HttpServices, name: str) -> str | None:
    """Return a presigned URL; None if the gateway has to serve the file."""
    try:
        return await services.images.files.presign(name, ttl_s=services.images.redirect_s)
    except StoreUnavailable:
        return None


async def _read_rest(
    services: HttpServices, team: str, name: str, first: bytes, chunks: AsyncIterator[bytes]
) -> AsyncIterator[bytes]:
    try:
        yield first
        async for chunk in chunks:
            yield chunk
    except ImageMissing:
        # Too late for a status: this answer breaks off, the next one is a 410.
        await services.images.ownership.note_lost(team, name)
        raise


def _matches(field: str, etag: str) -> bool:
    """Tell if an `If-None-Match` names *etag*, weakly compared (RFC 9110, 13.1.2)."""
    return field.strip() == "*" or etag in (part.strip().removeprefix("W/") for part in field.split(","))


def _asked_part(request: Request, etag: str, size_bytes: int) -> tuple[int, int, int]:
    """Return (start, end, status) of the range to send.

    Several ranges, other units and a stale `If-Range` select the whole file, as RFC 9110 allows; a start
    behind its end gives an empty range.
    """
    match = _RANGE.fullmatch(request.headers.get("range", "").replace(" ", ""))
    if match is None or match.group(0) == "bytes=-" or request.headers.get("if-range", etag) != etag:
        return 0, size_bytes, 200
    first, last = match.groups()
    if not first:
        return max(0, size_bytes - int(last)), size_bytes, 206
    end = min(int(last) + 1, size_bytes) if last else size_bytes
    return int(first), end, 206
