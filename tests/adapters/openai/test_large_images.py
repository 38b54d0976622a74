"""Large images are decoded where they stand in the body: every answer is read as if it were parsed whole."""

import base64
import tracemalloc

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.adapters.openai import wire
from service.domain.images import CallMade

LARGE = base64.b64encode(bytes(range(256)) * 150)
OTHER = base64.b64encode(bytes(range(255, -1, -1)) * 150)


def read(body: bytes) -> CallMade | None:
    try:
        return wire.decode_answer(body, 2)
    except wire.NotUnderstood:
        return None


def read_whole(body: bytes) -> CallMade | None:
    """Read *body* as JSON in which no image stands in the plain form: an escape names the same key."""
    return read(body.replace(b"b64_json", b"b64\\u005fjson"))


SPACES = st.sampled_from([b"", b" ", b"\n", b"\t \r\n"])
IMAGES = st.sampled_from(
    [
        LARGE,
        OTHER,
        LARGE[:-1],
        LARGE[:-1] + b"-",
        LARGE.replace(b"/", b"\\/"),
        LARGE.replace(b"A", b"\\u0041", 1),
        LARGE[:40] + b"\\n" + LARGE[40:],
        b"data:image/png;base64," + LARGE,
        b'\\"b64_json\\":\\"' + LARGE,
        LARGE + b"\\",
        LARGE + b"\xff",
        b"eA==",
        b"",
    ]
)
KEYS = st.sampled_from(
    [b"b64_json"] * 4 + [b"b64\\u005fjson", b'\\"b64_json', b"url", b"revised_prompt", b"x"]
)
OTHERS = st.sampled_from(
    [b"0", b"null", b"[]", b'{"b64_json":"%s"}' % LARGE, b'"b64_json"', b'"\\"b64_json\\":\\""']
)


@st.composite
def entries(draw: st.DrawFn) -> bytes:
    """Return an object whose keys may be repeated and in any order."""
    members = []
    for _ in range(draw(st.integers(0, 3))):
        value = draw(IMAGES.map(lambda image: b'"' + image + b'"') | OTHERS)
        members.append(draw(SPACES).join([b'"' + draw(KEYS) + b'"', b":", value]))
    return b"{" + (draw(SPACES) + b",").join(members) + b"}"


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    data = b",".join(draw(st.lists(entries(), max_size=3)))
    fields = [
        b'"data":[' + data + b"]",
        b'"usage":' + draw(entries()),
        b'"size":"1024x1024"',
        draw(entries())[1:-1],
    ]
    return b"{" + b",".join(field for field in draw(st.permutations(fields)) if field) + b"}"


@settings(max_examples=300, deadline=None)
@given(answers())
@example(b'{"data":[{"b64_json":"%s"},{"b64_json":"%s"}]}' % (LARGE, OTHER))
@example(b'{"data":[{"b64_json":"%s","b64_json":"%s"}]}' % (LARGE, OTHER))
@example(b'{"data":[{"x\\"b64_json":"%s","b64_json":"eA=="}]}' % LARGE)
@example(b'{"x":{"b64_json":"%s"},"data":[{"b64_json":"eA=="}]}' % LARGE)
def test_an_answer_is_read_as_if_it_were_parsed_whole(body: bytes) -> None:
    assert read(body) == read_whole(body)


@settings(max_examples=300, deadline=None)
@given(answers(), st.data())
def test_a_damaged_answer_is_read_as_if_it_were_parsed_whole(body: bytes, data: st.DataObject) -> None:
    marks = [place for place, byte in enumerate(body) if byte in b'"\\:,[]{}']
    place = data.draw(st.sampled_from(marks)) + data.draw(st.integers(-1, 1))
    damage = data.draw(st.sampled_from([b"", b'"', b"\\", b"x", b" ", b"\x00", b"\xc3"]))
    body = body[: max(0, place)] + damage + body[place + data.draw(st.integers(0, 2)) :]

    assert read(body) == read_whole(body)


def test_a_provider_cannot_name_what_stands_for_an_image() -> None:
    """Two answers share no token."""
    body = b'{"data":[{"b64_json":"%s"}]}' % LARGE

    tokens = {token for _ in range(2) for token in wire._take_images(body, 1)[1]}

    assert len(tokens) == 2


@pytest.mark.parametrize("size", [1_000_000, 4_000_000])
def test_an_image_is_decoded_without_a_text_of_it(size: int) -> None:
    body = bytearray(
        orjson.dumps({"created": 1, "data": [{"b64_json": base64.b64encode(bytes(size)).decode()}]})
    )
    tracemalloc.start()
    try:
        (image,) = wire.decode_answer(body, 1).images
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert image.data == bytes(size)
    assert peak < 1.2 * size


def test_keys_without_an_image_are_looked_at_a_few_times_only() -> None:
    """Each costs a search; an answer has room for millions."""
    body = b'{"data":[{%s"b64_json":"%s"}]}' % (b'"b64_json":"",' * 10_000, LARGE)

    assert wire._take_images(body, 1) == (body, {})
    assert read(body) == read_whole(body) is not None
