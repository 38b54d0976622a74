"""The image routes: read the request, start the order, and answer with its facts."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from service.domain.errors import InvalidOrder
from service.domain.images import Operation
from service.domain.order import ImageOrder
from service.http.answers import Answer
from service.http.bodies import FORM, JSON, MAX_BODY_S, check_media_type, disk_for, memory_for, read_json
from service.http.data_urls import spool_references
from service.http.direct import DirectRoute
from service.http.inputs import prepare_inputs, read_inputs
from service.http.order_request import accepts_partial, build_order, check_prompt_field
from service.http.request_line import note_order, note_running
from service.http.schemas import EditImageJsonRequest, GenerateImageRequest, parse_json_request, read_values
from service.http.services import HttpServices, services_of
from service.http.streaming import stream_answer
from service.http.uploads import Form, read_form

MAX_GENERATION_BYTES = 256 * 1024
MAX_JSON_EDIT_BYTES = 64 * 1024 * 1024

router = APIRouter(tags=["Images"], route_class=DirectRoute)


@router.post(
    "/v1/images/generations",
    operation_id="createImage",
    summary="Create images from a prompt",
    response_class=Response,
)
async def create_image(request: Request) -> Response:
    """Create images; answers in JSON, or with server-sent events if `stream` is true."""
    return await _create(request)


@router.post(
    "/v1/images/generations/stream",
    operation_id="createImageStream",
    summary="Create images from a prompt, and watch them",
    response_class=Response,
)
async def create_image_stream(request: Request) -> Response:
    """Create images with any model; answers with server-sent events, each image as soon as it is made."""
    return await _create(request, is_streamed=True)


async def _create(request: Request, *, is_streamed: bool = False) -> Response:
    check_media_type(request, JSON)
    services = services_of(request.scope)
    with memory_for(request) as room:
        body = await read_json(request, room, MAX_GENERATION_BYTES, MAX_BODY_S)
        fields = parse_json_request(body, GenerateImageRequest)
        del body
    order = build_order(request, services, Operation.GENERATE, fields, is_streamed=is_streamed)
    return await _answer(request, services, order, Form())


@router.post(
    "/v1/images/edits",
    operation_id="editImage",
    summary="Edit images by a prompt",
    response_class=Response,
)
async def edit_image(request: Request) -> Response:
    """Edit images; answers in JSON, or with server-sent events if `stream` is true."""
    return await _edit(request)


@router.post(
    "/v1/images/edits/stream",
    operation_id="editImageStream",
    summary="Edit images by a prompt, and watch them",
    response_class=Response,
)
async def edit_image_stream(request: Request) -> Response:
    """Edit images with any model that edits; answers with server-sent events, each image as soon as it is made."""
    return await _edit(request, is_streamed=True)


async def _edit(request: Request, *, is_streamed: bool = False) -> Response:
    services = services_of(request.scope)
    if check_media_type(request, FORM, JSON) == JSON:
        fields, form = await _read_json_edit(request, services)
    else:
        form = await read_form(request, services.ordering.uploads, disk_for(request))
        fields = form.fields
    return await _answer_form(request, services, Operation.EDIT, fields, form, is_streamed=is_streamed)


@router.post(
    "/v1/images/variations",
    operation_id="createImageVariation",
    summary="Create variations of an image",
    response_class=Response,
)
async def create_image_variation(request: Request) -> Response:
    """Create variations by edits: no provider has the endpoint any more."""
    return await _vary(request)


@router.post(
    "/v1/images/variations/stream",
    operation_id="createImageVariationStream",
    summary="Create variations of an image, and watch them",
    response_class=Response,
)
async def create_image_variation_stream(request: Request) -> Response:
    """Create variations; answers with the server-sent events of edits, each image as soon as it is made."""
    return await _vary(request, is_streamed=True)


async def _vary(request: Request, *, is_streamed: bool = False) -> Response:
    check_media_type(request, FORM)
    services = services_of(request.scope)
    form = await read_form(request, services.ordering.uploads, disk_for(request), most_files=2)
    return await _answer_form(request, services, Operation.VARY, form.fields, form, is_streamed=is_streamed)


async def _answer_form(
    request: Request,
    services: HttpServices,
    operation: Operation,
    fields: dict[str, Any],
    form: Form,
    *,
    is_streamed: bool = False,
) -> Response:
    """Order with inputs; a failure before the order runs removes their files."""
    try:
        check_prompt_field(operation, fields)
        typed = read_values(fields)
        inputs = await read_inputs(services, form)
        order = build_order(request, services, operation, typed, inputs, is_streamed=is_streamed)
        order = await prepare_inputs(services, order)
    except BaseException:
        form.discard()
        raise
    return await _answer(request, services, order, form)


async def _answer(request: Request, services: HttpServices, order: ImageOrder, form: Form) -> Response:
    note_order(request.scope, order)
    try:
        running, sent, ticket = services.ordering.orders.start(order, when_done=form.discard)
    except BaseException:
        form.discard()
        raise
    note_running(request.scope, ticket, running)
    answer = Answer(services, order, sent, ticket, running, accepts_partial=accepts_partial(request))
    if order.is_streamed:
        return await stream_answer(request, order, answer, running)
    return await answer.collect(request)


async def _read_json_edit(request: Request, services: HttpServices) -> tuple[dict[str, Any], Form]:
    """Read a JSON edit; its body is released, as the order may run for minutes."""
    with memory_for(request) as room:
        body = await read_json(request, room, MAX_JSON_EDIT_BYTES, MAX_BODY_S)
        parsed = parse_json_request(body, EditImageJsonRequest)
        _check_texts(parsed, len(body))
        files = disk_for(request)
        # More than the decoded files take.
        files.grow_to(len(body))
        del body
        return await spool_references(parsed, services.ordering.uploads, files)


def _check_texts(fields: dict[str, Any], size_bytes: int) -> None:
    """Check that a large body consists of images: with one emoji, a text takes four times its bytes in memory.

    Some clients escape the slashes of base64, which adds one byte in sixty.
    """
    references = [*fields.get("images", []), *(fields[name] for name in ("mask", "markup") if name in fields)]
    images_bytes = sum(len(each["image_url"]) for each in references if each["image_url"].isascii())
    if size_bytes - images_bytes > MAX_GENERATION_BYTES + size_bytes // 16:
        raise InvalidOrder(
            f"A JSON body may have at most {MAX_GENERATION_BYTES} bytes besides its images.",
            param=None,
            code="string_above_max_length",
        )
