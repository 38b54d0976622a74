"""Hash the parameters and images of an order that shape its result.

The hash says which order an image answers: `painting.watermark` draws it, the journal lists it, and tests compute
it from the request they sent.
"""

import hashlib
from collections.abc import Mapping, Sequence

import orjson

HASH_BYTES = 8

# Everything that shapes the image; not the caller, the number of images, their delivery or the moderation level.
_SHAPING_PARAMETERS = (
    "background",
    "complexity",
    "input_fidelity",
    "model",
    "output_compression",
    "output_format",
    "prompt",
    "quality",
    "size",
    "style",
)


def order_hash(parameters: Mapping[str, object], inputs: Mapping[str, Sequence[str]] | None = None) -> str:
    """Return 16 hex digits for the request parameters exactly as sent; null counts as absent.

    Defaults are not filled in: a request with `quality: "auto"` hashes differently from one without. *inputs* are
    the SHA-256 in hex of the images sent along, by role: `image`, `mask`, `markup`. Numbers and flags of a form
    hash by value, whatever their spelling.
    """
    shaping = {name: parameters[name] for name in _SHAPING_PARAMETERS if parameters.get(name) is not None}
    if inputs:
        shaping["inputs"] = {role: list(digests) for role, digests in inputs.items() if digests}
    canonical = orjson.dumps(shaping, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(canonical).digest()[:HASH_BYTES].hex()
