"""Turn a scripted `Failure` into an HTTP answer.

Owns the type and text of each code. Does not decide when to fail (`behaviour`).
"""

from starlette.responses import Response

from service.sandbox.faults.behaviour import Failure
from service.sandbox.faults.hostile_bodies import CutResponse, to_gzip_bomb
from service.sandbox.wire.azure_refusals import AzureRefusal
from service.sandbox.wire.error_envelope import ErrorType, Refusal
from service.sandbox.wire.error_shapes import ErrorShape
from service.sandbox.wire.json_bodies import to_json, to_refused, to_response
from service.sandbox.wire.kinds import Kind
from service.sandbox.wire.retry_headers import to_duration, to_retry_headers

_KNOWN = {
    "billing_hard_limit_reached": (ErrorType.BILLING, "Billing hard limit has been reached."),
    "credit_balance_exhausted": (ErrorType.QUOTA, "You exceeded your current quota."),
    "insufficient_quota": (ErrorType.QUOTA, "You exceeded your current quota."),
    "invalid_api_key": (ErrorType.INVALID_REQUEST, "Incorrect API key provided: sk-***."),
    "rate_limit_exceeded": (ErrorType.REQUESTS, "Rate limit reached on images per min."),
    "server_is_overloaded": (ErrorType.OVERLOADED, "The model is temporarily overloaded."),
    "slow_down": (ErrorType.RATE_LIMIT, "Your request rate increased too quickly."),
}
_BY_STATUS = {
    401: (ErrorType.INVALID_REQUEST, "Incorrect API key provided: sk-***."),
    403: (ErrorType.INVALID_REQUEST, "The project does not have access to the requested model."),
    429: (ErrorType.REQUESTS, "Rate limit reached."),
    503: (ErrorType.OVERLOADED, "The model is temporarily overloaded."),
}
_SERVER_FAULT = (ErrorType.SERVER, "The image could not be generated or processed.")
_CALLER_FAULT = (ErrorType.INVALID_REQUEST, "The request was refused.")


def to_failed_response(
    failure: Failure, kind: Kind, shape: ErrorShape, answer: bytes | None = None
) -> Response:
    """Return the failure; *answer* is the good answer that it replaces, if there is one.

    A truncated body is half of the good answer, or else of the envelope: complete HTTP, broken JSON. A cut one is the same
    half, in broken HTTP.
    """
    if failure.body == "gzip_bomb":
        response = to_gzip_bomb(failure.status, failure.bomb_bytes)
    elif failure.body == "envelope":
        response = to_refused(_to_refusal(failure, kind), shape)
    else:
        whole = answer or to_json(_to_refusal(failure, kind).to_envelope())
        response = _to_broken_response(failure, whole)
    response.headers.update(failure.headers)
    if failure.retry_after_s is not None:
        response.headers.update(to_retry_headers(failure.retry_after_s, failure.retry_style))
    return response


def _to_refusal(failure: Failure, kind: Kind) -> Refusal:
    """Return the failure in the envelope of the imitated server: on Azure a failure without a code has its status."""
    usual = _SERVER_FAULT if failure.status >= 500 else _CALLER_FAULT
    error_type, message = _KNOWN.get(failure.code or "", _BY_STATUS.get(failure.status, usual))
    message = failure.message or message
    if failure.retry_after_s is not None and failure.retry_style == "text":
        message += f" Please try again in {to_duration(failure.retry_after_s)}."
    if kind is Kind.AZURE:
        return AzureRefusal(failure.status, message, code=failure.code or str(failure.status))
    return Refusal(failure.status, message, kind=error_type, code=failure.code)


def _to_broken_response(failure: Failure, whole: bytes) -> Response:
    """Return a response without the JSON that its status promises; *whole* is what it breaks."""
    status, json = failure.status, "application/json"
    match failure.body:
        case "html":
            page = f"<html><body><h1>{status} Bad gateway</h1></body></html>"
            return Response(page, status, media_type="text/html")
        case "truncated_json":
            return Response(whole[: len(whole) // 2], status, media_type=json)
        case "cut":
            return CutResponse(whole, status, media_type=json)
        case "empty_data":
            return to_response({"created": 1, "data": []}, status)
        case _:
            return Response(status_code=status)
