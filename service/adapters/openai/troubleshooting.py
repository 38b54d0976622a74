"""Turn failures of the provider into advice for operators, one text for each kind.

The advice names settings, a status and a code, but no host or secret: anyone may read it.
"""

import errno
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import orjson

from service.adapters.openai.failures import NO_TLS
from service.adapters.openai.redaction import hide_keys, hide_secrets, redact, repeats
from service.domain.failures import CallFailure, FailureKind, loggable_code

_WITHOUT_WORDS = (FailureKind.UNREACHABLE, FailureKind.TIMED_OUT, FailureKind.BROKEN)
"""Failures whose cause does not quote the provider."""
_VERSION = re.compile(r"v\d\w*")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """Advice on one kind of failure; an empty field matches everything."""

    kinds: tuple[FailureKind, ...]
    statuses: tuple[int, ...] = ()
    words: tuple[str, ...] = ()
    """Values of the code, the type or the param."""
    advice: str

    def fits(self, failure: CallFailure) -> bool:
        return (
            failure.kind in self.kinds
            and (not self.statuses or failure.status in self.statuses)
            and (not self.words or not {failure.code, failure.type, failure.param}.isdisjoint(self.words))
        )


_KEY = "OPENAI_API_KEY was refused{answer}: is it complete, still valid, and a key of the server that OPENAI_BASE_URL names?"
_QUOTA = "The provider's quota or billing stops us{answer}: check the limits and the credit of OPENAI_API_KEY's account."
_MODEL = (
    "The model is not available to this key{answer}: give its project access to the model, or choose another one "
    "in the configuration file."
)
_NO_VERSION = "The base URL lacks /v1{answer}: write OPENAI_BASE_URL as in https://api.openai.com/v1."
_NO_API = "OPENAI_BASE_URL leads to no images API{answer}: check its path, and any proxy on the way."
_ROWS = (
    _Row(kinds=(FailureKind.MISCONFIGURED,), statuses=(401,), advice=_KEY),
    _Row(kinds=(FailureKind.MODEL_MISSING,), advice=_MODEL),
    _Row(
        kinds=(FailureKind.MISCONFIGURED,),
        statuses=(403,),
        advice="The provider does not let this key make images{answer}: check its permissions, its organization's "
        "verification, and the countries in which it may be used.",
    ),
    _Row(kinds=(FailureKind.MISCONFIGURED,), statuses=(404, 405, 410), advice=_NO_API),
    _Row(kinds=(FailureKind.MISCONFIGURED,), advice=_QUOTA),
    _Row(
        kinds=(FailureKind.BLOCKED,),
        advice="The provider has blocked the account{answer} because of callers' prompts: GATEWAY_MODERATION refuses "
        "such prompts before they are sent.",
    ),
    _Row(
        kinds=(FailureKind.RATE_LIMITED,),
        advice="The provider's rate limit is reached{answer}: set images_per_min under [backend] to the account's "
        "limit, so that calls wait instead.",
    ),
    _Row(
        kinds=(FailureKind.OVERLOADED,),
        advice="The provider fails or is overloaded{answer}: see its status page; calls are retried automatically.",
    ),
    _Row(
        kinds=(FailureKind.TIMED_OUT,),
        advice="The provider did not answer in time: is it up, and is GATEWAY_DEADLINE_S long enough?",
    ),
    _Row(kinds=(FailureKind.BROKEN,), statuses=tuple(range(300, 500)), advice=_NO_API),
    _Row(
        kinds=(FailureKind.BROKEN,),
        advice="The provider's answer broke off or cannot be understood{answer}: check if OPENAI_BASE_URL leads to an "
        "images API, and any proxy on the way.",
    ),
)
_UNREACHABLE = (
    "The provider is unreachable: is it up, is OPENAI_BASE_URL right, and is a proxy needed (HTTPS_PROXY)?"
)
_NO_FILES = os.strerror(errno.EMFILE).lower()
_FILES = (
    "The gateway has as many files and connections open as the system allows it: raise that limit (ulimit -n, LimitNOFILE, "
    "nofile). The provider is not at fault."
)
_TLS = (
    "There is no TLS with the provider: does OPENAI_BASE_URL begin with https://, and does SSL_CERT_FILE name the "
    "company's own certificate authority, if it has one?"
)


def explain(failure: CallFailure, url: str, *, secrets: Sequence[str], prompt: str = "") -> CallFailure:
    """Return *failure* with advice and without *secrets*; its cause and code, for the log, do not quote *prompt*."""
    failure = replace(
        failure,
        message=hide_secrets(failure.message, secrets),
        code=failure.code and hide_secrets(failure.code, secrets),
        type=failure.type and hide_secrets(failure.type, secrets),
        param=failure.param and hide_secrets(failure.param, secrets),
        details={name: each for name, each in failure.details.items() if not _holds(secrets, name, each)},
    )
    if failure.is_callers_own:
        return replace(failure, cause="")
    if failure.code and repeats(failure.code, prompt):
        failure = replace(failure, code=None)
    if failure.kind not in _WITHOUT_WORDS:
        failure = replace(failure, cause=redact(failure.cause, secrets=secrets, prompt=prompt))
    return replace(failure, advice=_advise(failure, url))


def _holds(secrets: Sequence[str], name: str, value: object) -> bool:
    text = orjson.dumps({name: value}).decode()
    return hide_keys(hide_secrets(text, secrets)) != text


def names_version(url: str) -> bool:
    """Tell if the path of a base URL has a segment like `v1`."""
    return any(_VERSION.fullmatch(segment) for segment in urlsplit(url).path.split("/"))


def _advise(failure: CallFailure, url: str) -> str:
    if failure.kind is FailureKind.UNREACHABLE and failure.cause.startswith(_NO_FILES):
        return _FILES
    if failure.kind is FailureKind.UNREACHABLE:
        return _TLS if failure.cause.startswith(NO_TLS) else _UNREACHABLE
    text = next((row.advice for row in _ROWS if row.fits(failure)), "")
    if text == _NO_API and not names_version(url):
        text = _NO_VERSION
    words = " ".join(str(each) for each in (failure.status, loggable_code(failure.code)) if each)
    return text.format(answer=f" ({words})" if words else "")
