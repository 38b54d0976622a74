"""Tokens are accepted if real keys signed them, and refused if anything else is sent."""

import base64
import contextlib
import hashlib
import inspect
import json
import random
import ssl
import string
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from joserfc import errors as joserfc_errors

from service.adapters.identity.jwks import JwksSource
from service.adapters.identity.jwt import JwtVerifier, TokenRules, _translated_errors
from service.domain.errors import Unauthenticated
from service.ports.accounts import Claims
from tests.fakes.clock import NOON, FakeClock
from tests.issuer import (
    IssuerKey,
    KeyServer,
    ec_key,
    ed25519_key,
    encode,
    hmac_with,
    make_token,
    rsa_key,
    run_key_server,
)

NOW_S = int(NOON.timestamp())
ISSUER = "https://login.example.com/"
ALGORITHMS = ("RS256", "ES256", "EdDSA")


def a_payload(**claims: Any) -> dict[str, Any]:
    """Return the claims of a good token; one given as None is left out."""
    payload = {
        "iss": ISSUER,
        "aud": "images",
        "sub": "ann",
        "team": "red",
        "policy": "large",
        "iat": NOW_S,
        "exp": NOW_S + 600,
        **claims,
    }
    return {name: value for name, value in payload.items() if value is not None}


def some_rules(**changes: Any) -> TokenRules:
    return TokenRules(
        **{"issuer": ISSUER, "audience": ("images", "pictures"), "algorithms": ALGORITHMS, **changes}
    )


@pytest.fixture
async def server() -> AsyncIterator[KeyServer]:
    async with run_key_server(rsa_key(), ec_key(), ed25519_key()) as running:
        yield running


@pytest.fixture
async def keys(server: KeyServer, clock: FakeClock) -> AsyncIterator[JwksSource]:
    # Our own transport is tested with the keys; it takes long to make, because it reads all authorities.
    async with httpx.AsyncClient(verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)) as client:
        yield JwksSource(server.url, client=client, clock=clock)


@pytest.fixture
def verifier(keys: JwksSource, clock: FakeClock) -> JwtVerifier:
    return JwtVerifier(rules=some_rules(), keys=keys, clock=clock)


async def subject(verifier: JwtVerifier, token: str) -> str:
    return (await verifier.verify(token)).subject


async def refusal(verifier: JwtVerifier, token: str) -> str:
    """Return the message for the caller, which must not quote the token."""
    with pytest.raises(Unauthenticated) as caught:
        await verifier.verify(token)
    text = str(caught.value)
    assert not any(len(part) > 5 and part in text for part in token.split("."))
    return text


@pytest.mark.parametrize("key", [rsa_key, ec_key, ed25519_key])
async def test_a_token_of_the_issuer_is_good(verifier: JwtVerifier, key: Callable[[], IssuerKey]) -> None:
    claims = await verifier.verify(key().token(a_payload()))

    assert claims == Claims(subject="ann", team="red", policy="large", expires_s=NOW_S + 600)


def test_without_a_choice_two_algorithms_are_accepted() -> None:
    assert TokenRules(issuer=ISSUER, audience=("images",)).algorithms == ("RS256", "ES256")


async def test_an_algorithm_that_is_not_listed_is_refused(keys: JwksSource, clock: FakeClock) -> None:
    verifier = JwtVerifier(rules=some_rules(algorithms=("ES256",)), keys=keys, clock=clock)

    assert "algorithm" in await refusal(verifier, rsa_key().token(a_payload()))
    assert await subject(verifier, ec_key().token(a_payload())) == "ann"


@pytest.mark.parametrize("typ", [None, "JWT", "jwt", "at+jwt", "application/at+jwt", "AT+JWT"])
async def test_the_usual_types_are_good(verifier: JwtVerifier, typ: str | None) -> None:
    assert await subject(verifier, ec_key().token(a_payload(), typ=typ)) == "ann"


