"""Map every failure to a status and the OpenAI error envelope.

Every failure answers `{"error": {message, type, param, code}}`. The status and `x-should-retry`
tell if a retry can help: SDKs retry 408, 409, 429 and 5xx by themselves, and a useless retry
costs money.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.domain import errors
from service.domain.errors import GatewayError
from service.domain.failures import CallFailure, FailureKind
from service.http.headers import NO_RETRY, limit_headers, retry_headers
from service.http.methods import allowed_methods, ask_for_path

UNKNOWN_URL = "unknown_url"


@dataclass(frozen=True, slots=True)
class Problem:
    """The answer to a failure: status, the fields of the envelope, more *details*, and headers.

    *refused_by* has the `limit` that refused, and its `scope`, for the log.
    """

    status: int
    message: str
    type: str = "invalid_request_error"
    code: str | None = None
    param: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, Any] = field(default_factory=dict)
    refused_by: Mapping[str, str] = field(default_factory=dict)

    def error(self) -> dict[str, Any]:
        known = {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        return {**self.details, **known}

    def body(self) -> bytes:
        return orjson.dumps({"error": self.error()})

    def response(self, headers: Mapping[str, str] | None = None) -> Response:
        """Return the answer; the problem's headers take precedence over *headers*."""
        return _ProblemResponse(self, {**(headers or {}), **self.headers})

    def without_retry(self) -> "Problem":
        """Return the answer to an order that SDKs must not repeat by themselves."""
        headers = {name: value for name, value in self.headers.items() if not name.startswith("retry-after")}
        return replace(self, headers=headers | NO_RETRY)

    def add_to_log(self, scope: Scope) -> None:
        """Add the failure to the request's log line."""
        scope.setdefault("state", {})["problem"] = self


class _ProblemResponse(Response):
    """An answer that adds its failure to the log line."""

    def __init__(self, problem: Problem, headers: Mapping[str, str]) -> None:
        super().__init__(problem.body(), problem.status, headers=headers, media_type="application/json")
        self._problem = problem

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._problem.add_to_log(scope)
        await super().__call__(scope, receive, send)


class RequestRejected(Exception):
    """A request was rejected before it became an order; carries the answer."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


BODY_TOO_SLOW = Problem(
    408, "The body did not arrive in time.", code="request_timeout", headers={"connection": "close"}
)
IMAGING_BUSY = Problem(
    503,
    "Too many images wait to be processed. Nothing was spent; try again later.",
    code="overloaded",
    headers=retry_headers(5.0),
)
ESTIMATES_BUSY = Problem(
    429,
    "You ask for too many estimates at once. Wait until some are answered.",
    "estimates",
    "rate_limit_exceeded",
    headers=retry_headers(1.0),
    refused_by={"limit": "estimates", "scope": "caller"},
)
CLIENT_GONE = Problem(499, "The client closed the connection.", code="client_gone")
"""The status of nginx for this; only logs and metrics see it."""


def unsupported_type(given: str, *takes: str) -> Problem:
    """Return the answer to a body of the media type *given*, to a route that *takes* others."""
    fault = f"Content-Type '{given[:100]}' is not understood: send" if given else "Send"
    return Problem(415, f"{fault} the body as {' or '.join(takes)}.", code="unsupported_media_type")


def body_too_large(limit_bytes: int) -> Problem:
    return Problem(
        413, f"The body of the request is larger than {limit_bytes} bytes.", code="request_too_large"
    )


def describe(error: Exception) -> Problem:
    """Return the answer to *error*; an unknown one is a bug, and the answer is general."""
    make = next((make for kind, make in _TABLE if isinstance(error, kind)), None)
    if make is None:
        return INTERNAL
    problem = make(error)
    return problem.without_retry() if isinstance(error, GatewayError) and error.pays_again else problem


async def answer_error(request: Request, error: Exception) -> Response:
    """Answer a failure: the application's only exception handler."""
    problem = describe(error)
    if problem.status == 405:
        methods = allowed_methods(request)
        message = f"This route takes {methods}, not {request.method}."
        problem = replace(problem, message=message, headers={"allow": methods})
    elif problem.code == UNKNOWN_URL:
        message = f"Unknown request URL.{ask_for_path(request.url.path)} /docs lists all routes."
        problem = replace(problem, message=message)
    return problem.response()


