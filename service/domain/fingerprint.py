"""The keyed hashes that stand for prompts, orders and people.

Plain hashes of short texts can be guessed, so every hash here takes a key that is
derived from the gateway's secrets for its own purpose.
"""

import hashlib
import hmac
import json
import unicodedata

from service.domain.images import Operation, Realm, SentOrder


def fingerprint_order(key: bytes, operation: Operation, sent: SentOrder, realm: Realm) -> str:
    """Return the name under which pictures of equal orders are found again, 32 hex digits.

    Equal for the same text in any Unicode composition and any order of
    parameters; n, user and delivery do not count, so that an order for n finds
    the pictures of one for m.
    """
    canonical = json.dumps(
        {
            "operation": operation,
            "inputs": [[entry.role, entry.digest] for entry in sent.inputs],
            "model": sent.model,
            "prompt": unicodedata.normalize("NFC", sent.prompt),
            "parameters": dict(sent.parameters),
            "finish": _finish(sent),
            "instructions": sent.instructions,
            "format": sent.output_format,
            "bridge": sent.bridge_version,
            "realm": realm,
        },
        sort_keys=True,
        separators=(",", ":"),
    )
    return keyed_hash(key, canonical)


def _finish(sent: SentOrder) -> list[object] | None:
    if sent.finish is None:
        return None
    return [sent.finish.width, sent.finish.height, sent.finish.cutout is not None]


def keyed_hash(key: bytes, text: str) -> str:
    """Return 128 bits of HMAC-SHA-256 as 32 hex digits; lone surrogates are hashed as they are."""
    return hmac.digest(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()[:32]
