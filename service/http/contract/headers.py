"""Describe the headers of requests and answers: `docs/http.md` in the contract.

How to add one to answers: beside its code in `http/headers.py`, a row of `_ANSWERS`, and its name in each group that has it.
"""

from collections.abc import Iterable
from typing import Any

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer"}
_LONG: Schema = {"type": "integer", "format": "int64"}

_ANSWERS: dict[str, tuple[Schema, str]] = {
    "X-Request-Id": (_TEXT, "Id of the request, for reports: the caller's own if it is well-formed."),
    "Request-Id": (_TEXT, "The same id, under the name that older SDKs read."),
    "X-Content-Type-Options": (_TEXT, "`nosniff`."),
    "X-Cache": (
        _TEXT,
        (
            "`hit`, `miss`, `coalesced` (shared with another order), `bypass`, or `partial` with the number of images from "
            "each source; `; equal=2` numbers equal orders at once. Absent from streams of unfinished images."
        ),
    ),
    "X-Cost-Microusd": (
        _TEXT,
        (
            "Cost of this order in millionths of a US dollar: cached and shared images cost 0. `unknown` does not mean "
            "free. Absent from streams of unfinished images."
        ),
    ),
    "Age": (_LONG, "Seconds since the oldest cached image of the answer was made."),
    "X-Model-Sent": (
        _TEXT,
        "The model that made the images, of several the first one made for this order; if none was, the model that would make them.",
    ),
    "X-Backend": (
        _TEXT,
        (
            "The backends that made images for this order, by their names in the configuration, with commas between. Absent "
            "if all came from the cache or from other orders, and from streams that begin before the last image."
        ),
    ),
    "Sunset": (_TEXT, "End of the requested model (RFC 8594)."),
    "Deprecation": (_TEXT, "End of the requested model, as a structured date (RFC 9745)."),
    "Server-Timing": (
        _TEXT,
        "Milliseconds: `order` in all, and its stages: `queue`, `begin`, `upstream`, `store`.",
    ),
    "OpenAI-Processing-Ms": (_LONG, "Milliseconds of the order."),
    "OpenAI-Version": (_TEXT, "Version of the OpenAI API."),
    "Idempotent-Replayed": (_TEXT, "`true`: the answer repeats an earlier one under the same key."),
    "Preference-Applied": (_TEXT, "`return=partial`: images are missing, and `errors` lists them."),
    "X-RateLimit-Limit-Requests": (
        _COUNT,
        "Requests a minute, by the tightest limit; with 429 by the one that refused.",
    ),
    "X-RateLimit-Remaining-Requests": (_COUNT, "Requests left."),
    "X-RateLimit-Reset-Requests": (_TEXT, "Time until all are back, such as `120ms` or `1.2s`."),
    "X-RateLimit-Limit-Images": (
        _COUNT,
        "Images a minute, by the tightest limit; with 429 images of the limit that refused, such as that of a day.",
    ),
    "X-RateLimit-Remaining-Images": (_COUNT, "Images left."),
    "X-RateLimit-Reset-Images": (_TEXT, "Time until all are back, such as `120ms` or `1.2s`."),
    "X-RateLimit-Degraded": (_TEXT, "`true`: Redis is away, and a local share of the limits applies."),
    "Retry-After": (_COUNT, "Seconds until a retry may succeed, 1 to 60."),
    "Retry-After-Ms": (_COUNT, "The same in milliseconds."),
    "X-Should-Retry": (
        _TEXT,
        "`false`: a retry cannot succeed, or could cost twice. The official SDKs obey it.",
    ),
    "WWW-Authenticate": (_TEXT, "`Bearer`."),
    "Accept-Encoding": (_TEXT, "Encodings of bodies that the gateway reads."),
    "ETag": (_TEXT, "SHA-256 of the file."),
    "Cache-Control": (_TEXT, "How long the answer may be kept."),
    "Accept-Ranges": (_TEXT, "`bytes`."),
    "Content-Range": (_TEXT, "The part of the file that the answer has, and the size of the file."),
    "Content-Disposition": (_TEXT, "Whether a browser shows the file, and its name."),
    "Content-Security-Policy": (_TEXT, "Keeps browsers from running the file."),
    "Cross-Origin-Resource-Policy": (_TEXT, "`cross-origin`: any page may show the image."),
    "Location": ({"type": "string", "format": "uri"}, "Presigned URL of the file in the store."),
    "X-Accel-Buffering": (_TEXT, "`no`: proxies pass events on at once."),
}

EVERY = ("X-Request-Id", "Request-Id", "X-Content-Type-Options")
LIMITS = tuple(name for name in _ANSWERS if name.startswith("X-RateLimit-"))
RETRIES = ("Retry-After", "Retry-After-Ms", "X-Should-Retry")
ORDER = (
    *(
        "X-Cache",
        "X-Cost-Microusd",
        "Age",
        "X-Model-Sent",
        "X-Backend",
        "Sunset",
        "Deprecation",
        "Server-Timing",
    ),
    *("OpenAI-Processing-Ms", "OpenAI-Version", "Idempotent-Replayed", *LIMITS),
)
STREAM = (*ORDER, "Cache-Control", "X-Accel-Buffering")
FILE = (
    *("ETag", "Cache-Control", "Accept-Ranges", "Content-Disposition", "Content-Security-Policy"),
    "Cross-Origin-Resource-Policy",
)

_REQUESTS: dict[str, tuple[str, Schema, str]] = {
    "IdempotencyKey": (
        "Idempotency-Key",
        {"type": "string", "minLength": 1, "maxLength": 255},
        (
            "A repeat of the order within a day gets the answer of the first, waits for it, or continues it. Images of "
            "unknown outcome, such as those in flight at a gateway that was killed, are made anew and may be paid for twice. "
            "Any text of printable ASCII characters, such as a UUID; the caller needs a key or a token."
        ),
    ),
    "Prefer": (
        "Prefer",
        _TEXT,
        "`return=partial` answers 200 with the finished images if others fail, and lists those in `errors`.",
    ),
    "CacheControl": (
        "Cache-Control",
        _TEXT,
        (
            "`no-cache` makes new images and keeps them beside the cached ones; `no-store` neither reads nor fills the "
            "cache; `only-if-cached` answers 504 instead of paying; `max-age=60` accepts images up to 60 seconds old."
        ),
    ),
    "RequestTimeout": (
        "X-Request-Timeout-S",
        {"type": "number", "exclusiveMinimum": 0},
        "Seconds until the order is given up, if that is earlier than the gateway's own deadline (`GATEWAY_DEADLINE_S`).",
    ),
    "Range": ("Range", _TEXT, "One range of bytes, such as `bytes=0-1023`."),
    "IfNoneMatch": ("If-None-Match", _TEXT, "`ETag` of a copy: an unchanged file is answered 304."),
}

OF_ORDERS = ("IdempotencyKey", "Prefer", "CacheControl", "RequestTimeout")
OF_FILES = ("Range", "IfNoneMatch")


def component_headers() -> dict[str, Any]:
    """Return the headers of answers as components."""
    return {
        name: {"description": description, "schema": schema}
        for name, (schema, description) in _ANSWERS.items()
    }


def component_parameters() -> dict[str, Any]:
    """Return the headers of requests as components."""
    return {
        key: {"name": name, "in": "header", "required": False, "description": description, "schema": schema}
        for key, (name, schema, description) in _REQUESTS.items()
    }


def name_headers(names: Iterable[str]) -> dict[str, Any]:
    """Return references to the headers of an answer."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in (*EVERY, *names)}
