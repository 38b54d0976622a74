"""Verify tokens of the company's own identity provider: JSON Web Tokens (RFC 7519), checked as RFC 8725 advises.

Symmetric algorithms and `none` are never accepted: a published key is no secret.
Failure behaviour: closed. Any fault makes a token invalid.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from cachetools import LRUCache
from joserfc.errors import (
    BadSignatureError,
    ExpiredTokenError,
    InvalidClaimError,
    JoseError,
    MissingClaimError,
    UnsupportedAlgorithmError,
)
from joserfc.jwa import JWSAlgModel
from joserfc.jwk import Key
from joserfc.jws import CompactSignature, JWSRegistry, extract_compact, validate_compact
from joserfc.jwt import JWTClaimsRegistry

from service.domain.errors import Unauthenticated
from service.ports.accounts import Claims
from service.ports.clock import Clock

_ASYMMETRIC = frozenset(
    {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
)
_LARGEST_TOKEN = 8 * 1024
_LONGEST_VALUE = 200
_MOST_REMEMBERED = 10_000
_REMEMBER_S = 60.0
"""Longest time that a token stays accepted after its key left the key set."""
_ABSENT = object()

_NOT_UNDERSTOOD = "The token cannot be understood; it must be a signed JSON Web Token."
_NOT_VALID = {
    "iss": "The token is from another issuer.",
    "aud": "The token is for another audience.",
    "nbf": "The token is not valid yet.",
    "iat": "The token was issued in the future.",
}


class AlgorithmsRefused(ValueError):
    """An algorithm is unknown, or symmetric, so that anyone with its key could sign."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """The rules of valid tokens, and the names of the claims to read.

    A claim is found by its whole name (`https://example.com/team`) or else, if the name has dots,
    by its path (`realm_access.team`).

    Raises:
        ValueError: no token could be valid, or too many.
    """

    issuer: str
    audience: tuple[str, ...]
    algorithms: tuple[str, ...] = ("RS256", "ES256")
    user_claim: str = "sub"
    team_claim: str = "team"
    policy_claim: str = "policy"
    leeway_s: int = 30

    def __post_init__(self) -> None:
        """Refuse rules that joserfc would ignore."""
        if not self.issuer or not self.audience or not all(self.audience):
            raise ValueError("an issuer and at least one audience are needed, none of them empty")
        if not self.algorithms or not _ASYMMETRIC.issuperset(self.algorithms):
            raise AlgorithmsRefused(f"the algorithms must be among {', '.join(sorted(_ASYMMETRIC))}")
        if not all((self.user_claim, self.team_claim, self.policy_claim)) or self.leeway_s < 0:
            raise ValueError("the names of claims must not be empty, nor the leeway negative")


class KeySource(Protocol):
    """The source of the keys."""

    async def find(self, kid: str | None, algorithm: JWSAlgModel) -> Key:
        """Return the key *kid* for *algorithm*; without a *kid*, the only such key.

        Raises:
            Unauthenticated: no key matches, or more than one.
            StateUnavailable: there are no keys, or only outdated ones.
        """


class JwtVerifier:
    """Implements `ports.accounts.TokenVerifier`.

    Valid tokens are cached by their digest, so that a caller's next request checks no signature;
    invalid ones are not, so that guesses fill no memory.
    """

    def __init__(self, *, rules: TokenRules, keys: KeySource, clock: Clock) -> None:
        self._rules = rules
        self._keys = keys
        self._clock = clock
        self._signatures = _Signatures(algorithms=rules.algorithms, strict_check_header=False)
        self._claims = JWTClaimsRegistry(
            now=lambda: int(clock.wall_s()),
            leeway=rules.leeway_s,
            iss={"essential": True, "value": rules.issuer},
            aud={"essential": True, "values": list(rules.audience)},
            exp={"essential": True},
        )
        self._good: LRUCache[bytes, tuple[Claims, float]] = LRUCache(_MOST_REMEMBERED)

    async def verify(self, token: str) -> Claims:
        if len(token) > _LARGEST_TOKEN:
            raise Unauthenticated(f"The token is larger than {_LARGEST_TOKEN} bytes.")
        if not token.isascii():
            raise Unauthenticated(_NOT_UNDERSTOOD)
        digest = hashlib.sha256(token.encode()).digest()
        remembered = self._good.get(digest)
        if remembered is not None and self._clock.monotonic_s() < remembered[1]:
            return remembered[0]
        claims = await self._verify_anew(token)
        left_s = min(claims.expires_s - self._clock.wall_s(), _REMEMBER_S)
        if left_s > 0:
            self._good[digest] = claims, self._clock.monotonic_s() + left_s
        return claims

    async def _verify_anew(self, token: str) -> Claims:
        if token.count(".") == 4:
            raise Unauthenticated("The token is encrypted; only signed ones are accepted.")
        with _translated_errors():
            signature = extract_compact(token.encode(), registry=self._signatures)
            kid, algorithm = self._read_header(signature)
        key = await self._keys.find(kid, algorithm)
        with _translated_errors():
            if not validate_compact(signature, key, registry=self._signatures):
                raise BadSignatureError
            # Stricter than joserfc's own parser: no NaN, lone surrogates, UTF-16 or unlimited depth.
            claims = orjson.loads(signature.payload)
            if not isinstance(claims, dict):
                raise Unauthenticated(_NOT_UNDERSTOOD)
            self._claims.validate(claims)
            return self._read_claims(claims)

    def _read_header(self, signature: CompactSignature) -> tuple[str | None, JWSAlgModel]:
        header = signature.headers()
        if "crit" in header:
            raise Unauthenticated("The token demands an extension that is not known (crit).")
        self._signatures.check_header(header)
        if _media_type(header.get("typ", "JWT")) not in ("jwt", "at+jwt"):
            raise Unauthenticated("The token is not an access token (typ).")
        if "cty" in header:
            raise Unauthenticated("The token holds another token; only plain ones are accepted.")
        return header.get("kid"), self._signatures.get_alg(header["alg"])

    def _read_claims(self, claims: Mapping[str, Any]) -> Claims:
        subject = _read_text(claims, self._rules.user_claim)
        if subject is None:
            raise Unauthenticated("The token does not say whose it is.")
        return Claims(
            subject=subject,
            team=_read_text(claims, self._rules.team_claim),
            policy=_read_text(claims, self._rules.policy_claim),
            expires_s=float(claims["exp"]),
        )


class _Signatures(JWSRegistry):
    """The algorithms and headers that joserfc may read and verify."""

    # The whole token is bounded; an issuer may divide that as it likes (x5c makes long headers).
    max_header_length = _LARGEST_TOKEN
    max_payload_length = _LARGEST_TOKEN
    max_signature_length = _LARGEST_TOKEN

    def get_alg(self, name: str) -> JWSAlgModel:
        """Return an algorithm of the allow-list.

        The inherited method warns about EdDSA, which issuers still use, and replaces an empty
        allow-list by one with HMAC.
        """
        if self.allowed is None or name not in self.allowed:
            raise UnsupportedAlgorithmError
        return self.algorithms[name]


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Turn every error that a token causes in joserfc and the JSON parsers into `Unauthenticated`.

    joserfc raises TypeError for a header that is a list, RecursionError for a deep one.
    """
    try:
        yield
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise Unauthenticated(_describe(error)) from error


