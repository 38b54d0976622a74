"""Streams from the provider: events, broken streams, and the billing of missing images."""

import base64
import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.adapters.openai import wire
from service.adapters.openai.address import Timeouts
from service.adapters.openai.dialects.dialect import Dialect
from service.adapters.openai.wire import NotUnderstood, StreamFailed, decode_event
from service.domain.failures import Billing, CallFailure, FailureKind
from service.domain.images import CallMade, ImageCall, Operation
from tests.adapters.openai.conftest import ADDRESS, Script, open_backend

CALL = ImageCall(
    model="gpt-image-2", prompt="a heron", n=1, parameters={}, safety_identifier="h", partial_images=2
)
OPENAI = Dialect(ADDRESS)
LOOK = {"size": "1024x1024", "quality": "low", "background": "opaque", "output_format": "png"}
USAGE = {"total_tokens": 3, "input_tokens": 1, "output_tokens": 2}


@dataclass
class Shown:
    """Implements `ports.provider.CallProgress`; remembers."""

    sent: int = 0
    stages: list[tuple[int, bytes, Mapping[str, str]]] = field(default_factory=list)

    def sending(self) -> None:
        self.sent += 1

    def show(self, number: int, data: bytes, resolved: Mapping[str, str]) -> None:
        self.stages.append((number, data, resolved))


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def partial(number: int, data: bytes = b"stage", **fields: object) -> dict[str, Any]:
    return {
        "type": "image_generation.partial_image",
        "b64_json": b64(data),
        "partial_image_index": number,
        "created_at": 1,
        **LOOK,
        **fields,
    }


def completed(data: bytes = b"image", **fields: object) -> dict[str, Any]:
    return {
        "type": "image_generation.completed",
        "b64_json": b64(data),
        "created_at": 1,
        "usage": USAGE,
        **LOOK,
        **fields,
    }


def failed(**error: object) -> dict[str, Any]:
    known = {"message": "It could not be made.", "type": "server_error", "param": None, "code": None}
    return {"type": "error", "error": {**known, **error}}


def events(*payloads: object) -> bytes:
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (str(payload.get("type")).encode(), orjson.dumps(payload))
        if isinstance(payload, dict)
        else b"data: %b\n\n" % str(payload).encode()
        for payload in payloads
    )


async def stream(script: Script, body: bytes, call: ImageCall = CALL) -> tuple[CallMade | CallFailure, Shown]:
    script.answer(200, body, "content-type: text/event-stream; charset=utf-8")
    shown = Shown()
    async with open_backend(script.url) as backend:
        return await backend.make(call, shown), shown


def test_a_stage_is_read() -> None:
    event = decode_event(orjson.dumps(partial(2)).decode())

    assert (event.partial, event.image.data, event.usage) == (2, b"stage", None)
    assert event.resolved == LOOK


@pytest.mark.parametrize("noun", ["image_generation", "image_edit"])
def test_a_finished_image_is_read(noun: str) -> None:
    payload = completed(type=f"{noun}.completed", revised_prompt="better", unknown=[1])

    event = decode_event(orjson.dumps(payload).decode())

    assert (event.partial, event.usage, event.image.revised_prompt) == (None, USAGE, "better")
    assert event.resolved == LOOK


def test_a_field_of_the_wrong_type_counts_as_absent() -> None:
    payload = completed(usage=[1], quality=7, size=None, revised_prompt=9)

    event = decode_event(orjson.dumps(payload).decode())

    assert (event.usage, event.image.revised_prompt) == (None, None)
    assert event.resolved == {"background": "opaque", "output_format": "png"}


