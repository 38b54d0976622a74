"""Without Redis, equal orders at once follow the same rule within the process."""

import pytest
from cachetools import LRUCache
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import RateLimited
from service.domain.fanout_window import MOST_DIFFERENT, FanoutWindow
from service.gateway.admission.fanout_windows import MOST_WINDOWS, FanoutWindows
from service.gateway.admission.local import LocalShare
from service.ports.admission import Ask, Grant
from tests.fakes.clock import FakeClock
from tests.fakes.values import a_limit, a_settlement, an_ask, an_image

WINDOW_S = 1.0


def a_share(clock: FakeClock | None = None, window_s: float = WINDOW_S) -> LocalShare:
    return LocalShare(clock=clock or FakeClock(), processes=1, fanout_window_s=window_s)


def single(**changes: object) -> Ask:
    return an_ask(**{"fans_out": True, **changes})


def index_of(grant: Grant) -> int:
    [index] = [*grant.awaited, *grant.mine]
    return index


def test_each_makes_an_image_of_its_own_up_to_ten() -> None:
    share = a_share()

    first = [share.begin(single()) for _ in range(MOST_DIFFERENT)]
    then = [share.begin(single()) for _ in range(4)]

    assert all(grant.mine for grant in first)
    assert len({index_of(grant) for grant in first}) == MOST_DIFFERENT
    assert [index_of(grant) for grant in then] == [index_of(grant) for grant in first[:4]]
    assert not any(grant.mine for grant in then)
    assert [grant.equal for grant in first + then] == list(range(1, 15))
    assert first[1].passed_over == (index_of(first[0]),)


def test_what_redis_granted_before_is_shared_once() -> None:
    share = a_share()

    grants = [share.begin(single(), claimed=[4]) for _ in range(2)]

    assert [grant.awaited for grant in grants] == [(4,), ()]


def test_a_window_ends_a_fixed_time_after_its_first_order() -> None:
    clock = FakeClock()
    share = a_share(clock)
    first = share.begin(single())
    clock.advance(0.6)
    second = share.begin(single())
    clock.advance(0.6)

    third = share.begin(single())

    assert second.mine
    assert (third.awaited, third.equal) == (first.mine, 1)


@pytest.mark.parametrize(
    "other",
    [{"user": "bob"}, {"pool": "another"}, {"fans_out": False}, {"round": 1}],
    ids=["user", "pool", "no fan-out", "round"],
)
def test_other_orders_have_no_part_in_a_window(other: dict[str, object]) -> None:
    share = a_share()
    first, _ = share.begin(single()), share.begin(single())

    grant = share.begin(single(**other))

    assert grant.equal == (1 if {"user", "pool"} & other.keys() else 0)
    assert grant.awaited == (() if "pool" in other else first.mine)


def test_without_windows_equal_orders_share() -> None:
    share = a_share(window_s=0.0)

    first, second = share.begin(single()), share.begin(single())

    assert (second.awaited, second.equal) == (first.mine, 0)


def test_a_refused_order_has_no_part() -> None:
    share, limits = a_share(), (a_limit(resource="images", amount=1),)
    share.begin(single(limits=limits))
    with pytest.raises(RateLimited):
        share.begin(single(limits=limits))

    assert share.begin(single()).equal == 2


def test_an_image_made_meanwhile_is_not_shared_as_its_bytes_are_not_found_again() -> None:
    share = a_share()
    ask = single()
    made = share.begin(ask).mine
    share.finish(a_settlement(ticket=ask.ticket, fence=ask.fence, made=((made[0], an_image()),)))

    assert share.begin(single()).mine not in ((), made)


@given(st.lists(st.tuples(st.sampled_from(["order", "finish", "end"]), st.integers(0, 5)), max_size=60))
def test_windows_follow_the_rule(steps: list[tuple[str, int]]) -> None:
    clock = FakeClock()
    share, window, running = a_share(clock), FanoutWindow(), dict[int, Ask]()
    for number, (what, which) in enumerate(steps):
        if what == "order":
            ask = single(id=f"order-{number}")
            grant, expected = share.begin(ask), window.choose((), list(running))
            assert grant.awaited == (() if expected is None else (expected,))
            assert (grant.equal, grant.passed_over) == (window.orders + 1, window.passed_over)
            running |= dict.fromkeys(grant.mine, ask)
            window = window.after(index_of(grant), was_ready=False)
        elif what == "finish" and running:
            index = list(running)[which % len(running)]
            ask = running.pop(index)
            share.finish(a_settlement(ticket=ask.ticket, fence=ask.fence, released=(index,)))
        elif what == "end":
            clock.advance(WINDOW_S)
            window = FanoutWindow()


def test_the_windows_kept_are_bounded() -> None:
    windows = FanoutWindows(FakeClock(), WINDOW_S)

    for number in range(MOST_WINDOWS + 5):
        windows.note(single(pool=f"pool {number}"), FanoutWindow(), 0)

    assert isinstance(windows._windows, LRUCache)
    assert len(windows._windows) == MOST_WINDOWS
