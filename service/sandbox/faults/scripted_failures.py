"""Turn a scripted `Failure` into an HTTP answer.

Owns the type and text of each code. Does not decide when to fail (`behaviour`).
"""

from starlette.responses import Response

from service.sandbox.faults.behaviour import Failure
from service.sandbox.wire.azure_refusals import AzureRefusal
from service.sandbox.wire.error_envelope import ErrorType, Refusal
from service.sandbox.wire.json_bodies import to_json
from service.sandbox.wire.kinds import Kind
from service.sandbox.wire.retry_headers import to_retry_headers

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


def to_failed_response(failure: Failure, kind: Kind, answer: bytes | None = None) -> Response:
    """Return the failure; *answer* is the good answer that it replaces, if there is one.

    A truncated body is half of the good answer, or else of the envelope: complete HTTP, broken JSON.
    """
    body, media_type = _to_body(failure, kind, answer)
    response = Response(body, failure.status, media_type=media_type)
    if failure.retry_after_s is not None:
        response.headers.update(to_retry_headers(failure.retry_after_s, failure.retry_style))
    return response


def _to_refusal(failure: Failure, kind: Kind) -> Refusal:
    """Return the failure in the envelope of the imitated server: on Azure a failure without a code has its status."""
    usual = _SERVER_FAULT if failure.status >= 500 else _CALLER_FAULT
    error_type, message = _KNOWN.get(failure.code or "", _BY_STATUS.get(failure.status, usual))
    message = failure.message or message
    if kind is Kind.AZURE:
        return AzureRefusal(failure.status, message, code=failure.code or str(failure.status))
    return Refusal(failure.status, message, kind=error_type, code=failure.code)


def _to_body(failure: Failure, kind: Kind, answer: bytes | None) -> tuple[bytes, str | None]:
    envelope = to_json(_to_refusal(failure, kind).to_envelope())
    match failure.body:
        case "html":
            return f"<html><body><h1>{failure.status} Bad gateway</h1></body></html>".encode(), "text/html"
        case "empty":
            return b"", None
        case "truncated_json":
            whole = answer or envelope
            return whole[: len(whole) // 2], "application/json"
        case "envelope":
            return envelope, "application/json"
