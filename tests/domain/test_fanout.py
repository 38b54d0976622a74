from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.fanout import add_usage, share_usage, split_order

COUNTS = st.integers(0, 10**6)
USAGES = st.recursive(
    st.dictionaries(st.text(max_size=3), COUNTS, max_size=3),
    lambda inner: st.dictionaries(st.text(max_size=3), COUNTS | inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("places", "images_per_call", "calls"),
    [
        ([], 1, []),
        ([0, 1, 2], 1, [(0,), (1,), (2,)]),
        ([0, 1, 2], 2, [(0, 1), (2,)]),
        ([3, 7], 10, [(3, 7)]),
    ],
)
def test_places_are_split_in_order(
    places: list[int], images_per_call: int, calls: list[tuple[int, ...]]
) -> None:
    assert split_order(places, images_per_call) == calls


@given(st.lists(st.integers(), max_size=20), st.integers(1, 10))
def test_no_place_is_lost(places: list[int], images_per_call: int) -> None:
    calls = split_order(places, images_per_call)

    assert [place for call in calls for place in call] == places
    assert all(1 <= len(call) <= images_per_call for call in calls)


@given(USAGES, st.integers(1, 10))
def test_shares_add_up_to_the_whole(usage: dict[str, Any], n: int) -> None:
    shares = share_usage(usage, n)

    assert len(shares) == n
    assert add_usage(shares) == usage


def test_the_first_image_bears_the_remainder() -> None:
    shares = share_usage({"output_tokens": 11, "details": {"text": 4}}, 3)

    assert shares == [
        {"output_tokens": 5, "details": {"text": 2}},
        {"output_tokens": 3, "details": {"text": 1}},
        {"output_tokens": 3, "details": {"text": 1}},
    ]


def test_values_that_are_no_counts_are_left_out() -> None:
    assert share_usage({"tier": "fast", "output_tokens": 2, "ratio": 0.5, "details": None}, 2) == [
        {"output_tokens": 1},
        {"output_tokens": 1},
    ]
    assert add_usage([{"tier": "fast", "output_tokens": 2}]) == {"output_tokens": 2}


def test_images_without_a_count_add_nothing() -> None:
    assert add_usage([]) == {}
    assert add_usage([{}, {"output_tokens": 2}]) == {"output_tokens": 2}