async def test_unknown_header_fields_are_ignored(verifier: JwtVerifier) -> None:
    """RFC 7515, 4: unless they are marked critical. Issuers add x5c, which is long."""
    assert await subject(verifier, ec_key().token(a_payload(), x5c=["A" * 2000], ver="2.0")) == "ann"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ({"typ": "logout+jwt"}, "typ"),
        ({"typ": "JOSE"}, "typ"),
        ({"typ": 7}, "understood"),
        ({"cty": "JWT"}, "another token"),
        ({"crit": ["exp"]}, "crit"),
        ({"crit": []}, "crit"),
        ({"crit": 7}, "crit"),
        ({"crit": [[]]}, "crit"),
        ({"crit": ["b64"], "b64": False}, "crit"),
        ({"b64": False}, "understood"),
        ({"kid": 7}, "understood"),
        ({"kid": ["ec"]}, "understood"),
        ({"kid": "unknown"}, "does not publish"),
        ({"kid": ""}, "does not publish"),
        ({"kid": "rsa"}, "does not publish"),
        ({"alg": None}, "understood"),
        ({"alg": ["ES256"]}, "understood"),
        ({"alg": "none"}, "algorithm"),
        ({"alg": "None"}, "algorithm"),
        ({"alg": "HS256"}, "algorithm"),
        ({"alg": "ES384"}, "algorithm"),
        ({"alg": "dir"}, "algorithm"),
        ({"alg": "RS256"}, "does not publish"),
        ({"jwk": "here"}, "understood"),
    ],
)
async def test_a_header_of_another_kind_of_token_is_refused(
    verifier: JwtVerifier, header: dict[str, Any], message: str
) -> None:
    assert message in await refusal(verifier, ec_key().token(a_payload(), **header))


@pytest.mark.parametrize("signature", ["", "AAAA"])
@pytest.mark.parametrize("alg", ["none", "nOnE", "", "RS256"])
async def test_an_unsigned_token_is_refused(verifier: JwtVerifier, alg: str, signature: str) -> None:
    unsigned = make_token({"alg": alg, "kid": "rsa"}, a_payload(), lambda _: b"").removesuffix(".")

    await refusal(verifier, f"{unsigned}.{signature}")


@pytest.mark.parametrize("alg", ["HS256", "HS384", "RS256"])
async def test_a_public_key_cannot_sign_as_a_secret(verifier: JwtVerifier, alg: str) -> None:
    """The classic confusion: the published key taken as the secret of an HMAC."""
    for secret in (orjson.dumps(rsa_key().jwk), base64.urlsafe_b64decode(rsa_key().jwk["n"] + "==")):
        await refusal(verifier, make_token({"alg": alg, "kid": "rsa"}, a_payload(), hmac_with(secret)))


async def test_a_key_that_the_token_brings_along_is_not_used(verifier: JwtVerifier) -> None:
    forger = rsa_key("forger")

    assert "signature" in await refusal(verifier, forger.token(a_payload(), kid="rsa", jwk=dict(forger.jwk)))
    assert "publish" in await refusal(
        verifier, forger.token(a_payload(), jwk=dict(forger.jwk), jku="https://evil.example/keys")
    )


async def test_a_changed_payload_is_refused(verifier: JwtVerifier) -> None:
    header, _, signature = ec_key().token(a_payload()).split(".")

    assert "signature" in await refusal(
        verifier, f"{header}.{encode(orjson.dumps(a_payload(sub='bob')))}.{signature}"
    )


@pytest.mark.parametrize(
    ("claims", "message"),
    [
        ({"exp": NOW_S - 30}, "expired"),
        ({"exp": None}, "lacks a claim that it must have: exp"),
        ({"exp": "soon"}, "wrong type"),
        ({"exp": True}, "wrong type"),
        ({"exp": 0}, "expired"),
        ({"exp": -1e300}, "expired"),
        ({"nbf": NOW_S + 31}, "not valid yet"),
        ({"nbf": "now"}, "not valid yet"),
        ({"iat": NOW_S + 31}, "in the future"),
        ({"iss": None}, "lacks a claim that it must have: iss"),
        ({"iss": "https://login.example.com"}, "another issuer"),
        ({"iss": ISSUER.upper()}, "another issuer"),
        ({"iss": [ISSUER]}, "another issuer"),
        ({"aud": None}, "lacks a claim that it must have: aud"),
        ({"aud": "Images"}, "another audience"),
        ({"aud": ""}, "another audience"),
        ({"aud": []}, "another audience"),
        ({"aud": ["mail", "calendar"]}, "another audience"),
        ({"aud": ["images", 7]}, "another audience"),
        ({"aud": {"images": 1}}, "another audience"),
        ({"sub": None}, "whose it is"),
        ({"sub": ""}, "claim sub"),
        ({"sub": 7}, "wrong type"),
        ({"sub": "a" * 201}, "claim sub"),
        ({"sub": "ann\n"}, "claim sub"),
        ({"team": 7}, "claim team"),
        ({"team": ["red"]}, "claim team"),
        ({"team": ""}, "claim team"),
        ({"policy": "a" * 201}, "claim policy"),
        ({"policy": "\0"}, "claim policy"),
    ],
)
async def test_claims_that_are_not_right_are_refused(
    verifier: JwtVerifier, claims: dict[str, Any], message: str
) -> None:
    assert message in await refusal(verifier, ec_key().token(a_payload(**claims)))


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": NOW_S - 29},
        {"exp": NOW_S + 0.5},
        {"nbf": NOW_S + 30},
        {"iat": NOW_S + 30},
        {"iat": None},
        {"aud": "pictures"},
        {"aud": ["mail", "images"]},
        {"sub": "a" * 200},
        {"sub": "auth0|Zo\N{LATIN SMALL LETTER E WITH DIAERESIS} K."},
    ],
)
async def test_claims_at_the_edge_are_good(verifier: JwtVerifier, claims: dict[str, Any]) -> None:
    assert await subject(verifier, ec_key().token(a_payload(**claims))) == claims.get("sub", "ann")


