from collections import Counter
from dataclasses import dataclass, field
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import LimitState, RateLimited, StateUnavailable
from service.domain.limits import LIMITS, Limit, LimitKind, Resource
from service.gateway.admission import local as degraded
from service.gateway.admission.local import LocalShare
from service.ports.admission import Ask
from tests.fakes.clock import FakeClock
from tests.fakes.values import a_limit, a_settlement, an_ask, an_image

REQUESTS = a_limit(resource="requests", amount=10)
IMAGES = a_limit(resource="images", amount=6)
DAY = a_limit(resource=Resource.IMAGES_PER_DAY, amount=6)
FLIGHT = a_limit(resource=Resource.IMAGES_IN_FLIGHT, amount=6)
BUDGET = a_limit(resource=Resource.BUDGET_PER_MONTH, amount=1_000_000)
HALF_A_DAY_S = 43_200.0


def a_share(
    clock: FakeClock | None = None, *, processes: int = 1, spends_budgets: bool = False
) -> LocalShare:
    return LocalShare(clock=clock or FakeClock(), processes=processes, spends_budgets=spends_budgets)


def refusal(share: LocalShare, ask: Ask) -> RateLimited:
    with pytest.raises(RateLimited) as caught:
        share.begin(ask)
    return caught.value


@given(
    st.integers(1, 40),
    st.integers(1, 5),
    st.lists(st.floats(0.0, 20.0, allow_nan=False), min_size=1, max_size=80),
)
def test_a_process_admits_its_share_and_no_more(per_min: int, processes: int, pauses_s: list[float]) -> None:
    clock = FakeClock()
    share = a_share(clock, processes=processes)
    limit = a_limit(amount=per_min)
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


@pytest.mark.parametrize("kind", LIMITS, ids=lambda kind: kind.name)
def test_every_kind_of_limit_is_bounded_by_its_local_share(kind: LimitKind) -> None:
    share = a_share()
    ask = an_ask(pool=None, limits=(a_limit(resource=kind.resource, amount=1),))

    if not kind.has_local_share:
        with pytest.raises(StateUnavailable):
            share.begin(ask)
        return
    assert [state.remaining for state in share.begin(ask).limits] == [0]
    assert refusal(share, ask).refused.resource == kind.resource


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


def test_a_refusal_names_the_share_and_the_sufficient_wait() -> None:
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
    share.begin(an_ask(n=1, limits=(a_limit(amount=1), a_limit(resource="images", amount=1))))

    with pytest.raises(RateLimited) as caught:
        share.begin(an_ask(n=1, limits=(a_limit(amount=1), a_limit(resource="images", amount=1))))

    assert caught.value.refused.resource == "requests"


def test_an_order_counts_as_one_request_however_often_it_asks() -> None:
    share = a_share()
    share.begin(an_ask(limits=(REQUESTS,)))

    again = share.begin(an_ask(round=1, limits=(REQUESTS,)))

    assert again.limits[0].remaining == 9


def test_callers_have_limits_of_their_own() -> None:
    share = a_share()
    share.begin(an_ask(limits=(a_limit(amount=1),)))

    other = share.begin(an_ask(limits=(a_limit(amount=1, key="bob"),)))

    assert other.limits[0].remaining == 0


def test_remembered_limits_are_bounded() -> None:
    share = a_share()

    def use(key: str) -> int:
        return share.begin(an_ask(pool=None, limits=(a_limit(amount=2, key=key),))).limits[0].remaining

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


def test_local_indices_are_below_zero() -> None:
    share = a_share()

    first, second = share.begin(an_ask(n=2, pool="a")), share.begin(an_ask(n=1, pool="b"))

    assert (first.ready, first.awaited, first.degraded) == ((), (), True)
    assert len({*first.mine, *second.mine}) == 3
    assert max(*first.mine, *second.mine) < 0


def test_equal_orders_share_the_calls_of_a_process() -> None:
    share = a_share()
    first = share.begin(an_ask(id="order-1", n=2))

    second = share.begin(an_ask(id="order-2", n=3))

    assert second.awaited == first.mine
    assert len(second.mine) == 1
    assert share.begin(an_ask(id="order-3", n=1)).awaited == first.mine[:1]


