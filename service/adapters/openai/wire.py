"""Calls and answers as JSON on the wire of the OpenAI Images API. Pure."""

from collections.abc import Mapping
from typing import Any

import orjson
import pybase64

from service.domain.images import CallMade, ImageCall, RawImage

_RESOLVED = ("background", "output_format", "quality", "size")


class NotUnderstood(ValueError):
    """A 200 whose body is not an images answer."""


def encode_generation(call: ImageCall) -> bytes:
    """Return the body of `POST /images/generations`.

    Models that still take `response_format` are older than `safety_identifier`
    (SDK changelog, 2026-10-16) and get the field it replaced.
    """
    identifier = "user" if "response_format" in call.parameters else "safety_identifier"
    return orjson.dumps(
        {
            "model": call.model,
            "prompt": call.prompt,
            "n": call.n,
            **call.parameters,
            identifier: call.safety_identifier,
        }
    )


def decode_json(body: bytes) -> Any:
    """Return decoded JSON, or None for anything else."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def decode_answer(body: bytes) -> CallMade:
    """Read an images answer; unknown fields are ignored.

    Raises:
        NotUnderstood: it is not JSON, has no pictures, or their base64 is broken.
    """
    answer = decode_json(body)
    if not isinstance(answer, Mapping) or not isinstance(answer.get("data"), list) or not answer["data"]:
        raise NotUnderstood
    usage = answer.get("usage")
    return CallMade(
        images=tuple(_decode_image(entry) for entry in answer["data"]),
        usage=usage if isinstance(usage, Mapping) else None,
        resolved={name: answer[name] for name in _RESOLVED if isinstance(answer.get(name), str)},
        answered_model=answer["model"] if isinstance(answer.get("model"), str) else None,
    )


def _decode_image(entry: Any) -> RawImage:
    text = entry.get("b64_json") if isinstance(entry, Mapping) else None
    if not isinstance(text, str):
        raise NotUnderstood
    try:
        data = pybase64.b64decode(text, validate=True)
    except ValueError as error:
        raise NotUnderstood from error
    revised = entry.get("revised_prompt")
    return RawImage(data=data, revised_prompt=revised if isinstance(revised, str) else None)