def _invalid_order(error: errors.InvalidOrder) -> Problem:
    return Problem(400, str(error), error.error_type, error.code, error.param)


def _rate_limited(error: errors.RateLimited) -> Problem:
    # Images in flight have no reset, only a guess at the next place.
    refused = replace(error.refused, reset_s=max(error.refused.reset_s, error.retry_after_s))
    headers = limit_headers(error.limits, degraded=error.degraded, refused=refused)
    refused_by = {"limit": refused.resource, "scope": refused.scope}
    if error.is_quota:
        # OpenAI's code for a limit that lasts until the next period: a retry is useless.
        kind = code = "insufficient_quota"
        headers |= NO_RETRY
    else:
        kind, code = error.refused.resource, "rate_limit_exceeded"
        headers |= retry_headers(error.retry_after_s)
    return Problem(429, str(error), kind, code, headers=headers, refused_by=refused_by)


def _bytes_refused(error: errors.BytesRefused) -> Problem:
    match error.reason:
        case "body":
            return Problem(413, str(error), code="request_too_large")
        case "caller":
            return Problem(
                429,
                str(error),
                "bytes",
                "rate_limit_exceeded",
                headers=retry_headers(1.0),
                refused_by={"limit": "bytes", "scope": "caller"},
            )
        case "total":
            return Problem(503, str(error), "server_error", "overloaded", headers=retry_headers(1.0))
        case "disk":
            return Problem(503, str(error), "server_error", "disk_full", headers=retry_headers(10.0))


_LASTING = (FailureKind.REFUSED, FailureKind.INVALID, FailureKind.MISCONFIGURED, FailureKind.MODEL_MISSING)
"""Failures that a repeated order meets again."""


def _order_failed(error: errors.OrderFailed) -> Problem:
    kinds = {failure.kind for failure in error.failures}
    finished = error.kept + error.lost
    if finished == 0 and len(kinds) == 1:
        return _call_failed(error.failures[0])
    # Finished images show that the provider accepts the order: a refused one may succeed.
    may_pass = finished > 0 or not kinds.intersection(_LASTING)
    failed = f"{len(error.failures)} of {len(error.failures) + finished} images failed ({', '.join(sorted(kinds))})."
    return Problem(
        502,
        f"{failed}{_advise_on_repeat(error)}",
        "upstream_error",
        "partial_failure",
        headers={"x-should-retry": str(may_pass).lower()},
        details={"images_kept": error.kept},
    )


def _advise_on_repeat(error: errors.OrderFailed) -> str:
    if error.lost:
        return (
            f" A repeat of the order pays again for {error.lost} finished images, which are not kept: "
            "with 'Prefer: return=partial' or an Idempotency-Key they would not be lost."
        )
    return (
        " The finished images are kept: repeat the order to pay only for the missing ones."
        if error.kept
        else ""
    )


def _call_failed(failure: CallFailure) -> Problem:
    match failure.kind:
        case FailureKind.REFUSED | FailureKind.INVALID:
            return Problem(
                400,
                failure.message,
                failure.type or "invalid_request_error",
                failure.code,
                failure.param,
                details=failure.details,
            )
        case (
            FailureKind.RATE_LIMITED
            | FailureKind.OVERLOADED
            | FailureKind.UNREACHABLE
            | FailureKind.NOT_SENT
            | FailureKind.SHED
        ):
            status, code = _TRANSIENT[failure.kind]
            headers = retry_headers(failure.retry_after_s or 1.0)
            return Problem(status, failure.message, "upstream_error", failure.code or code, headers=headers)
        case (
            FailureKind.MISCONFIGURED
            | FailureKind.MODEL_MISSING
            | FailureKind.BLOCKED
            | FailureKind.TIMED_OUT
            | FailureKind.BROKEN
            | FailureKind.NOT_KEPT
        ):
            status, code = _FINAL[failure.kind]
            return Problem(status, failure.message, "upstream_error", code, headers=NO_RETRY)


