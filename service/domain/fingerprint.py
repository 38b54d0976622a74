"""Hash orders into cache keys, and people, with keys derived from our secrets: plain hashes can be guessed.

A part of the cache key is a field of `SentOrder` (`order.py`), set in `bridge.py`, and a line of `fingerprint_order`.
"""

import hashlib
import hmac
import json
import unicodedata

from service.domain.images import Operation, Realm
from service.domain.order import Idempotency, ImageOrder, SentOrder


def fingerprint_order(key: bytes, operation: Operation, sent: SentOrder, realm: Realm) -> str:
    """Return the hash that equal orders share, 32 hex digits.

    Unicode composition and the order of parameters do not count, nor do n, user and delivery: an order for n
    finds the images of one for m.
    """
    finish = sent.finish
    return keyed_hash(
        key,
        _canonical(
            operation=operation,
            inputs=[[entry.role, entry.digest] for entry in sent.inputs],
            model=sent.target.name,
            prompt=unicodedata.normalize("NFC", sent.prompt),
            parameters=dict(sent.parameters),
            finish=finish and [finish.width, finish.height, finish.cutout is not None],
            instructions=sent.instructions,
            format=sent.output_format,
            bridge=sent.bridge_version,
            realm=realm,
        ),
    )


def identify_order(key: bytes, order: ImageOrder) -> Idempotency | None:
    """Return the hashes of an order's `Idempotency-Key` within its caller, and of its whole content."""
    if order.idempotency_key is None:
        return None
    caller = order.caller
    canonical = _canonical(
        operation=order.operation,
        model=order.asked.name,
        prompt=unicodedata.normalize("NFC", order.prompt),
        n=order.n,
        parameters=dict(order.parameters),
        delivery=order.delivery,
        user=order.safety_identifier,
        inputs=[[entry.role, entry.digest] for entry in order.inputs],
    )
    name = f"idempotency {caller.team} {caller.key_id or caller.user} {order.idempotency_key}"
    return Idempotency(key=keyed_hash(key, name), order=keyed_hash(key, f"order {canonical}"))


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


def _canonical(**fields: object) -> str:
    return _ENCODER.encode(fields)


def keyed_hash(key: bytes, text: str) -> str:
    """Return 128 bits of HMAC-SHA-256 as 32 hex digits; lone surrogates are hashed as they are."""
    return hmac.digest(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()[:32]