def test_images_made_by_others_are_not_charged() -> None:
    share = a_share()
    share.begin(an_ask(id="order-1", n=2, limits=(IMAGES,)))

    second = share.begin(an_ask(id="order-2", n=3, limits=(IMAGES,)))

    assert second.limits[0].remaining == 6 - 2 - 1


def test_an_order_never_waits_for_its_own_images() -> None:
    share = a_share()
    first = share.begin(an_ask(n=2))

    again = share.begin(an_ask(n=1, round=1, used=first.mine))

    assert again.awaited == ()
    assert len(again.mine) == 1


def test_fresh_and_unpooled_orders_do_not_wait() -> None:
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


def test_only_if_cached_waits_for_nothing_without_the_cache() -> None:
    """As with Redis: what is being made is not in the cache."""
    share = a_share()
    share.begin(an_ask(id="order-1"))

    grant = share.begin(an_ask(id="order-2", n=2, only_ready=True), claimed=[4])

    assert (grant.mine, grant.awaited) == ((), ())


def test_images_that_redis_granted_are_in_flight_too() -> None:
    share = a_share()
    ask = an_ask(n=2, pool=None, limits=(FLIGHT,))
    running = {(FLIGHT.scope, FLIGHT.key): 4}

    assert share.begin(ask, running=running).limits[0].remaining == 0
    with pytest.raises(RateLimited):
        share.begin(an_ask(id="order-2", pool=None, limits=(FLIGHT,)), running=running)


@pytest.mark.parametrize("is_made", [True, False])
def test_a_settlement_ends_its_claims(*, is_made: bool) -> None:
    share = a_share()
    first, second = share.begin(an_ask(n=2)).mine
    share.finish(a_settlement(made=((first, an_image()),) if is_made else (), released=(second,)))

    left = () if is_made else (first,)
    assert share.begin(an_ask(id="order-2", n=2)).awaited == left


def test_an_unpublished_image_ends_its_claim() -> None:
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


@pytest.mark.parametrize("resource", ["images", "images_per_day"])
def test_a_dear_image_counts_as_several(resource: str) -> None:
    share = a_share()
    limit = a_limit(resource=resource, amount=6)

    grant = share.begin(an_ask(id="order-1", n=2, weight=2, pool=None, limits=(limit,)))

    assert grant.limits[0].remaining == 2
    refusal(share, an_ask(id="order-2", n=2, weight=2, pool=None, limits=(limit,)))
    assert len(share.begin(an_ask(id="order-3", n=1, weight=2, pool=None, limits=(limit,))).mine) == 1


def test_a_dear_image_in_flight_is_one_image() -> None:
    share = a_share()

    grant = share.begin(an_ask(n=6, weight=5, pool=None, limits=(FLIGHT,)))

    assert grant.limits[0].remaining == 0


def test_a_day_ends_at_midnight_utc() -> None:
    clock = FakeClock()
    share = a_share(clock)
    ask = an_ask(n=6, pool=None, limits=(DAY,))
    state = LimitState(
        resource="images_per_day", scope="user", limit=6, remaining=0, reset_s=HALF_A_DAY_S - 60
    )
    clock.advance(60.0)
    assert share.begin(ask).limits == (state,)

    refused = refusal(share, ask)
    assert (refused.refused, refused.retry_after_s, refused.is_quota) == (state, HALF_A_DAY_S - 60, True)
    clock.advance(HALF_A_DAY_S - 61)
    assert refusal(share, ask).retry_after_s == pytest.approx(1.0)
    clock.advance(1.0)
    assert share.begin(ask).limits[0].reset_s == pytest.approx(2 * HALF_A_DAY_S)
    refusal(share, ask)


