"""Hash prompts, orders and people with keys.

Plain hashes of short texts can be guessed, so every hash here takes a key that is
derived from the gateway's secrets for its own purpose.
"""

import hashlib
import hmac
import json
import unicodedata
from typing import Literal

from service.domain.callers import Caller
from service.domain.images import Operation, Realm
from service.domain.order import Idempotency, ImageOrder, SentOrder

CacheScope = Literal["team", "user"]
"""Callers who share the images of equal orders: all of a team, or each user alone."""


def fingerprint_order(key: bytes, operation: Operation, sent: SentOrder, realm: Realm) -> str:
    """Return the name of the pool in which equal orders find their images, 32 hex digits.

    Equal for the same text in any Unicode composition and any order of
    parameters; n, user and delivery do not count, so that an order for n finds
    the images of one for m.
    """
    canonical = json.dumps(
        {
            "operation": operation,
            "inputs": [[entry.role, entry.digest] for entry in sent.inputs],
            "model": sent.target.name,
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


def scope_pool(caller: Caller, default: CacheScope) -> str:
    """Return the scope within the team that shares the pools of *caller*: its user if the gateway or a policy says so."""
    is_own = "user" in (default, caller.cache_scope)
    return f"user-{caller.user}" if is_own else "team"


def identify_order(key: bytes, order: ImageOrder) -> Idempotency | None:
    """Return the hashes of an order's `Idempotency-Key` within its caller, and of its whole content."""
    if order.idempotency_key is None:
        return None
    caller = order.caller
    canonical = json.dumps(
        {
            "operation": order.operation,
            "model": order.asked.name,
            "prompt": unicodedata.normalize("NFC", order.prompt),
            "n": order.n,
            "parameters": dict(order.parameters),
            "delivery": order.delivery,
            "user": order.safety_identifier,
            "inputs": [[entry.role, entry.digest] for entry in order.inputs],
        },
        sort_keys=True,
        separators=(",", ":"),
    )
    whose = f"idempotency {caller.team} {caller.key_id or caller.user} {order.idempotency_key}"
    return Idempotency(key=keyed_hash(key, whose), order=keyed_hash(key, f"order {canonical}"))


def _finish(sent: SentOrder) -> list[object] | None:
    if sent.finish is None:
        return None
    return [sent.finish.width, sent.finish.height, sent.finish.cutout is not None]


def keyed_hash(key: bytes, text: str) -> str:
    """Return 128 bits of HMAC-SHA-256 as 32 hex digits; lone surrogates are hashed as they are."""
    return hmac.digest(key, text.encode("utf-8", "surrogatepass"), hashlib.sha256).hex()[:32]