# Nothing was billed: SDKs may retry, after the provider's own delay.
_TRANSIENT = {
    FailureKind.RATE_LIMITED: (429, "upstream_rate_limited"),
    FailureKind.OVERLOADED: (503, "upstream_overloaded"),
    FailureKind.UNREACHABLE: (502, "upstream_unreachable"),
    FailureKind.NOT_SENT: (503, "overloaded"),
    FailureKind.SHED: (503, "overloaded"),
}
# Billed, perhaps billed, or sure to fail again.
_FINAL = {
    FailureKind.MISCONFIGURED: (502, "backend_misconfigured"),
    FailureKind.MODEL_MISSING: (502, "backend_misconfigured"),
    FailureKind.BLOCKED: (502, "backend_blocked"),
    FailureKind.TIMED_OUT: (504, "upstream_timeout"),
    FailureKind.BROKEN: (502, "upstream_invalid_response"),
    FailureKind.NOT_KEPT: (503, "store_unavailable"),
}


def _http_exception(error: HTTPException) -> Problem:
    """Put the framework's own errors into the envelope."""
    message, code = {
        404: (error.detail, UNKNOWN_URL),
        405: (error.detail, "method_not_allowed"),
        413: (error.detail, "request_too_large"),
        415: (error.detail, "unsupported_media_type"),
    }.get(error.status_code, (error.detail, "bad_request"))
    return Problem(error.status_code, message, code=code, headers=error.headers or {})


def _deadline(error: errors.DeadlineExceeded) -> Problem:
    headers = {"x-should-retry": "true"}
    return Problem(504, str(error), "timeout_error", "deadline_exceeded", None, headers, _kept(error.kept))


def _cut_off(error: errors.CutOff) -> Problem:
    return Problem(504, str(error), "server_error", "cut_off", details=_kept(error.kept))


def _kept(images: int) -> Mapping[str, Any]:
    return {"images_kept": images} if images else {}


INTERNAL = Problem(
    500,
    "Internal error of the gateway. Please report it with the x-request-id.",
    "server_error",
    "internal",
    # A part may be paid for: a retry of the SDK would pay again.
    headers=NO_RETRY,
)


def _with(
    status: int,
    code: str,
    headers: Mapping[str, str] | None = None,
    *,
    type_: str = "invalid_request_error",
    param: str | None = None,
) -> Callable[[Exception], Problem]:
    """Return a function that answers an error with its message."""
    return lambda error: Problem(status, str(error), type_, code, param, headers or {})


_TABLE: tuple[tuple[type[Exception], Callable[[Any], Problem]], ...] = (
    (errors.InvalidOrder, _invalid_order),
    (errors.Unauthenticated, _with(401, "invalid_api_key", {"www-authenticate": "Bearer"})),
    (errors.PermissionDenied, _with(403, "insufficient_permissions")),
    (errors.ModelNotAllowed, _with(403, "model_not_found", param="model")),
    (errors.PriceUnknown, _with(403, "model_unpriced", param="model")),
    (errors.NotFound, _with(404, "not_found")),
    # SDKs retry a 409 by themselves, which cannot help here.
    (errors.Conflict, _with(409, "conflict", NO_RETRY)),
    (errors.RateLimited, _rate_limited),
    (errors.BytesRefused, _bytes_refused),
    (errors.IdempotencyMismatch, _with(422, "idempotency_key_reuse")),
    (errors.OrderUnderWay, _with(409, "order_under_way", retry_headers(2.0))),
    (errors.ImageGone, _with(410, "image_gone", NO_RETRY)),
    (errors.NotCached, _with(504, "not_cached", NO_RETRY)),
    (errors.OrderFailed, _order_failed),
    (errors.DeadlineExceeded, _deadline),
    (errors.CutOff, _cut_off),
    (errors.StateUnavailable, _with(503, "state_unavailable", retry_headers(1.0), type_="server_error")),
    (errors.StoreUnavailable, _with(503, "store_unavailable", retry_headers(5.0), type_="server_error")),
    (errors.ImageMissing, _with(404, "image_not_found")),
    # The link may work again: an equal image may be made later, byte for byte.
    (errors.ImageNotKept, _with(410, "image_gone", {**NO_RETRY, "cache-control": "no-store"})),
    (errors.LinkExpired, _with(410, "link_expired", NO_RETRY)),
    (errors.LinkRefused, _with(403, "invalid_link")),
    (errors.Draining, _with(503, "draining", retry_headers(1.0), type_="server_error")),
    (RequestRejected, lambda error: error.problem),
    (HTTPException, _http_exception),
)

HANDLED = (GatewayError, RequestRejected, HTTPException)
"""Exceptions that `answer_error` handles."""
