"""Encode calls and decode answers as JSON of the OpenAI Images API. Pure."""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pybase64

from service.adapters.openai.spellings import read_base64, read_data_url
from service.domain.images import CallMade, InputImage, RawImage

_MOST_TOKENS = 10**9
"""A million times the count of the largest image."""

_MOST_UNREADABLE = 8
"""Entries beside the asked images that are looked at."""
_MOST_COUNTS = 32
_MOST_PROMPT = 32_000
"""Characters of the longest prompt that a model takes."""

_SLICED_BYTES = 32 * 1024
"""A larger image is decoded where it stands in the body, and the JSON is parsed without it."""
_KEY = b'"b64_json"'
_IMAGE = re.compile(_KEY + rb'[ \t\r\n]*:[ \t\r\n]*"')

_RESOLVED = ("background", "output_format", "quality", "size")
_CHOICE = re.compile(r"[a-z]{1,20}|\d{1,5}x\d{1,5}")
_COUNT = re.compile(r"[a-z][a-z0-9_]{0,63}")
_MODEL = re.compile(r"[A-Za-z0-9]{1,20}(?:[-._:/][A-Za-z0-9]{1,20}){0,9}")
"""Forms of values that are kept and shown; a key has longer parts than the name of a model, and a prompt has spaces."""
OTHER = "other"
"""Stands for a text that is not the name of a model."""


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


def encode_form(fields: Mapping[str, Any]) -> dict[str, str]:
    """Return the text fields of `POST /images/edits`."""
    return {name: _form_text(value) for name, value in fields.items()}


def encode_json_edit(fields: Mapping[str, Any], inputs: Sequence[InputImage]) -> list[bytes | InputImage]:
    """Return the body of `POST /images/edits` as JSON: each input stands where the base64 of its bytes belongs."""
    parts: list[bytes | InputImage] = [orjson.dumps(fields)[:-1]]
    before = b',"images":['
    for entry in (each for each in inputs if each.role == "image"):
        parts += [before + _open_data_url(entry), entry, b'"}']
        before = b","
    parts.append(b"]")
    for entry in (each for each in inputs if each.role != "image"):
        parts += [b',"%s":' % entry.role.encode() + _open_data_url(entry), entry, b'"}']
    return [*parts, b"}"]


def _open_data_url(entry: InputImage) -> bytes:
    return b'{"image_url":"data:image/%s;base64,' % entry.format.encode()


def _form_text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def decode_json(body: bytes | bytearray) -> Any:
    """Return decoded JSON, or None for anything else."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def decode_answer(body: bytes | bytearray, n: int) -> CallMade:
    """Read an answer to an order of *n* images; unknown fields are ignored. Images may come as URLs, to be fetched later.

    An entry that cannot be read is left out: the others are paid for.

    Raises:
        NotUnderstood: it is not JSON, or has no image that can be read.
    """
    most = n + _MOST_UNREADABLE
    rest, decoded = _take_images(body, most)
    answer = decode_json(rest)
    if not isinstance(answer, Mapping) or not isinstance(answer.get("data"), list):
        raise NotUnderstood
    entries = answer["data"][:most]
    images = tuple(image for entry in entries if (image := _decode_entry(entry, decoded)) is not None)
    if not images:
        raise NotUnderstood
    return CallMade(
        images=images,
        usage=_clean_usage(answer.get("usage")),
        resolved=_resolved(answer),
        answered_model=_model(answer.get("model")),
    )


def _take_images(body: bytes | bytearray, most: int) -> tuple[bytes | bytearray, dict[str, bytes]]:
    """Decode up to *most* large images where they stand in *body*; returns the JSON with a token for each, and them by token.

    Plain base64 is all of a string of JSON, without an escape, and so is a token in its place: the rest keeps its meaning, and a
    token that is found as an image stands for these bytes. It is random, so no provider can write it. Images in another
    spelling stay in the JSON.
    """
    decoded: dict[str, bytes] = {}
    if len(body) < _SLICED_BYTES:
        return body, decoded
    view, position, taken = memoryview(body), 0, 0
    parts: list[bytes | memoryview] = []
    for _ in range(most):
        place = body.find(_KEY, position)
        if place < 0:
            break
        opening = _IMAGE.match(body, place)
        position = place + len(_KEY)
        if opening is None:
            continue
        start = opening.end()
        position = body.find(b'"', start)
        if position - start < _SLICED_BYTES:
            position = max(position, start)
            continue
        try:
            image = pybase64.b64decode(view[start:position], validate=True)
        except ValueError:
            continue
        token = secrets.token_hex()
        decoded[token] = image
        parts += [view[taken:start], token.encode()]
        taken = position
    return (b"".join([*parts, view[taken:]]) if decoded else body), decoded


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
    image = _decode_image(event, {})
    if image is None:
        raise NotUnderstood
    return StreamedImage(
        image=image,
        # Even without a valid number, a stage must never pass for the finished image.
        partial=(number if isinstance(number, int) else 0) if is_partial else None,
        usage=_clean_usage(event.get("usage")),
        resolved=_resolved(event),
    )


def _resolved(answer: Mapping[str, Any]) -> dict[str, str]:
    return {name: answer[name] for name in _RESOLVED if _has_form(_CHOICE, answer.get(name))}


def _model(name: Any) -> str | None:
    if not isinstance(name, str):
        return None
    return name if _MODEL.fullmatch(name) else OTHER


def _clean_usage(usage: Any) -> dict[str, Any] | None:
    """Return the plain token counts of *usage*, two levels deep, or None: they are multiplied, stored and booked."""
    if not isinstance(usage, Mapping):
        return None
    counts: dict[str, Any] = _counts(usage)
    groups = {name: _counts(inner) for name, inner in usage.items() if isinstance(inner, Mapping)}
    counts.update({name: groups[name] for name in list(groups)[:_MOST_COUNTS] if _has_form(_COUNT, name)})
    return counts or None


def _counts(usage: Mapping[str, Any]) -> dict[str, int]:
    counts = {name: value for name, value in usage.items() if _is_count(value) and _has_form(_COUNT, name)}
    return {name: counts[name] for name in list(counts)[:_MOST_COUNTS]}


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS


def _decode_entry(entry: Any, decoded: Mapping[str, bytes]) -> RawImage | None:
    """Return the image of an entry, which may have yet to be fetched; None if it has none."""
    if not isinstance(entry, Mapping):
        return None
    url = entry.get("url")
    if isinstance(entry.get("b64_json"), str) or not isinstance(url, str):
        return _decode_image(entry, decoded)
    data = read_data_url(url)
    return RawImage(data=data or b"", url=None if data else url, revised_prompt=_revised(entry))


def _decode_image(entry: Mapping[str, Any], decoded: Mapping[str, bytes]) -> RawImage | None:
    text = entry.get("b64_json")
    if not isinstance(text, str):
        return None
    data = decoded[text] if text in decoded else read_base64(text)
    return None if data is None else RawImage(data=data, revised_prompt=_revised(entry))


def _revised(entry: Mapping[str, Any]) -> str | None:
    revised = entry.get("revised_prompt")
    return revised[:_MOST_PROMPT] if isinstance(revised, str) else None


def _has_form(form: re.Pattern[str], value: Any) -> bool:
    return isinstance(value, str) and form.fullmatch(value) is not None