async def test_a_team_of_null_is_not_no_team(verifier: JwtVerifier) -> None:
    """An unreadable claim must not become the default."""
    payload = orjson.dumps({**a_payload(), "team": None})

    assert "claim team" in await refusal(verifier, ec_key().token(payload))


async def test_a_team_and_a_policy_may_be_missing(verifier: JwtVerifier) -> None:
    claims = await verifier.verify(ec_key().token(a_payload(team=None, policy=None)))

    assert (claims.team, claims.policy) == (None, None)


@pytest.mark.parametrize(
    ("name", "claims", "team"),
    [
        ("https://example.com/team", {"https://example.com/team": "blue"}, "blue"),
        ("realm_access.team", {"realm_access": {"team": "blue"}}, "blue"),
        ("realm_access.team", {"realm_access": {"team": "blue"}, "realm_access.team": "green"}, "green"),
        ("realm_access.team", {"realm_access": {"other": "blue"}}, None),
        ("realm_access.team", {"realm_access": "team"}, None),
        ("realm_access.team", {"realm_access": ["team"]}, None),
        ("a.b.c", {"a": {"b": {"c": "blue"}}}, "blue"),
        ("a.b.c", {"a": {"b.c": "blue"}}, None),
    ],
)
async def test_a_claim_is_found_by_its_whole_name_or_by_its_path(
    keys: JwksSource, clock: FakeClock, name: str, claims: dict[str, Any], team: str | None
) -> None:
    verifier = JwtVerifier(rules=some_rules(team_claim=name), keys=keys, clock=clock)

    assert (await verifier.verify(ec_key().token(a_payload(**claims)))).team == team


async def test_the_user_may_be_another_claim(keys: JwksSource, clock: FakeClock) -> None:
    verifier = JwtVerifier(rules=some_rules(user_claim="email"), keys=keys, clock=clock)

    assert (
        await verifier.verify(ec_key().token(a_payload(email="ann@example.com")))
    ).subject == "ann@example.com"
    assert "whose" in await refusal(verifier, ec_key().token(a_payload()))


@pytest.mark.parametrize(
    "changes",
    [
        {"issuer": ""},
        {"audience": ()},
        {"audience": ("images", "")},
        {"algorithms": ()},
        {"algorithms": ("none",)},
        {"algorithms": ("RS256", "HS256")},
        {"algorithms": ("rs256",)},
        {"user_claim": ""},
        {"team_claim": ""},
        {"leeway_s": -1},
    ],
)
def test_rules_that_would_admit_all_or_no_tokens_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"needed|among|must not"):
        some_rules(**changes)


async def test_a_token_that_is_too_large_is_not_parsed(verifier: JwtVerifier, server: KeyServer) -> None:
    token = ec_key().token(a_payload(padding="x" * 8192))

    assert "larger than 8192 bytes" in await refusal(verifier, token)
    assert server.requests == 0


