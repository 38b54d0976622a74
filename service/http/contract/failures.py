"""Describe the failures of operations: a component for each status, with its codes and headers.

`http/errors.py` gives failures their statuses. An order has a component of its own where its answer has more headers.

How to add one: a row of `_FAILURES`, and its status in the rows of `operations.py` that answer it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from service.http.contract.headers import LIMITS, ORDER, RETRIES, name_headers


@dataclass(frozen=True, slots=True)
class _Failure:
    """One status: its component's name, its description with the codes of `error.code`, and its headers.

    *of_orders* describes it where an order meets other codes than the remaining operations.
    """

    name: str
    description: str
    headers: tuple[str, ...] = ()
    of_orders: str = ""


_FAILURES = {
    400: _Failure(
        "BadRequest",
        "The request is wrong, or the provider refused the prompt; the message names a correct value. Nothing was spent.",
    ),
    401: _Failure(
        "Unauthorized", "The key or token is missing or wrong (`invalid_api_key`).", ("WWW-Authenticate",)
    ),
    403: _Failure(
        "Forbidden",
        "The credentials do not allow this (`insufficient_permissions`), the link is wrong (`invalid_link`), or a page of "
        "another site asked an open gateway (`cross_site_request`, `host_not_allowed`).",
        ("X-Should-Retry",),
        "The credentials do not allow orders (`insufficient_permissions`) or this model (`model_not_found`, "
        "`model_unpriced`), or a page of another site asked an open gateway (`cross_site_request`, `host_not_allowed`).",
    ),
    404: _Failure("NotFound", "There is no such thing, or it belongs to another caller."),
    408: _Failure("RequestTimeout", "The body did not arrive in time (`request_timeout`)."),
    409: _Failure(
        "Conflict",
        "The state of the target forbids it (`conflict`), or the first order under this `Idempotency-Key` still runs "
        "(`order_under_way`).",
        RETRIES,
    ),
    410: _Failure(
        "Gone",
        "The image is deleted or lost (`image_gone`), or the link has expired (`link_expired`).",
        ("X-Should-Retry", "Cache-Control"),
        "The images of the first order under this `Idempotency-Key` are deleted or lost (`image_gone`). Nothing was spent.",
    ),
    413: _Failure("ContentTooLarge", "The body is larger than the route takes (`request_too_large`)."),
    415: _Failure(
        "UnsupportedMediaType",
        "The body has another type (`unsupported_media_type`) or encoding (`unsupported_content_encoding`).",
        ("Accept-Encoding",),
    ),
    416: _Failure(
        "RangeNotSatisfiable",
        "The range is outside the image (`range_not_satisfiable`).",
        ("Content-Range",),
    ),
    422: _Failure(
        "KeyReused", "Another order was sent under this `Idempotency-Key` (`idempotency_key_reuse`).", ORDER
    ),
    429: _Failure(
        "TooManyRequests",
        "A limit has no room: `rate_limit_exceeded` passes after `Retry-After`, `insufficient_quota` lasts until the next "
        "day or month, `upstream_rate_limited` is the provider's.",
        (*RETRIES, *LIMITS),
    ),
    431: _Failure("HeadersTooLarge", "The headers have more than 32 KiB (`headers_too_large`)."),
    500: _Failure("InternalError", "A fault of the gateway (`internal`).", ("X-Should-Retry",)),
    502: _Failure(
        "BadGateway",
        "The provider failed (`upstream_unreachable`, `upstream_invalid_response`, `backend_misconfigured`), or some "
        "images did (`partial_failure`).",
        (*RETRIES, *ORDER),
    ),
    503: _Failure(
        "Unavailable",
        "Too much is going on (`overloaded`), the gateway ends (`draining`), or a part of it is away "
        "(`state_unavailable`, `store_unavailable`, `disk_full`). Nothing was spent.",
        RETRIES,
    ),
    504: _Failure(
        "GatewayTimeout",
        "The images were not finished in time (`deadline_exceeded`, `upstream_timeout`, `cut_off`), or are not in the "
        "cache (`not_cached`).",
        (*RETRIES, *ORDER),
    ),
}

_OF_ORDERS = (400, 401, 403, 409, 410, 429, 503)
"""Failures that also come after an order was accepted: their answers have its headers then."""


def describe_simply(statuses: Iterable[int]) -> dict[str, Any]:
    """Return the failures of `POST /generate_image`, which has an envelope of its own."""
    schema = {"$ref": "#/components/schemas/SimpleImageError"}
    content = {"application/json": {"schema": schema}}
    # A failed call is a 500 there, with the headers of its own status.
    described = {
        status: _describe(_FAILURES[status], (*_FAILURES[status].headers, *RETRIES), of_order=True)
        for status in sorted(statuses)
    }
    return {str(status): {**each, "content": content} for status, each in described.items()}


def name_failures(statuses: Iterable[int], *, of_order: bool = False) -> dict[str, Any]:
    """Return references to the components of *statuses*."""
    return {
        str(status): {"$ref": f"#/components/responses/{_name(status, of_order=of_order)}"}
        for status in sorted(statuses)
    }


def component_responses() -> dict[str, Any]:
    """Return all failures as components."""
    responses = {}
    for status, failure in _FAILURES.items():
        responses[failure.name] = _describe(failure, failure.headers)
        if status in _OF_ORDERS:
            headers = (*failure.headers, *ORDER)
            responses[_name(status, of_order=True)] = _describe(failure, headers, of_order=True)
    return responses


def _name(status: int, *, of_order: bool) -> str:
    return f"{'Order' if of_order and status in _OF_ORDERS else ''}{_FAILURES[status].name}"


def _describe(failure: _Failure, headers: Iterable[str], *, of_order: bool = False) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/ErrorResponse"}
    return {
        "description": (failure.of_orders if of_order else "") or failure.description,
        "headers": name_headers(dict.fromkeys(headers)),
        "content": {"application/json": {"schema": schema}},
    }