def test_an_order_larger_than_the_share_takes_all_of_it() -> None:
    share = a_share(processes=3)

    first = share.begin(an_ask(id="order-1", n=5, pool=None, limits=(DAY, FLIGHT, IMAGES)))

    assert len(first.mine) == 5
    assert [(state.limit, state.remaining) for state in first.limits] == [(2, 0)] * 3
    refused = refusal(share, an_ask(id="order-2", n=1, pool=None, limits=(DAY, FLIGHT, IMAGES)))
    assert refused.refused.resource == "images_per_day"


def test_an_ask_without_images_takes_no_share() -> None:
    share = a_share()
    share.begin(an_ask(id="order-1", n=6, limits=(DAY, FLIGHT)))

    waiting = share.begin(an_ask(id="order-2", n=6, limits=(DAY, FLIGHT)))

    assert (waiting.mine, len(waiting.awaited)) == ((), 6)
    assert [state.remaining for state in waiting.limits] == [0, 0]


def test_images_in_flight_are_freed_as_their_parts_are_settled() -> None:
    share = a_share()
    mine = share.begin(an_ask(id="order-1", n=6, pool=None, limits=(FLIGHT,))).mine
    one = an_ask(id="order-2", n=1, pool=None, limits=(FLIGHT,))
    refused = refusal(share, one)
    assert (refused.retry_after_s, refused.is_quota) == (1.0, False)
    assert refused.refused == LimitState(
        resource="images_in_flight", scope="user", limit=6, remaining=0, reset_s=0.0
    )

    share.finish(a_settlement(pool=None, made=((mine[0], an_image()),), released=mine[1:3]))

    assert share.begin(one).limits[0].remaining == 2
    share.finish(a_settlement(pool=None, made=((None, an_image()),), released=(mine[3],)))
    share.finish(a_settlement(pool=None, released=mine[4:]))
    assert share.begin(an_ask(id="order-3", n=5, pool=None, limits=(FLIGHT,))).limits[0].remaining == 0


def test_slots_of_several_scopes_are_freed_together() -> None:
    share = a_share()
    team = a_limit(resource=Resource.IMAGES_IN_FLIGHT, scope="team", key="design", amount=4)
    mine = share.begin(an_ask(n=3, pool=None, limits=(FLIGHT, team))).mine

    share.finish(a_settlement(pool=None, released=mine[:2]))

    states = share.begin(an_ask(id="order-2", n=1, pool=None, limits=(FLIGHT, team))).limits
    assert [state.remaining for state in states] == [6 - 1 - 1, 4 - 1 - 1]


def test_no_settlement_frees_more_than_its_order_holds() -> None:
    share = a_share()
    mine = share.begin(an_ask(id="order-1", n=2, pool=None, limits=(FLIGHT,))).mine
    share.begin(an_ask(id="order-2", n=4, pool=None, limits=(FLIGHT,)))

    for _ in range(2):
        share.finish(a_settlement(pool=None, released=(*mine, -98, -99)))
    share.finish(a_settlement(id="order-9", fence="order-9.0", pool=None, released=(1, 2, 3)))

    assert share.begin(an_ask(id="order-3", n=1, pool=None, limits=(FLIGHT,))).limits[0].remaining == 1


def test_every_round_of_an_order_holds_slots_of_its_own() -> None:
    share = a_share()
    first = share.begin(an_ask(n=2, pool=None, limits=(FLIGHT,))).mine
    share.begin(an_ask(n=3, round=1, pool=None, limits=(FLIGHT,)))

    share.finish(a_settlement(pool=None, released=first))

    assert share.begin(an_ask(id="order-2", n=1, pool=None, limits=(FLIGHT,))).limits[0].remaining == 2


def test_ended_orders_leave_no_state() -> None:
    share = a_share()
    for i in range(100):
        mine = share.begin(an_ask(id=f"order-{i}", n=2, limits=(FLIGHT,), pool=f"pool-{i}")).mine
        share.finish(a_settlement(id=f"order-{i}", fence=f"order-{i}.0", pool=f"pool-{i}", released=mine))

    assert (dict(share._in_flight), share._holds, share._claims) == ({}, {}, {})


