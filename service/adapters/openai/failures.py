"""Classify failures of the OpenAI Images API and their billing, by status, code and phrase.

No other module knows a provider's error codes. The order of the rows matters: account before rate,
refusal before bad input. A failure without a row was sent and may be billed.

To add a kind of failure, add a row to `ROWS`, above those that match its answers too, with the evidence as its
`source`. Then `tests/adapters/openai/test_failures.py` demands an answer for it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import aiohttp
import httpx
import orjson

from service.adapters.openai.delays import read_retry_after_s
from service.adapters.openai.error_bodies import FindError, find_openai_error
from service.adapters.openai.redaction import hide_keys
from service.domain.failures import Billing, CallFailure, FailureKind

NO_TLS = "no TLS"
"""The first words of the cause if a connection failed over its encryption."""
_OURS = {
    FailureKind.MISCONFIGURED: "The gateway's own account or configuration at the image provider was refused.",
    FailureKind.MODEL_MISSING: "The image provider does not offer this model to the gateway.",
    FailureKind.BLOCKED: "The image provider has blocked the gateway's account for a while.",
}
"""Messages for failures that are not the caller's; they do not quote the provider."""
_MOST_CAUSE = 300
_MOST_MESSAGE = 10_000
_KNOWN_FIELDS = ("message", "type", "param", "code")
_MOST_DETAILS_BYTES = 8192
"""Ten times the longest real ones, the filter results of Azure."""
_MOST_DETAILS = 1000
_DEEPEST_DETAILS = 16
"""Real ones are four levels deep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """One kind of failure; an empty field matches everything. *source* names the evidence."""

    kind: FailureKind
    statuses: tuple[int, ...] = ()
    codes: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    inner_codes: tuple[str, ...] = ()
    phrases: tuple[str, ...] = ()
    source: str

    def fits(self, status: int, error: Mapping[str, Any]) -> bool:
        return (
            (not self.statuses or status in self.statuses)
            and (not self.codes or error.get("code") in self.codes)
            and (not self.types or error.get("type") in self.types)
            and (not self.params or error.get("param") in self.params)
            and (not self.inner_codes or _inner_error(error).get("code") in self.inner_codes)
            and (not self.phrases or any(phrase in error["message"] for phrase in self.phrases))
        )


# Each of these answers is a complete error envelope, sent instead of an image.
ROWS = (
    _Row(
        kind=FailureKind.MISCONFIGURED,
        codes=(
            "billing_hard_limit_reached",
            "insufficient_quota",
            "credit_balance_exhausted",
            "organization_spend_limit_exceeded",
            "project_spend_limit_exceeded",
            "organization_usage_limit_exceeded",
        ),
        source="OpenAI error-codes guide, 2026; 400 and 429 alike: our account is at fault, not the caller",
    ),
    _Row(
        kind=FailureKind.MISCONFIGURED,
        types=("insufficient_quota", "billing_limit_user_error"),
        source="observed 2026: the type stays while codes vary",
    ),
    _Row(kind=FailureKind.MISCONFIGURED, statuses=(401,), source="error-codes guide: our key"),
    _Row(
        kind=FailureKind.BLOCKED,
        phrases=("has been temporarily blocked because we detected behavior",),
        source="Azure OpenAI, observed 2025: 403 Forbidden after repeated violations on the account",
    ),
    _Row(
        kind=FailureKind.REFUSED,
        codes=("moderation_blocked", "content_policy_violation", "contentFilter", "content_filter"),
        source="observed 2023-2026: the names of GPT image, DALL·E and Azure OpenAI for the same refusal",
    ),
    _Row(
        kind=FailureKind.REFUSED,
        inner_codes=("ResponsibleAIPolicyViolation",),
        source="Azure OpenAI: 400 with the reason in inner_error, older in innererror",
    ),
    _Row(
        kind=FailureKind.REFUSED,
        statuses=(400,),
        phrases=("content management policy", "blocked by our content filters"),
        source="Azure OpenAI, observed 2024: refusals without a code of their own",
    ),
    _Row(
        kind=FailureKind.MODEL_MISSING,
        codes=("model_not_found", "DeploymentNotFound", "OperationNotSupported"),
        source="error-codes guide; Azure OpenAI: a deployment that does not exist, or of a model without images",
    ),
    _Row(
        kind=FailureKind.MODEL_MISSING,
        statuses=(400, 404),
        params=("model",),
        source="observed 2026-05: 400 \"The model 'dall-e-3' does not exist.\" We named the model; 404 by vLLM",
    ),
    _Row(
        kind=FailureKind.MISCONFIGURED,
        statuses=(400,),
        phrases=("API version not supported",),
        source="Azure OpenAI, observed 2025: 400 BadRequest for a wrong api-version",
    ),
    _Row(
        kind=FailureKind.MISCONFIGURED,
        statuses=(403, 404, 405, 410),
        source="API specification 2026-09: no permission, or a retired endpoint",
    ),
    _Row(kind=FailureKind.RATE_LIMITED, statuses=(429,), source="API specification: TooManyRequests"),
    _Row(
        kind=FailureKind.OVERLOADED,
        statuses=(500, 502, 503, 504, 520, 529),
        source="API specification: 500 could not be generated, 503 server_is_overloaded",
    ),
    _Row(kind=FailureKind.INVALID, statuses=(400, 409, 413, 415, 422), source="API specification: 400"),
)


_OTHER_ROWS = (
    _Row(kind=FailureKind.MISCONFIGURED, statuses=(402,), source="RFC 9110: payment required"),
    _Row(kind=FailureKind.OVERLOADED, statuses=(408, 425, *range(500, 600)), source="RFC 9110: the server's"),
    _Row(kind=FailureKind.INVALID, statuses=tuple(range(400, 500)), source="RFC 9110: the client's"),
)
"""Failures of a server that answers with statuses outside the API specification, and has declared it."""
_LATE = (408, 504, 524)
_BY_PROXIES = (502, 520, *_LATE)
"""Statuses that a proxy writes, in an envelope too, while the server behind it goes on and bills (RFC 9110 15.6;
Cloudflare's 5xx codes, 2026)."""
UNANSWERED = CallFailure(
    kind=FailureKind.TIMED_OUT,
    billing=Billing.UNKNOWN,
    message="The image provider did not answer in time.",
    cause="sent, and no answer in time",
)
"""The failure of a call that was sent, and not answered in time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The way to read the failures of one server.

    *find_error* knows the shapes of its errors; *rows* are tried in turn. Statuses that proxies write are believed if it
    *answers_for_itself*.
    """

    find_error: FindError = find_openai_error
    rows: tuple[_Row, ...] = ROWS
    answers_for_itself: bool = False


STRICT = Reading()
"""The API as specified, behind proxies."""
ALL_ROWS = (*ROWS, *_OTHER_ROWS)


def classify_answer(
    status: int, headers: Mapping[str, str], body: object, reading: Reading = STRICT
) -> CallFailure:
    """Classify an answer other than 200; *body* is its decoded JSON, or None."""
    error = reading.find_error(status, body)
    if status in _BY_PROXIES and (error is None or not reading.answers_for_itself):
        return _by_proxy(status)
    if error is None:
        return broken(f"The image provider answered {status} without an error it specifies.", status=status)
    row = next((row for row in reading.rows if row.fits(status, error)), None)
    if row is None:
        return broken(f"The image provider answered with the unknown status {status}.", status=status)
    message = error["message"][:_MOST_MESSAGE]
    return CallFailure(
        kind=row.kind,
        billing=Billing.NOT_BILLED,
        message=_OURS.get(row.kind) or hide_keys(message[:1000]),
        status=status,
        # Azure's repeats the status.
        code=None if error.get("code") == str(status) else _text(error.get("code")),
        type=_text(error.get("type")),
        param=_text(error.get("param")),
        retry_after_s=read_retry_after_s(status, headers, message),
        details=_details(error),
        cause=message,
    )


def _by_proxy(status: int) -> CallFailure:
    """Return the failure of a call whose answer may be that of a proxy on the way: its outcome is unknown."""
    if status in _LATE:
        return replace(UNANSWERED, status=status, cause=f"answered {status}: no answer in time on the way")
    return broken(f"The image provider, or a proxy before it, answered {status}.", status=status)


def classify_exception(error: httpx.HTTPError | aiohttp.ClientError) -> CallFailure:
    """Classify a failed exchange.

    The transport reports a connection that broke after sending as a connect time-out, so only the
    cause shows if anything was sent.
    """
    cause = error if isinstance(error, aiohttp.ClientError) else error.__cause__
    never_connected = (
        aiohttp.ClientConnectorError,
        aiohttp.ConnectionTimeoutError,
        aiohttp.ClientHttpProxyError,
    )
    if isinstance(cause, never_connected) or isinstance(error, httpx.ConnectError | httpx.ProxyError):
        return CallFailure(
            kind=FailureKind.UNREACHABLE,
            billing=Billing.NOT_BILLED,
            message="The image provider cannot be reached.",
            cause=_cause_of(cause or error),
        )
    if isinstance(cause, aiohttp.SocketTimeoutError) or isinstance(error, httpx.ReadTimeout):
        return UNANSWERED
    return broken("The connection to the image provider broke before its answer was complete.")


def _cause_of(error: BaseException) -> str:
    """Describe the reason and the address of a failed connection."""
    if isinstance(error, aiohttp.ClientConnectorError):
        place = f"{error.host}:{error.port}"
        if isinstance(error, aiohttp.ClientSSLError):
            return f"{NO_TLS} with {place}: {error.os_error}"[:_MOST_CAUSE]
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return f"no such host: {error.host}"
        number = error.os_error.errno
        return f"{os.strerror(number).lower() if number else error.os_error} at {place}"[:_MOST_CAUSE]
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return f"the proxy answered {error.status}"
    return "no connection in time" if isinstance(error, TimeoutError) else type(error).__name__


def broken(message: str, *, status: int | None = None) -> CallFailure:
    """Return the failure of an unusable answer; the call was sent, so its billing is unknown."""
    return CallFailure(
        kind=FailureKind.BROKEN, billing=Billing.UNKNOWN, message=message, status=status, cause=message
    )


def _inner_error(error: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = error.get("inner_error") or error.get("innererror")
    return inner if isinstance(inner, Mapping) else {}


def _details(error: Mapping[str, Any]) -> dict[str, Any]:
    """Return the further fields of *error*, in its order, without those that are too large or too deep."""
    details: dict[str, Any] = {}
    left_bytes = _MOST_DETAILS_BYTES
    for name, value in islice(error.items(), _MOST_DETAILS):
        if name in _KNOWN_FIELDS or not _is_shallow(value, _DEEPEST_DETAILS):
            continue
        size_bytes = len(orjson.dumps({name: value}))
        if size_bytes <= left_bytes:
            details[name] = value
            left_bytes -= size_bytes
    return details


def _is_shallow(value: Any, levels: int) -> bool:
    if isinstance(value, Mapping):
        return levels > 0 and all(_is_shallow(inner, levels - 1) for inner in value.values())
    if isinstance(value, list):
        return levels > 0 and all(_is_shallow(inner, levels - 1) for inner in value)
    return True


def _text(value: object) -> str | None:
    return value[:200] if isinstance(value, str) else None