async def test_the_largest_token_is_good(verifier: JwtVerifier) -> None:
    padding = 8192 - len(ec_key().token(a_payload(padding="")))
    token = ec_key().token(a_payload(padding="x" * (padding * 3 // 4 - 2)))

    assert 8180 < len(token) <= 8192
    assert await subject(verifier, token) == "ann"


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        "...",
        "....",
        "a.b.c.d.e",
        "sk-not-a-token",
        "\ud800",
        "\N{SNOWMAN}.a.b",
        "\0.\0.\0",
        "e30.e30.",
        "W10.e30.",
    ],
)
async def test_malformed_tokens_are_refused(verifier: JwtVerifier, token: str) -> None:
    await refusal(verifier, token)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"7",
        b"null",
        b'"alg"',
        b'"alg b64"',
        b'["alg"]',
        b'["alg", "b64"]',
        b'{"alg": NaN}',
        b"\xff\xfe",
        b"[" * 5000,
        b'{"alg":"ES256","a":' + b"[" * 5000,
        b'{"alg":"ES256","a":' + b"9" * 5000 + b"}",
        b'{"alg":"ES256","kid":"\\ud800"}',
        b'{"alg":"\\ud800"}',
        b'{"alg":"ES256","kid":"ec","crit":{}}',
    ],
)
async def test_a_header_that_is_odd_is_refused(verifier: JwtVerifier, header: bytes) -> None:
    await refusal(verifier, make_token(header, a_payload(), ec_key().sign))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"null",
        b"7",
        b"[]",
        b'"text"',
        b"{",
        b"\xff",
        b'{"exp": NaN}',
        b'{"exp": Infinity}',
        b'{"exp": 1e999}',
        b'{"exp": ' + b"9" * 5000 + b"}",
        b'{"sub": "\\ud800"}',
        b'{"sub": "\xed\xa0\x80"}',
        b"[" * 5000,
        b'{"a":' * 1000 + b"1" + b"}" * 1000,
        orjson.dumps(a_payload()).decode().encode("utf-16"),
    ],
)
async def test_an_odd_payload_is_refused_even_if_signed(verifier: JwtVerifier, payload: bytes) -> None:
    await refusal(verifier, ec_key().token(payload))


async def test_an_encrypted_or_nested_token_is_refused(verifier: JwtVerifier) -> None:
    inner = ec_key().token(a_payload())
    encrypted = ".".join([encode(b'{"alg":"RSA-OAEP","enc":"A256GCM","kid":"rsa"}'), "a", "b", "c", "d"])

    assert "encrypted" in await refusal(verifier, encrypted)
    assert "another token" in await refusal(verifier, ec_key().token(inner.encode(), cty="JWT"))
    assert "understood" in await refusal(verifier, ec_key().token(inner.encode()))


async def test_a_token_without_kid_is_good_where_one_key_fits(
    verifier: JwtVerifier, server: KeyServer
) -> None:
    server.publish(ec_key(), rsa_key())

    assert await subject(verifier, ec_key().token(a_payload(), kid=None)) == "ann"


async def test_a_token_without_kid_is_refused_where_two_keys_fit(
    verifier: JwtVerifier, server: KeyServer
) -> None:
    server.publish(ec_key(), ec_key("other"))

    assert "kid" in await refusal(verifier, ec_key().token(a_payload(), kid=None))


async def test_a_good_token_is_remembered_by_its_digest_for_a_minute(
    verifier: JwtVerifier, server: KeyServer, clock: FakeClock
) -> None:
    token = ec_key().token(a_payload())
    first = await verifier.verify(token)

    assert await verifier.verify(token) is first
    assert list(verifier._good) == [hashlib.sha256(token.encode()).digest()]

    clock.advance(59.9)
    assert await verifier.verify(token) is first
    clock.advance(0.2)
    assert await verifier.verify(token) is not first


async def test_a_token_is_not_remembered_beyond_its_end(verifier: JwtVerifier, clock: FakeClock) -> None:
    token = ec_key().token(a_payload(exp=NOW_S + 10))
    await verifier.verify(token)

    clock.advance(41)
    assert "expired" in await refusal(verifier, token)


async def test_a_token_that_only_leeway_keeps_alive_is_checked_each_time(
    verifier: JwtVerifier, clock: FakeClock
) -> None:
    token = ec_key().token(a_payload(exp=NOW_S - 10))

    assert await subject(verifier, token) == "ann"
    assert not verifier._good


async def test_a_removed_key_soon_admits_no_token(
    verifier: JwtVerifier, server: KeyServer, clock: FakeClock
) -> None:
    token = ec_key().token(a_payload())
    await verifier.verify(token)
    server.publish(rsa_key())

    clock.advance(301)
    assert "publish" in await refusal(verifier, token)


