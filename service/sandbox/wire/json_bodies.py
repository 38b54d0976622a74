"""Read JSON bodies and write JSON answers.

Knows no endpoint.
"""

import orjson
from starlette.requests import Request
from starlette.responses import Response

from service.sandbox.wire.error_envelope import Refusal
from service.sandbox.wire.error_shapes import ErrorShape, to_shape


async def read_object(request: Request) -> dict[str, object]:
    """Return the JSON object of a body; raises the 400 for anything else."""
    try:
        body: object = orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        # The wording is OpenAI's, from its other endpoints.
        message = f"We could not parse the JSON body of your request. (HINT: {error})"
        raise Refusal(400, message) from error
    if not isinstance(body, dict):
        raise Refusal(400, "Invalid body: expected an object.", code="invalid_type")
    return body


def to_json(value: object) -> bytes:
    return orjson.dumps(value)


def to_response(value: object, status: int = 200) -> Response:
    return Response(to_json(value), status, media_type="application/json")


def to_refused(refusal: Refusal, shape: ErrorShape = "openai") -> Response:
    status, body = to_shape(refusal, shape)
    response = Response(status_code=status) if body is None else to_response(body, status)
    response.headers.update(refusal.headers)
    return response
