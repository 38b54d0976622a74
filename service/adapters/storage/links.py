"""Sign and check links: `<public url>/v1/images/files/<name>?t=<team>&exp=<unix time>&sig=<signature>`.

Name, team and expiry are signed together, with HMAC-SHA-256 and a key derived for this purpose.
A link signed with an older secret is valid while that secret is listed. Failure behaviour: closed.
"""

import hashlib
from urllib.parse import parse_qs

from itsdangerous import BadSignature, Signer
from itsdangerous.encoding import base64_decode, base64_encode
from itsdangerous.signer import HMACAlgorithm

from service.domain.errors import LinkExpired, LinkRefused
from service.ports.clock import Clock

PATH = "/v1/images/files/"
_SALT = "image-link"
_MOST_FIELDS = 8


class SignedLinks:
    """Implements `ports.links.Links`; *keys* are sorted newest first, and links with a *ttl_s* of 0 do not expire."""

    def __init__(self, *, public_url: str, keys: list[bytes], ttl_s: int, clock: Clock) -> None:
        self._base = public_url.rstrip("/") + PATH
        self._ttl_s = ttl_s
        self._clock = clock
        # Derived once, not for each link.
        derived = [Signer(key, salt=_SALT, digest_method=hashlib.sha256).derive_key() for key in keys]
        # itsdangerous signs with the last key of the list and tries them all.
        self._signer = Signer(
            derived[::-1], sep=".", key_derivation="none", algorithm=HMACAlgorithm(hashlib.sha256)
        )

    def sign(self, team: str, name: str) -> str:
        expires_s = int(self._clock.wall_s()) + self._ttl_s if self._ttl_s else 0
        signature = self._signer.get_signature(_signed(name, team, str(expires_s))).decode()
        return f"{self._base}{name}?t={team}&exp={expires_s}&sig={signature}"

    def check(self, name: str, query: str) -> str:
        try:
            fields = parse_qs(query, max_num_fields=_MOST_FIELDS)
        except ValueError as error:
            raise LinkRefused from error
        given = [fields.get(field, []) for field in ("t", "exp", "sig")]
        if any(len(values) != 1 for values in given):
            raise LinkRefused
        team, expires, signature = (values[0] for values in given)
        if not expires.isascii() or not expires.isdigit():
            raise LinkRefused
        try:
            self._signer.unsign(f"{_signed(name, team, expires)}.{signature}")
        except BadSignature as error:
            raise LinkRefused from error
        # The decoder ignores the unused bits of the last character, padding and foreign characters.
        if base64_encode(base64_decode(signature)) != signature.encode():
            raise LinkRefused
        expires_s = int(expires)
        if expires_s and expires_s < self._clock.wall_s():
            raise LinkExpired
        return team


def _signed(name: str, team: str, expires: str) -> str:
    # Separators cannot occur in the fields, so a signature is unambiguous.
    return f"{name}?{team}&{expires}"
