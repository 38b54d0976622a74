"""Turn failures of the provider into advice for operators, one text for each kind.

The advice names settings (for a key of `[[backends]]` its names), a status and a code, but no host or secret: anyone
may read it.
"""

import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import orjson

from service.adapters.openai.address import BackendAddress
from service.adapters.openai.dialects.dialect import Dialect
from service.adapters.openai.failures import NO_TLS
from service.adapters.openai.redaction import hide_keys, hide_secrets, redact, repeats
from service.domain.failures import CallFailure, FailureKind, loggable_code

_WITHOUT_WORDS = (FailureKind.UNREACHABLE, FailureKind.TIMED_OUT, FailureKind.BROKEN)
"""Failures whose cause does not quote the provider."""


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


_KEY = "{key} was refused{answer}: is it complete, still valid, and a key of the server that {url} names?"
_QUOTA = "The provider's quota or billing stops us{answer}: check the limits and the credit of the account of {key}."
_DEPLOYMENT = (
    "There is no such deployment{answer}: write its name as the `name` of the model, and check that {url} is the endpoint "
    "that has it."
)
_PROXY = (
    "A proxy before the provider answered{answer}, while the call may have gone on: raise its time-out, or declare "
    "answers_for_itself if the server itself says so."
)
_MODEL = (
    "The model is not available to this key{answer}: give its project access to the model, or choose another one "
    "in the configuration file."
)
_NO_VERSION = "The base URL lacks /v1{answer}: write {url} as in https://api.openai.com/v1."
_NO_API = "{url} leads to no images API{answer}: check its path, and any proxy on the way."
_ROWS = (
    _Row(kinds=(FailureKind.MISCONFIGURED,), statuses=(401,), advice=_KEY),
    _Row(kinds=(FailureKind.MODEL_MISSING,), words=("DeploymentNotFound",), advice=_DEPLOYMENT),
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
        advice="The provider's rate limit is reached{answer}: set {pace} to the account's "
        "limit, so that calls wait instead.",
    ),
    _Row(
        kinds=(FailureKind.OVERLOADED,),
        advice="The provider fails or is overloaded{answer}: see its status page; calls are retried automatically.",
    ),
    _Row(
        kinds=(FailureKind.TIMED_OUT, FailureKind.BROKEN), statuses=(408, 502, 504, 520, 524), advice=_PROXY
    ),
    _Row(
        kinds=(FailureKind.TIMED_OUT,),
        advice="The provider did not answer in time: is it up, and is {deadline} long enough?",
    ),
    _Row(kinds=(FailureKind.BROKEN,), statuses=tuple(range(300, 500)), advice=_NO_API),
    _Row(
        kinds=(FailureKind.BROKEN,),
        advice="The provider's answer broke off or cannot be understood{answer}: check if {url} leads to an "
        "images API, and any proxy on the way.",
    ),
)
_UNREACHABLE = "The provider is unreachable: is it up, is {url} right, and is a proxy needed ({proxy})?"
_NO_FILES = os.strerror(errno.EMFILE).lower()
_FILES = (
    "The gateway has as many files and connections open as the system allows it: raise that limit (ulimit -n, LimitNOFILE, "
    "nofile). The provider is not at fault."
)
_TLS = (
    "There is no TLS with the provider: does {url} begin with https://, and does {authority} name the "
    "company's own certificate authority, if it has one?"
)


def explain(failure: CallFailure, dialect: Dialect, *, prompt: str = "") -> CallFailure:
    """Return *failure* with advice and without secrets; its cause and code, for the log, do not quote *prompt*."""
    secrets = dialect.address.secrets
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
    words = " ".join(str(each) for each in (failure.status, loggable_code(failure.code)) if each)
    text = _choose(failure, lacks_version=dialect.lacks_version)
    return replace(
        failure, advice=text.format(answer=f" ({words})" if words else "", **_settings_of(dialect.address))
    )


def _settings_of(address: BackendAddress) -> dict[str, str]:
    """Return the names of the settings that made *address*."""
    if not address.key:
        return {
            "key": "OPENAI_API_KEY",
            "url": "OPENAI_BASE_URL",
            "pace": "images_per_min under [backend]",
            "deadline": "GATEWAY_DEADLINE_S",
            "proxy": "HTTPS_PROXY",
            "authority": "SSL_CERT_FILE",
        }
    return {
        "key": f"key {address.key} of backend {address.name}",
        "url": f"the url of backend {address.name}",
        "pace": f"images_per_min of key {address.key} of backend {address.name}",
        "deadline": f"timeouts_s of backend {address.name}, or GATEWAY_DEADLINE_S,",
        "proxy": "proxy, or HTTPS_PROXY",
        "authority": "ca_file, or SSL_CERT_FILE,",
    }


def _holds(secrets: Sequence[str], name: str, value: object) -> bool:
    text = orjson.dumps({name: value}).decode()
    return hide_keys(hide_secrets(text, secrets)) != text


def _choose(failure: CallFailure, *, lacks_version: bool) -> str:
    if failure.kind is FailureKind.UNREACHABLE and failure.cause.startswith(_NO_FILES):
        return _FILES
    if failure.kind is FailureKind.UNREACHABLE:
        return _TLS if failure.cause.startswith(NO_TLS) else _UNREACHABLE
    text = next((row.advice for row in _ROWS if row.fits(failure)), "")
    return _NO_VERSION if text == _NO_API and lacks_version else text
