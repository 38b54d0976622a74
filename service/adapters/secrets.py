"""One key for each purpose, derived from the gateway's secrets (HKDF-SHA-256, RFC 5869).

A key that leaks from one use opens no other, and no secret is used directly.
"""

import os
import secrets as random_secrets
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


def derive_key(secret: str, purpose: str) -> bytes:
    """Return 32 bytes for *purpose*, a constant label such as `image-link`."""
    derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"image-gateway/{purpose}".encode())
    return derivation.derive(secret.encode())


def load_or_make_secret(path: Path) -> str:
    """Return the secret in *path*, made on first use and readable by its owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(path, "x", opener=_owner_only) as file:
            file.write(random_secrets.token_urlsafe(32))
    except FileExistsError:
        pass
    return path.read_text("utf-8").strip()


def _owner_only(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)
