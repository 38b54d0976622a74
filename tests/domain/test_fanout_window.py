from hypothesis import given
from hypothesis import strategies as st

from service.domain.fanout_window import MOST_DIFFERENT, FanoutWindow

POOLS = st.lists(
    st.tuples(st.lists(st.integers(0, 30), unique=True), st.lists(st.integers(31, 60), unique=True)),
    min_size=1,
    max_size=40,
)
"""What each order of a window finds: indices of images, and of those being made."""


def play(pools: list[tuple[list[int], list[int]]]) -> list[tuple[int, bool]]:
    """Return the index of each order, and if it makes the image."""
    window, given_out = FanoutWindow(), []
    for number, (ready, claimed) in enumerate(pools):
        chosen = window.choose(ready, claimed)
        index = 100 + number if chosen is None else chosen
        given_out.append((index, chosen is None))
        window = window.after(index, was_ready=index in ready)
    assert window.orders == len(pools)
    return given_out


@given(POOLS)
def test_a_window_that_makes_gives_different_images_first(pools: list[tuple[list[int], list[int]]]) -> None:
    pools[0] = ([], pools[0][1])

    indices = [index for index, _ in play(pools)]

    assert len(set(indices[:MOST_DIFFERENT])) == len(indices[:MOST_DIFFERENT])


@given(POOLS)
def test_no_window_makes_more_than_ten_while_there_is_something(
    pools: list[tuple[list[int], list[int]]],
) -> None:
    made = [
        ready + claimed for (ready, claimed), (_, is_made) in zip(pools, play(pools), strict=True) if is_made
    ]

    assert len([found for found in made if found]) <= MOST_DIFFERENT


@given(POOLS)
def test_a_window_that_began_with_a_hit_makes_nothing(pools: list[tuple[list[int], list[int]]]) -> None:
    pools[0] = ([7], [])

    made = [
        ready + claimed for (ready, claimed), (_, is_made) in zip(pools, play(pools), strict=True) if is_made
    ]

    assert not any(made)


@given(st.integers(1, 20), st.integers(1, 5))
def test_what_exists_is_shared_in_turn(images: int, rounds: int) -> None:
    ready = list(range(images))

    indices = [index for index, _ in play([(ready, [])] * (images * rounds))]

    assert indices == ready * rounds


def test_images_come_before_those_being_made() -> None:
    assert [index for index, _ in play([([3], [31, 32])] * 2)] == [3, 3]
    assert [index for index, _ in play([([], [31, 32])] * 3)] == [31, 32, 102]
