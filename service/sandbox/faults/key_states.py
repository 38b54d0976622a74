"""Refuse a key for its account, for a throttle or for a model that it has not, as the imitated server does.

Owns which refusal each kind of server gives. Does not decide when (`conduct`).
"""

from collections.abc import Mapping

from service.sandbox.faults.behaviour import Account, Seconds, Throttle
from service.sandbox.wire.azure_refusals import (
    access_denied,
    call_rate_exceeded,
    deployment_not_found,
    resource_blocked,
)
from service.sandbox.wire.error_envelope import Cause, ErrorType, Refusal, missing_key, missing_model
from service.sandbox.wire.kinds import Kind
from service.sandbox.wire.retry_headers import to_duration, to_retry_headers

_DEACTIVATED = "The OpenAI account associated with this API key has been deactivated."
_QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this "
    "error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."
)

_ACCOUNTS: Mapping[Account, tuple[int, ErrorType, str, str]] = {
    "revoked": (401, ErrorType.INVALID_REQUEST, "invalid_api_key", "Incorrect API key provided: sk-***."),
    "deactivated": (401, ErrorType.INVALID_REQUEST, "account_deactivated", _DEACTIVATED),
    "no_quota": (429, ErrorType.QUOTA, "insufficient_quota", _QUOTA),
    "billing_limit": (
        400,
        ErrorType.BILLING,
        "billing_hard_limit_reached",
        "Billing hard limit has been reached.",
    ),
}


def refuse_missing_key(kind: Kind) -> Refusal:
    return access_denied() if kind is Kind.AZURE else missing_key()


def refuse_account(account: Account, kind: Kind) -> Refusal | None:
    """Return the refusal for the state of an account, None if it is active."""
    refusal = _refuse_account(account, kind)
    if refusal:
        refusal.cause = Cause.ACCOUNT
    return refusal


def throttled(throttle: Throttle, wait_s: Seconds, kind: Kind) -> Refusal:
    """Return the 429; the message says the wait too, unless nothing should."""
    is_said = throttle.retry_style != "none"
    hint = f" Please try again in {to_duration(wait_s)}." if is_said else ""
    refusal = (
        call_rate_exceeded(wait_s if is_said else None)
        if kind is Kind.AZURE
        else Refusal(
            429,
            f"Rate limit reached in organization org-sandbox on images per min.{hint}",
            kind=ErrorType.REQUESTS,
            code="rate_limit_exceeded",
        )
    )
    refusal.headers = to_retry_headers(wait_s, throttle.retry_style)
    refusal.cause, refusal.retry_after_s = Cause.THROTTLE, wait_s
    return refusal


def model_missing(name: str, kind: Kind) -> Refusal:
    refusal = deployment_not_found() if kind is Kind.AZURE else missing_model(name)
    refusal.cause = Cause.MISSING_MODEL
    return refusal


def _refuse_account(account: Account, kind: Kind) -> Refusal | None:
    if account == "blocked":
        return resource_blocked()
    if account == "revoked" and kind is Kind.AZURE:
        return access_denied()
    if account in _ACCOUNTS:
        status, error_type, code, message = _ACCOUNTS[account]
        return Refusal(status, message, kind=error_type, code=code)
    return None
