"""Derive one key for each purpose from the gateway's secrets (HKDF-SHA-256, RFC 5869).

A key that leaks from one use is useless for others, and no secret is used directly.
"""

import os
import secrets as random_secrets
from pathlib import Path

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_SHORTEST = 16


def derive_key(secret: str, purpose: str) -> bytes:
    """Return 32 bytes for *purpose*, a constant label such as `image-link`."""
    derivation = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"image-gateway/{purpose}".encode())
    return derivation.derive(secret.encode())


def load_or_make_secret(path: Path) -> str:
    """Return the secret in *path*, created on first use and readable by its owner only.

    The file appears complete or not at all, and the first of several processes wins.

    Raises:
        ValueError: the file holds no secret; it is not replaced, since links depend on it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        half = path.with_name(f"{path.name}.{os.getpid()}")
        half.touch(mode=0o600)
        half.write_text(random_secrets.token_urlsafe(32), "utf-8")
        try:
            # Unlike a rename, a link fails if another process was first.
            path.hardlink_to(half)
        except FileExistsError:
            pass
        finally:
            half.unlink()
    secret = path.read_text("utf-8").strip()
    if len(secret) < _SHORTEST:
        raise ValueError(f"{path} holds no secret of at least {_SHORTEST} characters")
    return secret