def test_an_error_event_is_the_providers_error() -> None:
    with pytest.raises(StreamFailed) as caught:
        decode_event(orjson.dumps(failed(code="moderation_blocked")).decode())

    assert caught.value.envelope["error"]["code"] == "moderation_blocked"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        "{",
        "null",
        "[]",
        "7",
        "{}",
        '{"type": "image_generation.completed"}',
        '{"type": "image_generation.completed", "b64_json": null}',
        '{"type": "image_generation.completed", "b64_json": 7}',
        '{"type": "image_generation.completed", "b64_json": "%%%"}',
        '{"type": "error", "code": "x", "message": "flat"}',
        '{"type": "error", "error": "text"}',
    ],
)
def test_other_events_are_not_understood(text: str) -> None:
    with pytest.raises(NotUnderstood):
        decode_event(text)


@given(
    st.text()
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(
        lambda v: orjson.dumps(str(v)).decode()
    )
)
def test_no_event_breaks_the_decoder(text: str) -> None:
    with contextlib.suppress(NotUnderstood, StreamFailed):
        decode_event(text)


@pytest.mark.parametrize("number", [None, "0", 1.5])
def test_a_stage_is_never_taken_for_the_finished_image(number: object) -> None:
    """It would be sold and stored as one."""
    payload = partial(0)
    payload["partial_image_index"] = number
    if number is None:
        del payload["partial_image_index"]

    try:
        event = decode_event(orjson.dumps(payload).decode())
    except NotUnderstood:
        return
    assert event.partial is not None


async def test_stages_are_shown_and_the_finished_image_is_the_answer(script: Script) -> None:
    result, shown = await stream(script, events(partial(0, b"one"), partial(1, b"two"), completed()))

    assert isinstance(result, CallMade)
    assert [image.data for image in result.images] == [b"image"]
    assert result.usage is not None
    assert result.usage["total_tokens"] == 3
    assert result.resolved == LOOK
    assert shown == Shown(sent=1, stages=[(0, b"one", LOOK), (1, b"two", LOOK)])
    body = orjson.loads(script.requests[0].partition(b"\r\n\r\n")[2])
    assert (body["stream"], body["partial_images"]) == (True, 2)


async def test_comments_and_the_old_end_mark_mean_nothing(script: Script) -> None:
    body = b": ping\n\n" + events(partial(0)) + b": ping\r\n\r\n" + events(completed(), "[DONE]")

    result, _ = await stream(script, body)

    assert isinstance(result, CallMade)


async def test_a_line_as_long_as_an_image_is_read(script: Script) -> None:
    data = bytes(range(256)) * 40_000

    result, _ = await stream(script, events(completed(data)))

    assert isinstance(result, CallMade)
    assert result.images[0].data == data


async def test_an_answer_without_a_stream_is_read_whole(script: Script) -> None:
    """Compatible servers know no streams and answer at once."""
    script.answer(
        200, orjson.dumps({"data": [{"b64_json": b64(b"image")}]}), "content-type: application/json"
    )
    shown = Shown()
    async with open_backend(script.url) as backend:
        result = await backend.make(CALL, shown)

    assert isinstance(result, CallMade)
    assert shown.stages == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        events(partial(0)),
        events(partial(0), "nonsense"),
        events(partial(0), {"type": "image_generation.completed"}),
        events(partial(0), {"type": "error", "message": "flat"}),
        b"data: " + b"x" * 100,
        b"\xff\xfe\xfd\n\n",
    ],
    ids=["empty", "no end", "nonsense", "no image", "a flat error", "no line end", "no UTF-8"],
)
async def test_a_stream_without_a_finished_image_is_of_unknown_billing(script: Script, body: bytes) -> None:
    result, _ = await stream(script, body)

    assert isinstance(result, CallFailure)
    assert (result.kind, result.billing) == (FailureKind.BROKEN, Billing.UNKNOWN)


async def test_a_stream_that_is_cut_is_of_unknown_billing(script: Script) -> None:
    whole = events(partial(0), completed())
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % len(whole)
    script.reply = head + whole[:-50]
    shown = Shown()
    async with open_backend(script.url) as backend:
        result = await backend.make(CALL, shown)

    assert isinstance(result, CallFailure)
    assert (result.kind, result.billing) == (FailureKind.BROKEN, Billing.UNKNOWN)
    assert len(shown.stages) == 1


