"""Read base64 in every spelling that providers and proxies give it. Pure."""

from urllib.parse import unquote_to_bytes

import pybase64

_TO_STANDARD = bytes.maketrans(b"-_", b"+/")
_SPACES = b" \t\r\n\f\v"


def read_base64(text: str) -> bytes | None:
    """Return the bytes of *text*, or None if it is no base64.

    It may be a data URL, broken into lines (MIME), in the alphabet for URLs, or without padding (RFC 4648).
    """
    try:
        return pybase64.b64decode(text, validate=True)
    except ValueError:
        return read_data_url(text) or _read_loosely(text.encode())


def read_data_url(text: str) -> bytes | None:
    """Return the bytes of a base64 data URL (RFC 2397), or None for any other text."""
    head, comma, rest = text.partition(",")
    if not comma or not head.strip().lower().startswith("data:"):
        return None
    return _read_loosely(unquote_to_bytes(rest))


def _read_loosely(text: bytes) -> bytes | None:
    letters = text.translate(_TO_STANDARD, delete=_SPACES).rstrip(b"=")
    try:
        return pybase64.b64decode(letters + b"=" * (-len(letters) % 4), validate=True) or None
    except ValueError:
        return None
