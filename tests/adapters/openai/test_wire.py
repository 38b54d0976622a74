"""JSON on the wire, both ways."""

import base64

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.adapters.openai import wire
from service.adapters.openai.dialects.dialect import Dialect
from service.domain.images import CallMade, ImageCall
from tests.adapters.openai.conftest import ADDRESS

LEGACY = ImageCall(
    model="dall-e-3",
    prompt="x",
    n=1,
    parameters={"response_format": "b64_json", "quality": "hd"},
    safety_identifier="h",
)


def test_older_models_get_the_older_field() -> None:
    body = Dialect(ADDRESS).fields_of(LEGACY)

    assert body == {
        "model": "dall-e-3",
        "prompt": "x",
        "n": 1,
        "response_format": "b64_json",
        "quality": "hd",
        "user": "h",
    }


def test_all_fields_of_an_answer_are_read() -> None:
    answer = {
        "created": 1,
        "data": [
            {"b64_json": base64.b64encode(b"one").decode(), "revised_prompt": "better"},
            {"b64_json": base64.b64encode(b"two").decode(), "revised_prompt": 7, "unknown": []},
        ],
        "background": "opaque",
        "size": "1024x1024",
        "quality": None,
        "output_format": 3,
        "usage": {"output_tokens": 5},
        "model": "gpt-image-2-2026-04-21",
        "unknown": {},
    }

    made = wire.decode_answer(orjson.dumps(answer), 2)

    assert [(image.data, image.revised_prompt) for image in made.images] == [
        (b"one", "better"),
        (b"two", None),
    ]
    assert made.resolved == {"background": "opaque", "size": "1024x1024"}
    assert made.usage == {"output_tokens": 5}
    assert made.answered_model == "gpt-image-2-2026-04-21"


@pytest.mark.parametrize(
    "extra", [{}, {"usage": None, "model": None}, {"usage": [], "model": 1}, {"usage": "x"}], ids=str
)
def test_fields_that_an_answer_lacks_are_none(extra: dict[str, object]) -> None:
    made = wire.decode_answer(orjson.dumps({"data": [{"b64_json": "eA=="}], **extra}), 1)

    assert (made.usage, made.answered_model, dict(made.resolved)) == (None, None, {})


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("gpt-image-2-2026-04-21", "gpt-image-2-2026-04-21"),
        ("My.deployment_2", "My.deployment_2"),
        ("org/flux:1.1-pro", "org/flux:1.1-pro"),
        ("", "other"),
        ("a heron at dawn", "other"),
        ("heron\x1b[31m", "other"),
        ("gpt-image-2\n", "other"),
        ("x" * 21, "other"),
        ("-".join("x" * 11), "other"),
        ("0123456789abcdef0123456789abcdef", "other"),
    ],
)
def test_only_the_name_of_a_model_is_kept_as_one(name: str, shown: str) -> None:
    made = wire.decode_answer(orjson.dumps({"data": [{"b64_json": "eA=="}], "model": name}), 1)

    assert made.answered_model == shown


@pytest.mark.parametrize("text", ["a heron", "heron\x1b[31m", "1024x1024x3", "HERON", "sk-" + "x" * 40, ""])
def test_other_texts_are_no_choices_and_no_counts(text: str) -> None:
    names = ("background", "output_format", "quality", "size")
    answer = {
        "data": [{"b64_json": "eA=="}],
        **dict.fromkeys(names, text),
        "usage": {text: 1, "details": {text: 2}},
    }

    made = wire.decode_answer(orjson.dumps(answer), 2)

    assert (made.resolved, made.usage) == ({}, {"details": {}})


@pytest.mark.parametrize(
    "spelt",
    ["-_-_ ", "+/+/", "-_\r\n-_", " data:image/png;base64,%2B/+/", "DATA:;base64,-_-_"],
)
def test_every_spelling_of_base64_is_read(spelt: str) -> None:
    (image,) = wire.decode_answer(orjson.dumps({"data": [{"b64_json": spelt}]}), 1).images

    assert image.data == b"\xfb\xff\xbf"


@pytest.mark.parametrize("spelt", ["eA", "eA=\n", "eA==\n", "e A = ="])
def test_padding_may_be_missing_or_apart(spelt: str) -> None:
    assert wire.decode_event(orjson.dumps({"b64_json": spelt}).decode()).image.data == b"x"


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["data", "b64_json", "usage", "error", "size", "x"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


def test_an_image_may_come_as_a_url() -> None:
    answer = {"data": [{"url": "https://example.com/1.png", "revised_prompt": "better", "b64_json": None}]}

    (image,) = wire.decode_answer(orjson.dumps(answer), 2).images

    assert (image.data, image.url, image.revised_prompt) == (b"", "https://example.com/1.png", "better")


@pytest.mark.parametrize("entry", [{}, {"url": 3}, {"url": None}, [], None, {"b64_json": 3}])
def test_an_image_without_bytes_or_url_is_not_understood(entry: object) -> None:
    with pytest.raises(wire.NotUnderstood):
        wire.decode_answer(orjson.dumps({"data": [entry]}), 1)


def test_an_event_has_the_bytes_of_its_image() -> None:
    with pytest.raises(wire.NotUnderstood):
        wire.decode_event('{"type": "image_generation.completed", "url": "https://example.com/1.png"}')


@given(
    st.binary(max_size=64) | JSON.map(orjson.dumps) | JSON.map(lambda value: orjson.dumps({"data": [value]}))
)
def test_no_answer_breaks_the_decoder(body: bytes) -> None:
    try:
        made = wire.decode_answer(body, 1)
    except wire.NotUnderstood:
        return

    assert isinstance(made, CallMade)
    assert made.images


def test_no_more_entries_are_read_than_were_asked_and_some() -> None:
    body = orjson.dumps({"data": [None, None, *[{"b64_json": "aGk="}] * 1000]})

    assert 3 <= len(wire.decode_answer(body, 3).images) < 20


def test_invalid_json_is_none() -> None:
    assert wire.decode_json(b"<html>") is None
    assert wire.decode_json(b"[" * 100_000) is None


@pytest.mark.parametrize(
    ("usage", "kept"),
    [
        ({"output_tokens": 2**62, "input_tokens": 3}, {"input_tokens": 3}),
        ({"output_tokens": -1}, None),
        ({"output_tokens": True, "input_tokens": 1.5}, None),
        ({"a": {"b": {"c": 1}, "d": 2}}, {"a": {"d": 2}}),
    ],
)
def test_only_plain_counts_of_usage_are_kept(
    usage: dict[str, object], kept: dict[str, object] | None
) -> None:
    """It is multiplied, stored and booked after the image was paid for: nothing odd may get that far."""
    body = orjson.dumps({"data": [{"b64_json": "aGk="}], "usage": usage})

    assert wire.decode_answer(body, 1).usage == kept
