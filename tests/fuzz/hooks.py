"""Checks for schemathesis that know the leniences of orders, and the rules that no schema can tell: docs/http.md lists both.

Run in its own environment, as `SCHEMATHESIS_HOOKS=tests.fuzz.hooks`. They replace its checks `negative_data_rejection`,
`positive_data_acceptance` and `not_a_server_error`; all others are its own.
"""

import itertools
import json
from collections.abc import Mapping
from typing import Any

import schemathesis
from schemathesis import Case, CheckContext, DeserializationContext, HookContext, Response
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import AcceptedNegativeData, ServerError
from schemathesis.core.parameters import ParameterLocation
from schemathesis.openapi.checks import RejectedPositiveData
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from tests.fuzz.orders import OrderBody

ORDERS = frozenset(
    {
        "createImage",
        "createImageStream",
        "createImageVariation",
        "createImageVariationStream",
        "editImage",
        "editImageStream",
        "estimateImages",
        "generateImage",
    }
)
_ORDERS_SO_FAR = itertools.count()
_STOPPING = frozenset({"idempotency-key", "x-request-timeout-s"})
"""Headers that stop an order: by an earlier one, or by a deadline before its first call."""
_SHORT_S = 5.0
"""A caller who gives an order less time may see it end."""

_RULES_OF_ORDERS = frozenset(
    {
        "empty_string",
        "idempotency_key_reuse",
        "invalid_idempotency_key",
        "invalid_image_format",
        "invalid_input_fidelity_model",
        "invalid_size",
        "invalid_value",
        "unknown_parameter",
        "unsupported_file_mimetype",
    }
)
"""Codes of refusals by what a model takes, by two fields together, by pixels, or by an earlier order."""
_RULES = frozenset(
    {
        ("malformed_request", None),  # a path with control characters
        ("array_above_max_length", "image"),  # more inputs than a model takes
        ("image_gone", None),  # deleted by an earlier request
        ("invalid_value", "expires_at"),  # in the past
        ("invalid_value", "from"),  # more days than one answer has
        ("invalid_value", "models"),  # no such model
        ("invalid_value", "name"),  # a name of the gateway itself
        ("invalid_value", "team"),  # also one
        ("invalid_value", "user"),  # unprintable
        ("invalid_value", None),  # a purge of everything
        ("missing_required_parameter", "image"),  # the estimate of an edit of no image
    }
)
"""Code and parameter of other refusals that no schema tells."""


@schemathesis.hook
def before_call(_: HookContext, case: Case, _kwargs: dict[str, Any]) -> None:
    """Leave in an order the field that is broken, or one more than it needs, and let little else stop it."""
    if _operation_of(case) not in ORDERS or not isinstance(case.body, Mapping):
        return
    number = next(_ORDERS_SO_FAR)
    body = _body_of(case).reduce(case.body, keeps=number)
    case.body = body if number % 3 == 0 else _body_of(case).with_image(body)
    headers = case.meta.components.get(ParameterLocation.HEADER) if case.meta else None
    if number % 3 and (headers is None or headers.mode.is_positive):
        for name in [each for each in case.headers or {} if each.lower() in _STOPPING]:
            del case.headers[name]


@schemathesis.check
def nothing_forbidden_is_accepted(ctx: CheckContext, response: Response, case: Case) -> None:
    """Accept what the schema forbids in orders only, if they are good once they are read leniently, and `?verbose`."""
    try:
        negative_data_rejection(ctx, response, case)
    except AcceptedNegativeData:
        # Its list of refusals lacks some, such as that of a body that is too large.
        if response.status_code >= 400:
            return
        if _operation_of(case) == "getReadiness" and (case.query or {}).get("verbose") == "":
            return
        is_good = isinstance(case.body, Mapping) and _body_of(case).is_leniently_good(case.body)
        if _operation_of(case) not in ORDERS or not (is_good or _has_only_more_headers(case)):
            raise


@schemathesis.check
def well_formed_requests_are_taken(ctx: CheckContext, response: Response, case: Case) -> None:
    """Refuse what the schema allows by a listed rule only."""
    try:
        positive_data_acceptance(ctx, response, case)
    except RejectedPositiveData:
        code, param = _reason_of(response)
        is_of_order = _operation_of(case) in ORDERS and code in _RULES_OF_ORDERS
        if not is_of_order and (code, param) not in _RULES:
            raise


@schemathesis.check
def nothing_fails(ctx: CheckContext, response: Response, case: Case) -> None:
    """Answer 5xx only to a caller who gave the order hardly any time.

    Such an order gets 503 or 504, or 502 if a part of its images was cached.
    """
    try:
        not_a_server_error(ctx, response, case)
    except ServerError:
        is_late = response.status_code in (503, 504) or _reason_of(response)[0] == "partial_failure"
        if not is_late or not _is_short_of_time(case):
            raise


@schemathesis.deserializer("text/event-stream")
def events_of(_: DeserializationContext, response: Response) -> list[Any]:
    """Return the data of each event: this is what the document describes."""
    lines = response.content.decode().split("\n")
    return [json.loads(line.removeprefix("data:")) for line in lines if line.startswith("data:")]


def _operation_of(case: Case) -> str:
    return str(case.operation.definition.raw["operationId"])


def _reason_of(response: Response) -> tuple[str | None, str | None]:
    try:
        answer = json.loads(response.content)
        # `POST /generate_image` has an envelope of its own.
        error = answer.get("details") or answer["error"]
        return error["code"], error["param"]
    except (ValueError, LookupError, TypeError, AttributeError):
        return None, None


def _is_short_of_time(case: Case) -> bool:
    for name, value in (case.headers or {}).items():
        if name.lower() == "x-request-timeout-s":
            return 0 < float(value) < _SHORT_S
    return False


def _body_of(case: Case) -> OrderBody:
    return OrderBody.of(case.operation.schema.raw_schema, case.operation.path)


def _has_only_more_headers(case: Case) -> bool:
    """Tell if nothing is wrong with a request but a header that the document does not name."""
    data = case.meta.phase.data if case.meta else None
    location = getattr(data, "parameter_location", None)
    return location == ParameterLocation.HEADER and "unexpected properties" in str(data).lower()
