"""An identity provider for tests: real keys, tokens signed without the library under test, a server for the key set.

Owns making good and bad tokens byte for byte; the server says what it is told and
counts who asked.
"""

import asyncio
import base64
import hmac
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerKey:
    """A key pair: *alg* and *kid* go into headers, *jwk* into the key set."""

    alg: str
    kid: str
    jwk: Mapping[str, str]
    sign: Sign

    def token(self, claims: Mapping[str, Any] | bytes, **header: Any) -> str:
        """Return a token of this key; a header of None is left out."""
        fields = {"alg": self.alg, "kid": self.kid, "typ": "JWT", **header}
        return make_token(
            {name: value for name, value in fields.items() if value is not None}, claims, self.sign
        )


def make_token(header: object, claims: Mapping[str, Any] | bytes, sign: Sign) -> str:
    """Return a compact JWS of whatever is given; bytes are taken as they are."""
    parts = [part if isinstance(part, bytes) else orjson.dumps(part) for part in (header, claims)]
    signing_input = ".".join(encode(part) for part in parts)
    return f"{signing_input}.{encode(sign(signing_input.encode()))}"


def encode(data: bytes) -> str:
    """Return *data* in base64url as RFC 7515 has it, without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def hmac_with(secret: bytes) -> Sign:
    """Return a signer for HS256."""
    return lambda message: hmac.digest(secret, message, "sha256")


@cache
def rsa_key(kid: str = "rsa", *, bits: int = 2048) -> IssuerKey:
    key = rsa.generate_private_key(65537, bits)
    numbers = key.public_key().public_numbers()
    return IssuerKey(
        alg="RS256",
        kid=kid,
        jwk={
            "kty": "RSA",
            "kid": kid,
            "n": _encode_number(numbers.n, bits // 8),
            "e": _encode_number(numbers.e, 3),
        },
        sign=lambda message: key.sign(message, padding.PKCS1v15(), SHA256()),
    )


@cache
def private_jwk() -> Mapping[str, str]:
    """Return a key that should never have been published."""
    key = ec.generate_private_key(ec.SECP256R1())
    return {**_ec_jwk(key, "private"), "d": _encode_number(key.private_numbers().private_value, 32)}


@cache
def ec_key(kid: str = "ec") -> IssuerKey:
    key = ec.generate_private_key(ec.SECP256R1())

    def sign(message: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(message, ec.ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    return IssuerKey(alg="ES256", kid=kid, jwk=_ec_jwk(key, kid), sign=sign)


@cache
def ed25519_key(kid: str = "ed") -> IssuerKey:
    key = ed25519.Ed25519PrivateKey.generate()
    jwk = {"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": encode(key.public_key().public_bytes_raw())}
    return IssuerKey(alg="EdDSA", kid=kid, jwk=jwk, sign=key.sign)


def key_set(*keys: IssuerKey | Mapping[str, Any] | object) -> bytes:
    """Return a JWKS document."""
    return orjson.dumps({"keys": [key.jwk if isinstance(key, IssuerKey) else key for key in keys]})


@dataclass(slots=True)
class KeyServer:
    """Publishes a key set; *requests* counts who asked, *is_open* lets answers out."""

    url: str = ""
    reply: bytes = b""
    requests: int = 0
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    is_open: asyncio.Event = field(default_factory=asyncio.Event)

    def publish(self, *keys: IssuerKey | Mapping[str, Any] | object) -> None:
        self.answer(200, key_set(*keys))

    def answer(self, status: int, body: bytes, *fields: str) -> None:
        lines = [f"HTTP/1.1 {status} So", f"content-length: {len(body)}", "connection: close", *fields]
        self.reply = "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    def break_down(self) -> None:
        """Close every connection without a word."""
        self.reply = b""


@asynccontextmanager
async def run_key_server(*keys: IssuerKey) -> AsyncIterator[KeyServer]:
    """Run a server on loopback that publishes *keys*."""
    script = KeyServer()
    script.is_open.set()
    script.publish(*keys)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        script.requests += 1
        script.asked.set()
        await script.is_open.wait()
        writer.write(script.reply)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        script.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/jwks.json"
        try:
            yield script
        finally:
            script.is_open.set()


def _ec_jwk(key: ec.EllipticCurvePrivateKey, kid: str) -> dict[str, str]:
    numbers = key.public_key().public_numbers()
    x, y = _encode_number(numbers.x, 32), _encode_number(numbers.y, 32)
    return {"kty": "EC", "crv": "P-256", "kid": kid, "x": x, "y": y}


def _encode_number(number: int, size_bytes: int) -> str:
    return encode(number.to_bytes(size_bytes, "big"))
