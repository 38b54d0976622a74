import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import LimitState, RateLimited
from service.gateway import degraded
from service.gateway.degraded import LocalShare
from tests.fakes.clock import FakeClock
from tests.fakes.values import a_limit, a_settlement, an_ask, an_image

REQUESTS = a_limit(resource="requests", per_min=10)
IMAGES = a_limit(resource="images", per_min=6)


def a_share(clock: FakeClock | None = None, *, processes: int = 1) -> LocalShare:
    return LocalShare(clock=clock or FakeClock(), processes=processes)


@given(
    st.integers(1, 40),
    st.integers(1, 5),
    st.lists(st.floats(0.0, 20.0, allow_nan=False), min_size=1, max_size=80),
)
def test_a_process_admits_its_share_and_no_more(per_min: int, processes: int, pauses_s: list[float]) -> None:
    clock = FakeClock()
    share = a_share(clock, processes=processes)
    limit = a_limit(per_min=per_min)
    part, started_s, admitted = max(1, per_min // processes), clock.monotonic_s(), 0

    for pause_s in pauses_s:
        clock.advance(pause_s)
        try:
            share.begin(an_ask(limits=(limit,)))
            admitted += 1
        except RateLimited:
            pass
        # A millionth of a unit forgives the rounding of the clock to microseconds.
        assert admitted <= part + part * (clock.monotonic_s() - started_s) / 60 + 1e-6


def test_the_whole_share_may_be_used_at_once() -> None:
    share = a_share(processes=3)
    ask = an_ask(limits=(REQUESTS,))

    remaining = [share.begin(ask).limits[0].remaining for _ in range(3)]

    assert remaining == [2, 1, 0]
    with pytest.raises(RateLimited):
        share.begin(ask)


def test_the_smallest_share_is_one() -> None:
    share = a_share(processes=100)

    share.begin(an_ask(limits=(REQUESTS,)))

    with pytest.raises(RateLimited):
        share.begin(an_ask(limits=(REQUESTS,)))


def test_a_refusal_names_the_share_and_waiting_as_told_is_enough() -> None:
    clock = FakeClock()
    share = a_share(clock, processes=2)
    ask = an_ask(n=3, pool=None, limits=(REQUESTS, IMAGES))
    share.begin(ask)

    with pytest.raises(RateLimited) as caught:
        share.begin(ask)

    refusal = caught.value
    assert refusal.degraded
    assert refusal.refused == LimitState(resource="images", scope="user", limit=3, remaining=0, reset_s=60.0)
    assert [state.resource for state in refusal.limits] == ["requests", "images"]
    assert refusal.retry_after_s == 60.0
    clock.advance(refusal.retry_after_s)
    assert share.begin(ask).mine


def test_a_refusal_charges_nothing() -> None:
    share = a_share()
    share.begin(an_ask(n=6, pool=None, limits=(REQUESTS, IMAGES)))

    with pytest.raises(RateLimited) as caught:
        share.begin(an_ask(n=1, pool=None, limits=(REQUESTS, IMAGES)))

    assert caught.value.limits[0].remaining == 9
    assert share.begin(an_ask(limits=(REQUESTS,))).limits[0].remaining == 8


def test_the_limit_that_takes_longest_is_named() -> None:
    share = a_share()
    share.begin(an_ask(n=1, limits=(a_limit(per_min=1), a_limit(resource="images", per_min=1))))

    with pytest.raises(RateLimited) as caught:
        share.begin(an_ask(n=1, limits=(a_limit(per_min=1), a_limit(resource="images", per_min=1))))

    assert caught.value.refused.resource == "requests"


def test_an_order_counts_as_one_request_however_often_it_asks() -> None:
    share = a_share()
    share.begin(an_ask(limits=(REQUESTS,)))

    again = share.begin(an_ask(round=1, limits=(REQUESTS,)))

    assert again.limits[0].remaining == 9


def test_callers_have_limits_of_their_own() -> None:
    share = a_share()
    share.begin(an_ask(limits=(a_limit(per_min=1),)))

    other = share.begin(an_ask(limits=(a_limit(per_min=1, key="bob"),)))

    assert other.limits[0].remaining == 0


def test_the_limits_remembered_are_bounded_and_the_longest_unused_goes() -> None:
    share = a_share()

    def use(key: str) -> int:
        return share.begin(an_ask(pool=None, limits=(a_limit(per_min=2, key=key),))).limits[0].remaining

    use("first")
    use("second")
    for i in range(degraded.MAX_SCOPES - 2):
        use(str(i))
    assert use("first") == 0

    use("one too many")

    assert len(share._arrivals_us) == degraded.MAX_SCOPES
    assert use("second") == 1
    with pytest.raises(RateLimited):
        use("first")


def test_everything_is_made_anew_under_indices_no_script_gives() -> None:
    share = a_share()

    first, second = share.begin(an_ask(n=2, pool="a")), share.begin(an_ask(n=1, pool="b"))

    assert (first.ready, first.awaited, first.degraded) == ((), (), True)
    assert len({*first.mine, *second.mine}) == 3
    assert max(*first.mine, *second.mine) < 0


def test_identical_orders_share_what_is_being_made_here() -> None:
    share = a_share()
    first = share.begin(an_ask(id="order-1", n=2))

    second = share.begin(an_ask(id="order-2", n=3))

    assert second.awaited == first.mine
    assert len(second.mine) == 1
    assert share.begin(an_ask(id="order-3", n=1)).awaited == first.mine[:1]


def test_what_others_make_costs_no_images() -> None:
    share = a_share()
    share.begin(an_ask(id="order-1", n=2, limits=(IMAGES,)))

    second = share.begin(an_ask(id="order-2", n=3, limits=(IMAGES,)))

    assert second.limits[0].remaining == 6 - 2 - 1


def test_an_order_never_waits_for_what_it_has() -> None:
    share = a_share()
    first = share.begin(an_ask(n=2))

    again = share.begin(an_ask(n=1, round=1, used=first.mine))

    assert again.awaited == ()
    assert len(again.mine) == 1


def test_fresh_orders_and_those_without_a_pool_wait_for_nobody() -> None:
    share = a_share()
    share.begin(an_ask(id="order-1"))
    share.begin(an_ask(id="order-2", pool=None))

    assert share.begin(an_ask(id="order-3", fresh=True)).awaited == ()
    assert share.begin(an_ask(id="order-4", pool=None)).awaited == ()


def test_only_if_cached_makes_nothing_without_the_cache() -> None:
    share = a_share()

    grant = share.begin(an_ask(n=2, only_ready=True, limits=(REQUESTS, IMAGES)))

    assert grant.mine == ()
    assert [state.remaining for state in grant.limits] == [9, 6]


@pytest.mark.parametrize("is_made", [True, False])
def test_a_settlement_ends_its_claims(*, is_made: bool) -> None:
    share = a_share()
    first, second = share.begin(an_ask(n=2)).mine
    share.finish(a_settlement(made=((first, an_image()),) if is_made else (), released=(second,)))

    left = () if is_made else (first,)
    assert share.begin(an_ask(id="order-2", n=2)).awaited == left


def test_a_picture_that_is_not_published_ends_its_claim_too() -> None:
    share = a_share()
    [index] = share.begin(an_ask()).mine

    share.finish(a_settlement(made=((None, an_image()),), released=(index,)))

    assert share._claims == {}


def test_settlements_of_others_change_nothing() -> None:
    share = a_share()
    [index] = share.begin(an_ask()).mine

    share.finish(a_settlement(pool="another", released=(index,)))
    share.finish(a_settlement(pool=None, released=(index,)))
    share.finish(a_settlement(released=(7,)))

    assert share.begin(an_ask(id="order-2")).awaited == (index,)