TAILS = {
    "silence": b"",
    "done and silence": events("[DONE]"),
    "babble": events("{not json", "this"),
    "an error": events(failed()),
    "half an event": b"data: {",
}


@pytest.mark.parametrize("breaks", [False, True], ids=["hangs", "breaks"])
@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
async def test_a_stream_ends_at_its_last_asked_image(script: Script, tail: bytes, breaks: bool) -> None:
    script.begin_stream(events(partial(0), completed()) + tail, holds_on=not breaks)
    shown = Shown()
    async with open_backend(script.url, timeouts=Timeouts(read_s=300)) as backend:
        result = await backend.make(CALL, shown)

    assert isinstance(result, CallMade)
    assert ([image.data for image in result.images], result.usage) == ([b"image"], USAGE)
    assert len(shown.stages) == 1


@pytest.mark.parametrize("breaks", [False, True], ids=["hangs", "breaks"])
@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
async def test_a_tail_takes_no_received_image_away(script: Script, tail: bytes, breaks: bool) -> None:
    script.begin_stream(events(completed(), "") + tail, holds_on=not breaks)
    async with open_backend(script.url) as backend:
        result = await backend.make(replace(CALL, n=2, partial_images=0), Shown())

    assert isinstance(result, CallMade)
    assert ([image.data for image in result.images], result.usage) == ([b"image"], USAGE)


async def test_a_stream_that_is_done_without_an_image_ends(script: Script) -> None:
    script.begin_stream(events(partial(0), "[DONE]"), holds_on=True)
    async with open_backend(script.url, timeouts=Timeouts(read_s=300)) as backend:
        result = await backend.make(CALL, Shown())

    assert isinstance(result, CallFailure)
    assert (result.kind, result.billing) == (FailureKind.BROKEN, Billing.UNKNOWN)


@pytest.mark.parametrize(
    ("error", "kind", "billing"),
    [
        ({}, FailureKind.OVERLOADED, Billing.UNKNOWN),
        ({"code": "rate_limit_exceeded"}, FailureKind.OVERLOADED, Billing.UNKNOWN),
        ({"code": "moderation_blocked"}, FailureKind.REFUSED, Billing.NOT_BILLED),
        ({"code": "billing_hard_limit_reached"}, FailureKind.MISCONFIGURED, Billing.UNKNOWN),
    ],
)
async def test_an_error_inside_a_stream_is_believed_but_not_that_it_was_free(
    script: Script, error: dict[str, object], kind: FailureKind, billing: Billing
) -> None:
    result, _ = await stream(script, events(partial(0), failed(**error)))

    assert isinstance(result, CallFailure)
    assert (result.kind, result.billing) == (kind, billing)


async def test_the_stream_of_an_edit_is_asked_for_in_its_form(script: Script) -> None:
    form = wire.encode_form(OPENAI.fields_of(CALL))

    assert (form["stream"], form["partial_images"], form["n"]) == ("true", "2", "1")


def test_a_variation_is_sent_without_a_prompt() -> None:
    """The endpoint refuses one, even an empty one."""
    assert "prompt" not in OPENAI.fields_of(replace(CALL, operation=Operation.VARY, prompt=""))
    assert wire.encode_form(OPENAI.fields_of(CALL))["prompt"] == CALL.prompt


def test_objects_and_flags_are_encoded_in_a_form() -> None:
    call = ImageCall(
        model="m",
        prompt="p",
        n=1,
        parameters={"svg": {"reasoning": {"effort": "low"}}, "flag": True, "none": None, "share": 0.5},
        safety_identifier="h",
    )

    form = wire.encode_form(OPENAI.fields_of(call))

    assert form["svg"] == '{"reasoning":{"effort":"low"}}'
    assert (form["flag"], form["none"], form["share"]) == ("true", "null", "0.5")
    assert "stream" not in form