def test_the_days_remembered_are_bounded() -> None:
    share = a_share()
    for i in range(degraded.MAX_SCOPES + 10):
        limit = a_limit(resource=Resource.IMAGES_PER_DAY, key=str(i), amount=1)
        share.begin(an_ask(pool=None, limits=(limit,)))

    assert len(share._days) == degraded.MAX_SCOPES


def test_a_refusal_of_one_limit_charges_no_other() -> None:
    share = a_share()
    tight = a_limit(resource=Resource.IMAGES_IN_FLIGHT, scope="key", amount=1)
    limits = (REQUESTS, IMAGES, DAY, FLIGHT, tight)
    share.begin(an_ask(id="order-1", n=1, pool=None, limits=limits))

    refused = refusal(share, an_ask(id="order-2", n=1, pool=None, limits=limits))

    assert refused.refused.scope == "key"
    assert [state.remaining for state in refused.limits] == [9, 5, 5, 5, 0]
    later = share.begin(an_ask(id="order-3", n=1, pool=None, limits=limits[:4])).limits
    assert [state.remaining for state in later] == [8, 4, 4, 4]


def test_budgets_are_not_spent_without_redis() -> None:
    share = a_share()
    limits = (REQUESTS, BUDGET)

    with pytest.raises(StateUnavailable) as caught:
        share.begin(an_ask(limits=limits))

    assert caught.value.reason == "degraded"
    assert share.begin(an_ask(limits=(REQUESTS,))).limits[0].remaining == 9


def test_a_waiting_order_spends_no_money() -> None:
    share = a_share()
    made_here = share.begin(an_ask(id="order-1")).mine

    waiting = share.begin(an_ask(id="order-2", limits=(REQUESTS, BUDGET)))

    assert (waiting.mine, waiting.awaited) == ((), made_here)
    assert [state.resource for state in waiting.limits] == ["requests"]


def test_an_operator_may_choose_that_money_is_spent() -> None:
    share = a_share(spends_budgets=True)

    grant = share.begin(an_ask(n=2, limits=(BUDGET, DAY)))

    assert len(grant.mine) == 2
    assert [state.resource for state in grant.limits] == ["images_per_day"]


@pytest.mark.parametrize(("processes", "shares"), [(1, [3, 3, 5]), (4, [1, 1, 2]), (0, [3, 3, 5])])
def test_the_share_follows_the_processes_and_never_exceeds_what_is_expected(
    processes: int, shares: list[int]
) -> None:
    share = a_share(processes=2)
    ask = an_ask(only_ready=True, limits=(FLIGHT, DAY, REQUESTS))
    assert [state.limit for state in share.begin(ask).limits] == [3, 3, 5]

    share.share_among(processes)

    assert [state.limit for state in share.begin(ask).limits] == shares


def test_a_share_that_shrinks_below_what_is_used_refuses_until_it_frees() -> None:
    share = a_share()
    mine = share.begin(an_ask(id="order-1", n=5, pool=None, limits=(FLIGHT, DAY))).mine
    share.share_among(3)

    refused = refusal(share, an_ask(id="order-2", n=1, pool=None, limits=(FLIGHT,)))

    assert (refused.refused.limit, refused.refused.remaining) == (2, 0)
    only_waits = share.begin(an_ask(id="order-4", only_ready=True, limits=(FLIGHT, DAY)))
    assert [state.remaining for state in only_waits.limits] == [0, 0]
    share.finish(a_settlement(pool=None, released=mine[:4]))
    assert share.begin(an_ask(id="order-2", n=1, pool=None, limits=(FLIGHT,))).mine
    assert refusal(share, an_ask(id="order-3", n=1, pool=None, limits=(DAY,))).refused.remaining == 0


