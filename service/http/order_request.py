"""Build an order from a request: fields, headers and inputs, from a form or from JSON."""

import math
import re
from secrets import token_hex
from typing import Any

from starlette.requests import Request

from service.domain.errors import InvalidOrder
from service.domain.images import Delivery, InputImage, Operation
from service.domain.order import PROMISED_S, CacheControl, ImageOrder
from service.domain.unknown import unknown_parameter
from service.http.access import caller_of
from service.http.services import HttpServices


def build_order(
    request: Request,
    services: HttpServices,
    operation: Operation,
    fields: dict[str, Any],
    inputs: tuple[InputImage, ...] = (),
    *,
    is_streamed: bool = False,
) -> ImageOrder:
    """Return the order that *fields* describe; fields of some models only become parameters.

    *is_streamed*: the route answers with events, whatever the model.
    """
    if is_streamed:
        fields["stream"] = True
    prompt = fields.pop("prompt", "")
    n = fields.pop("n", 1)
    response_format = fields.pop("response_format", None)
    named_user, safety_identifier = fields.pop("user", None), fields.pop("safety_identifier", None)
    named_model = fields.pop("model", None)
    model = services.ordering.catalog.find(
        # As at Azure, whose SDKs send a model in the body, too.
        request.scope["state"].get("deployment")
        or named_model
        or services.ordering.catalog.name_for(operation, fields)
    )
    named_user_or_id = safety_identifier or named_user
    wants_events = fields.get("stream") is True
    if is_streamed:
        # Of the route, not of the model: DALL·E never had the parameter.
        del fields["stream"]
    delivery = _parse_delivery(response_format, model.delivery)
    partial_images = fields.get("partial_images", 0)
    caller = caller_of(request.scope, services, named_user=named_user_or_id)
    timeout_s = _timeout_s(request, services.ordering.deadline_s)
    return ImageOrder(
        id=token_hex(16),
        operation=operation,
        asked=model,
        prompt=prompt,
        n=n,
        parameters=fields,
        # Events have base64, whatever else they have.
        delivery=Delivery.B64_JSON if wants_events else delivery,
        caller=caller,
        deadline_s=services.clock.monotonic_s() + timeout_s,
        is_hurried=timeout_s < min(PROMISED_S, services.ordering.deadline_s),
        cache=_cache_control(request),
        safety_identifier=named_user_or_id,
        inputs=inputs,
        is_streamed=wants_events,
        partial_images=partial_images if isinstance(partial_images, int) else 0,
        is_retry=_is_retry(request),
        idempotency_key=_idempotency_key(request),
    )


def check_prompt_field(operation: Operation, fields: dict[str, Any]) -> None:
    """Check that an edit has a prompt, and a variation none."""
    if operation is Operation.EDIT and "prompt" not in fields:
        raise InvalidOrder(
            "Missing required parameter: 'prompt'.", param="prompt", code="missing_required_parameter"
        )
    if operation is Operation.VARY and "prompt" in fields:
        raise unknown_parameter(
            "prompt", otherwise=" Variations take none: they are made from the image alone."
        )


def accepts_partial(request: Request) -> bool:
    """Tell if the caller accepts fewer images than ordered (`Prefer: return=partial`, RFC 7240)."""
    given = request.headers.getlist("prefer")
    preferences = ",".join(given).replace(" ", "").lower()
    return bool(given) and "return=partial" in re.split("[,;]", preferences)


_NO_CONTROL = CacheControl()
_KEY = re.compile(r"[\x20-\x7e]{1,255}")
_NUMBER = re.compile(r"[0-9]+\.?[0-9]*(e-?[0-9]+)?|\.[0-9]+")


def _idempotency_key(request: Request) -> str | None:
    """Return the `Idempotency-Key`, which may be quoted."""
    values = request.headers.getlist("idempotency-key")
    if not values:
        return None
    key = values[0].strip()
    if len(key) >= 2 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if len(values) > 1 or not _KEY.fullmatch(key):
        raise InvalidOrder(
            "Idempotency-Key must be one header of 1 to 255 printable ASCII characters.",
            param=None,
            code="invalid_idempotency_key",
        )
    if request.scope["state"]["identity"].user is None:
        raise InvalidOrder(
            "Idempotency-Key needs an identified caller: send an API key as 'Authorization: Bearer YOUR_KEY'.",
            param=None,
            code="idempotency_needs_key",
        )
    return key


def _is_retry(request: Request) -> bool:
    """Tell if an SDK of OpenAI sends this order again."""
    count = request.headers.get("x-stainless-retry-count", "").strip()
    return count.isdecimal() and count.strip("0") != ""


def _timeout_s(request: Request, longest_s: float) -> float:
    value = request.headers.get("x-request-timeout-s")
    if value is None:
        return longest_s
    timeout_s = float(value) if _NUMBER.fullmatch(value) else math.nan
    if not 0 < timeout_s < math.inf:
        raise InvalidOrder("x-request-timeout-s must be a number of seconds above 0.", param=None)
    return min(timeout_s, longest_s)


def _cache_control(request: Request) -> CacheControl:
    given = request.headers.get("cache-control", "")
    if not given:
        return _NO_CONTROL
    directives: dict[str, str] = {}
    for part in given.split(","):
        name, _, value = part.strip().lower().partition("=")
        directives[name] = value.strip('"')
    max_age = directives.get("max-age", "")
    no_store = "no-store" in directives
    return CacheControl(
        reuse=not (no_store or "no-cache" in directives),
        keep=not no_store,
        only_if_cached="only-if-cached" in directives,
        max_age_s=float(max_age) if max_age.isascii() and max_age.isdigit() and len(max_age) < 12 else None,
    )


def _parse_delivery(value: str | None, default: Delivery) -> Delivery:
    """Return the delivery that `response_format` asks for."""
    if value is None:
        return default
    try:
        return Delivery(value)
    except ValueError as error:
        raise InvalidOrder(
            f"Invalid value: '{value[:100]}'. Supported values are: 'url' and 'b64_json'.",
            param="response_format",
        ) from error
