"""The gateway's own links: `<public url>/v1/images/files/<name>?exp=<unix time>&sig=<signature>`.

Signed with HMAC-SHA-256 under a key derived for this one purpose; a link made
with an older secret stays good while that secret is listed.
Failure behaviour: closed.
"""

import hashlib
from urllib.parse import parse_qs

from itsdangerous import BadSignature, Signer

from service.domain.errors import LinkRefused
from service.ports import Clock

PATH = "/v1/images/files/"
_SALT = "image-link"
_MOST_FIELDS = 8


class SignedLinks:
    """Implements `ports.Links`. *keys* newest first; *ttl_s* 0 means as long as the image is kept."""

    def __init__(self, *, public_url: str, keys: list[bytes], ttl_s: int, clock: Clock) -> None:
        self._base = public_url.rstrip("/") + PATH
        self._ttl_s = ttl_s
        self._clock = clock
        # itsdangerous signs with the last key of the list and tries them all.
        self._signer = Signer(keys[::-1], salt=_SALT, sep=".", digest_method=hashlib.sha256)

    def sign(self, name: str) -> str:
        """Implement `Links.sign`."""
        expires_s = int(self._clock.wall_s()) + self._ttl_s if self._ttl_s else 0
        signature = self._signer.get_signature(f"{name}?{expires_s}").decode()
        return f"{self._base}{name}?exp={expires_s}&sig={signature}"

    def check(self, name: str, query: str) -> None:
        """Implement `Links.check`."""
        try:
            fields = parse_qs(query, max_num_fields=_MOST_FIELDS)
        except ValueError as error:
            raise LinkRefused from error
        expires, signature = fields.get("exp", []), fields.get("sig", [])
        if len(expires) != 1 or len(signature) != 1 or not expires[0].isascii() or not expires[0].isdigit():
            raise LinkRefused
        try:
            self._signer.unsign(f"{name}?{expires[0]}.{signature[0]}")
        except BadSignature as error:
            raise LinkRefused from error
        expires_s = int(expires[0])
        if expires_s and expires_s < self._clock.wall_s():
            raise LinkRefused