@dataclass(slots=True)
class NaiveCounter:
    """What a share has given out, by counting on fingers."""

    clock: FakeClock
    by_day: Counter[tuple[date, str]] = field(default_factory=Counter)
    in_flight: dict[str, tuple[int, tuple[str, ...]]] = field(default_factory=dict)

    def room(self, limit: Limit, processes: int) -> int:
        """Return how much of its share *limit* has left; below 0 once the share has shrunk."""
        share = max(1, limit.amount // processes)
        if limit.resource is Resource.IMAGES_PER_DAY:
            return share - self.by_day[self.clock.today(), limit.scope]
        return share - sum(images for images, scopes in self.in_flight.values() if limit.scope in scopes)

    def wanted(self, limit: Limit, ask: Ask, processes: int) -> int:
        amount = ask.n * ask.ticket.price.weight if limit.resource is Resource.IMAGES_PER_DAY else ask.n
        return min(amount, max(1, limit.amount // processes))

    def admit(self, ask: Ask, processes: int) -> None:
        for limit in ask.ticket.limits:
            if limit.resource is Resource.IMAGES_PER_DAY:
                self.by_day[self.clock.today(), limit.scope] += self.wanted(limit, ask, processes)
        scopes = tuple(
            limit.scope for limit in ask.ticket.limits if limit.resource is Resource.IMAGES_IN_FLIGHT
        )
        self.in_flight[ask.fence] = (ask.n, scopes)

    def settle(self, fence: str, images: int) -> None:
        held, scopes = self.in_flight[fence]
        self.in_flight[fence] = (max(0, held - images), scopes)


QUOTAS = st.builds(
    a_limit,
    resource=st.sampled_from([Resource.IMAGES_PER_DAY, Resource.IMAGES_IN_FLIGHT]),
    scope=st.sampled_from(["user", "key", "team"]),
    amount=st.integers(1, 20),
)
ORDERS = st.tuples(
    st.integers(1, 6),
    st.integers(1, 3),
    st.lists(QUOTAS, max_size=4, unique_by=lambda q: (q.resource, q.scope)),
)
STEPS = st.one_of(
    st.tuples(st.just("order"), ORDERS),
    st.tuples(st.just("settle"), st.tuples(st.integers(0, 30), st.integers(1, 4))),
    st.tuples(st.just("pass"), st.sampled_from([1.0, 3600.0, 30_000.0])),
    st.tuples(st.just("processes"), st.integers(1, 4)),
)


def begin(share: LocalShare, ask: Ask, *, fits: bool, remaining: list[int]) -> tuple[int, ...]:
    """Check that *ask* is admitted exactly if it *fits*, and what is told to remain; returns its indices."""
    if not fits:
        assert [state.remaining for state in refusal(share, ask).limits] == remaining
        return ()
    grant = share.begin(ask)
    assert [state.remaining for state in grant.limits] == remaining
    return grant.mine


@given(st.data(), st.integers(5, 60))
def test_days_and_images_in_flight_are_counted_exactly(data: st.DataObject, steps: int) -> None:
    clock = FakeClock()
    share, naive, mine, heard = a_share(clock), NaiveCounter(clock), dict[str, list[int]](), 1

    for number in range(steps):
        match data.draw(STEPS):
            case ("order", (int(n), int(weight), list(limits))):
                ask = an_ask(id=str(number), n=n, weight=weight, pool=None, limits=tuple(limits))
                rooms = [naive.room(limit, heard) for limit in limits]
                wanted = [naive.wanted(limit, ask, heard) for limit in limits]
                fits = all(want <= room for want, room in zip(wanted, rooms, strict=True))
                if fits:
                    naive.admit(ask, heard)
                remaining = [max(0, naive.room(limit, heard)) for limit in limits]
                mine[ask.fence] = list(begin(share, ask, fits=fits, remaining=remaining))
            case ("settle", (int(chosen), int(images))) if mine:
                fence = sorted(mine)[chosen % len(mine)]
                ended, mine[fence] = mine[fence][:images], mine[fence][images:]
                share.finish(a_settlement(fence=fence, pool=None, released=tuple(ended)))
                if ended:
                    naive.settle(fence, len(ended))
            case ("pass", float(pause_s)):
                clock.advance(pause_s)
            case ("processes", int(processes)):
                heard = processes
                share.share_among(heard)
            case _:
                pass  # nothing to settle yet
