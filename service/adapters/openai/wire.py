"""Encode calls and decode answers as JSON of the OpenAI Images API. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import pybase64

from service.domain.images import CallMade, ImageCall, RawImage

_MOST_TOKENS = 10**9
"""A million times the count of the largest image."""

_RESOLVED = ("background", "output_format", "quality", "size")


class NotUnderstood(ValueError):
    """The body of a 200 is not an images answer."""


class StreamFailed(Exception):
    """The stream has an `error` event; *envelope* is the provider's error."""

    def __init__(self, envelope: Mapping[str, Any]) -> None:
        super().__init__("error event")
        self.envelope = envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamedImage:
    """One event of a stream; *partial* is the number of its stage, None for the finished image."""

    image: RawImage
    partial: int | None
    usage: Mapping[str, Any] | None
    resolved: Mapping[str, str]


def encode_fields(call: ImageCall) -> dict[str, Any]:
    """Return the parameters of a call under the provider's names.

    Models that take `response_format` are older than `safety_identifier` (SDK changelog, 2026-10-16), and
    get the field it replaced.
    """
    identifier = "user" if "response_format" in call.parameters else "safety_identifier"
    streaming = {"stream": True, "partial_images": call.partial_images} if call.partial_images else {}
    return {
        "model": call.model,
        "prompt": call.prompt,
        "n": call.n,
        **call.parameters,
        **streaming,
        identifier: call.safety_identifier,
    }


def encode_generation(call: ImageCall) -> bytes:
    """Return the body of `POST /images/generations`."""
    return orjson.dumps(encode_fields(call))


def encode_form(call: ImageCall) -> dict[str, str]:
    """Return the text fields of `POST /images/edits`."""
    return {name: _form_text(value) for name, value in encode_fields(call).items()}


def _form_text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def decode_json(body: bytes) -> Any:
    """Return decoded JSON, or None for anything else."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def decode_answer(body: bytes) -> CallMade:
    """Read an images answer; unknown fields are ignored. Images may come as URLs, to be fetched later.

    Raises:
        NotUnderstood: it is not JSON, has no images, or their base64 is broken.
    """
    answer = decode_json(body)
    if not isinstance(answer, Mapping) or not isinstance(answer.get("data"), list) or not answer["data"]:
        raise NotUnderstood
    return CallMade(
        images=tuple(_decode_link(entry) or _decode_image(entry) for entry in answer["data"]),
        usage=_clean_usage(answer.get("usage")),
        resolved=_resolved(answer),
        answered_model=answer["model"] if isinstance(answer.get("model"), str) else None,
    )


def decode_event(text: str) -> StreamedImage:
    """Read one event of a stream: a stage of an image, or a completed one.

    Raises:
        StreamFailed: the provider reports an error inside the stream.
        NotUnderstood: it is neither.
    """
    event = decode_json(text.encode())
    if isinstance(event, Mapping) and isinstance(event.get("error"), Mapping):
        raise StreamFailed(event)
    if not isinstance(event, Mapping):
        raise NotUnderstood
    is_partial = str(event.get("type")).endswith(".partial_image")
    number = event.get("partial_image_index")
    return StreamedImage(
        image=_decode_image(event),
        # Even without a valid number, a stage must never pass for the finished image.
        partial=(number if isinstance(number, int) else 0) if is_partial else None,
        usage=_clean_usage(event.get("usage")),
        resolved=_resolved(event),
    )


def _resolved(answer: Mapping[str, Any]) -> dict[str, str]:
    return {name: answer[name] for name in _RESOLVED if isinstance(answer.get(name), str)}


def _clean_usage(usage: Any) -> dict[str, Any] | None:
    """Return the plain token counts of *usage*, two levels deep, or None: they are multiplied, stored and booked."""
    if not isinstance(usage, Mapping):
        return None
    counts = {name: value for name, value in usage.items() if _is_count(value)}
    for name, value in usage.items():
        if isinstance(value, Mapping):
            counts[name] = {inner: count for inner, count in value.items() if _is_count(count)}
    return counts or None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS


def _decode_link(entry: Any) -> RawImage | None:
    """Return an image that is yet to be fetched; None if the entry has its bytes or no URL."""
    if not isinstance(entry, Mapping) or isinstance(entry.get("b64_json"), str):
        return None
    url = entry.get("url")
    return RawImage(data=b"", url=url, revised_prompt=_revised(entry)) if isinstance(url, str) else None


def _decode_image(entry: Any) -> RawImage:
    text = entry.get("b64_json") if isinstance(entry, Mapping) else None
    if not isinstance(text, str):
        raise NotUnderstood
    try:
        data = pybase64.b64decode(text, validate=True)
    except ValueError as error:
        raise NotUnderstood from error
    return RawImage(data=data, revised_prompt=_revised(entry))


def _revised(entry: Mapping[str, Any]) -> str | None:
    revised = entry.get("revised_prompt")
    return revised if isinstance(revised, str) else None