def _describe(error: Exception) -> str:
    """Describe the fault without quoting the token."""
    match error:
        case ExpiredTokenError():
            return "The token has expired."
        case MissingClaimError():
            return f"The token lacks a claim that it must have: {error.claim}."
        case InvalidClaimError():
            return _NOT_VALID.get(error.claim, "The token has a registered claim of the wrong type.")
        case UnsupportedAlgorithmError():
            return "The token is signed with an algorithm that is not accepted."
        case BadSignatureError():
            return "The signature of the token is wrong."
        case _:
            return _NOT_UNDERSTOOD


def _read_text(claims: Mapping[str, Any], name: str) -> str | None:
    """Return a claim, or None if it is absent.

    Raises:
        Unauthenticated: the claim is there but unusable, and must not be guessed.
    """
    value = claims.get(name, _ABSENT)
    if value is _ABSENT:
        value = _follow(claims, name.split("."))
    if value is _ABSENT:
        return None
    if not isinstance(value, str) or not 1 <= len(value) <= _LONGEST_VALUE or not value.isprintable():
        raise Unauthenticated(
            f"The token's claim {name} must be a text of 1 to {_LONGEST_VALUE} printable characters."
        )
    return value


def _follow(value: object, path: list[str]) -> object:
    for name in path:
        if not isinstance(value, dict) or name not in value:
            return _ABSENT
        value = value[name]
    return value


def _media_type(text: str) -> str:
    """Normalize a `typ` for comparison (RFC 7515, 4.1.9): the prefix `application/` is optional."""
    return text.lower().removeprefix("application/")
