"""The structure of an answer, counted before it is parsed, bounds the values in it."""

from collections.abc import Iterator, Mapping

import orjson
from hypothesis import given
from hypothesis import strategies as st

from service.adapters.openai.reception import STRUCTURE, count_marks

TEXTS = st.text(st.characters(codec="utf-8"), max_size=5)
VALUES = st.recursive(
    st.none() | st.integers(0, 9) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
)


def nodes_of(value: object) -> Iterator[object]:
    """Yield *value*, all values in it, and the names of their members."""
    yield value
    if isinstance(value, Mapping):
        yield from value
    for inner in value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ():
        yield from nodes_of(inner)


@given(VALUES)
def test_json_has_no_more_values_than_structure(value: object) -> None:
    assert len(list(nodes_of(value))) <= count_marks(orjson.dumps(value)) + 1


@given(st.binary(), st.integers(0, 20))
def test_pieces_count_as_the_whole(body: bytes, at: int) -> None:
    assert count_marks(body[:at]) + count_marks(body[at:]) == sum(body.count(mark) for mark in STRUCTURE)


def test_base64_has_no_structure() -> None:
    assert count_marks(b"QUJD+/-_ab==") == 0