@pytest.mark.slow
async def test_guessing_fills_no_memory(verifier: JwtVerifier, server: KeyServer) -> None:
    """A hundred thousand random tokens, half of them well-formed."""
    chance = random.Random(0)
    alphabet = string.ascii_letters + string.digits + "-_."
    payload, signature = encode(orjson.dumps(a_payload())), "A" * 86

    for _ in range(50_000):
        header = encode(b'{"alg":"ES256","kid":"%x"}' % chance.getrandbits(64))
        for token in (f"{header}.{payload}.{signature}", "".join(chance.choices(alphabet, k=60))):
            with contextlib.suppress(Unauthenticated):
                pytest.fail(f"{await verifier.verify(token)}")

    assert not verifier._good
    assert server.requests == 2


async def test_at_most_ten_thousand_valid_tokens_are_cached(verifier: JwtVerifier) -> None:
    claims = await verifier.verify(ec_key().token(a_payload()))
    for number in range(10_000):
        verifier._good[number.to_bytes(32, "big")] = claims, 0.0
    token = ec_key().token(a_payload(sub="bob"))

    assert await verifier.verify(token) is await verifier.verify(token)
    assert len(verifier._good) == 10_000


@pytest.mark.parametrize(
    "kind",
    [
        kind
        for _, kind in inspect.getmembers(joserfc_errors, inspect.isclass)
        if issubclass(kind, joserfc_errors.JoseError)
    ],
)
def test_every_error_of_the_library_is_translated(kind: type[joserfc_errors.JoseError]) -> None:
    """Also those that a later release adds."""
    error = kind("secret")

    with pytest.raises(Unauthenticated) as caught, _translated_errors():
        raise error

    if not isinstance(error, joserfc_errors.MissingClaimError):
        assert "secret" not in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=8), children, max_size=3)
    ),
    max_leaves=6,
)
HEADER_NAMES = st.sampled_from(["alg", "kid", "typ", "cty", "crit", "b64", "jwk", "jku", "x5c", "x5u", "enc"])
CLAIM_NAMES = st.sampled_from(
    ["iss", "aud", "sub", "exp", "nbf", "iat", "jti", "team", "policy", "validate_value"]
)
FUZZ = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


async def verify_or_refuse(verifier: JwtVerifier, token: str) -> None:
    """Anything else that comes out is the bug."""
    try:
        claims = await verifier.verify(token)
    except Unauthenticated:
        return
    assert claims.subject


def dump(value: object) -> bytes:
    """Return JSON as careless issuers write it: with NaN, half characters and numbers of any size."""
    return json.dumps(value).encode()


@FUZZ
@given(token=st.text() | st.text("abcAQIgw019-_.=+/", max_size=40))
@example(token="eyJhbGciOiJub25lIn0.e30.")
async def test_no_text_gets_anything_but_a_refusal_out(verifier: JwtVerifier, token: str) -> None:
    await refusal(verifier, token)


@FUZZ
@given(parts=st.lists(st.binary(max_size=40), min_size=3, max_size=3))
async def test_no_bytes_get_anything_but_a_refusal_out(verifier: JwtVerifier, parts: list[bytes]) -> None:
    with pytest.raises(Unauthenticated):
        await verifier.verify(".".join(encode(part) for part in parts))


@FUZZ
@given(data=st.data())
async def test_a_mutated_token_is_refused(verifier: JwtVerifier, data: st.DataObject) -> None:
    token = data.draw(st.sampled_from([rsa_key, ec_key, ed25519_key]))().token(a_payload())
    place = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.text(max_size=3))
    mutated = token[:place] + other + token[place + 1 :]

    if mutated != token:
        with pytest.raises(Unauthenticated):
            await verifier.verify(mutated)


@FUZZ
@given(header=JSON | st.dictionaries(HEADER_NAMES, JSON))
async def test_no_header_breaks_the_reader(verifier: JwtVerifier, header: object) -> None:
    if isinstance(header, dict):
        header = {"alg": "ES256", "kid": "ec", **header}

    await verify_or_refuse(verifier, make_token(dump(header), a_payload(), ec_key().sign))


@FUZZ
@given(payload=JSON | st.dictionaries(CLAIM_NAMES, JSON))
async def test_no_signed_payload_breaks_the_reader(verifier: JwtVerifier, payload: object) -> None:
    if isinstance(payload, dict):
        payload = {**a_payload(), **payload}

    await verify_or_refuse(verifier, ec_key().token(dump(payload)))
