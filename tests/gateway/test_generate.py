"""The whole path of an order, on fakes at the ports."""

import asyncio
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from service.domain.callers import Policy, Resource, Scope
from service.domain.catalog import Catalog
from service.domain.errors import (
    Billing,
    CallFailure,
    DeadlineExceeded,
    Draining,
    FailureKind,
    GatewayError,
    InvalidOrder,
    ModelNotAllowed,
    NotCached,
    OrderFailed,
    PermissionDenied,
    PriceUnknown,
    StateUnavailable,
    StoreUnavailable,
    Unauthenticated,
)
from service.domain.images import (
    Admitted,
    CacheControl,
    CallFailed,
    Delivery,
    ImageOrder,
    ImageReady,
    OrderDone,
    OrderFact,
)
from service.domain.limits import Limit
from service.gateway.attempts import NOT_SENT
from service.gateway.flights import MOST_WAITERS, Landing
from service.gateway.state import LEASE_S
from service.ports.state import Variant
from service.ports.telemetry import ImageDelivered, InFlight, OrderCrashed
from tests.fakes.backend import Held
from tests.fakes.clock import FakeClock, until_idle
from tests.fakes.values import (
    a_caller,
    a_catalog,
    a_failure,
    a_grant,
    a_limit_state,
    a_rate_limit,
    a_refusal,
    a_variant,
    an_image,
    an_order,
)
from tests.gateway.assembly import Assembly, read

Fact = TypeVar("Fact")


def of(kind: type[Fact], facts: list[OrderFact]) -> list[Fact]:
    return [fact for fact in facts if isinstance(fact, kind)]


def images(facts: list[OrderFact]) -> dict[int, tuple[str, bytes | None]]:
    return {fact.position: (fact.source.value, fact.data) for fact in of(ImageReady, facts)}


def error(facts: list[OrderFact]) -> Exception | None:
    assert isinstance(facts[-1], OrderDone)
    return facts[-1].error


def in_dalles_words(refusal: CallFailure) -> CallFailure:
    """Return the refusal as clients of the asked model, dall-e-3, know it."""
    return replace(refusal, code="content_policy_violation", type="invalid_request_error")


def keep(house: Assembly, *variants: Variant) -> None:
    """Put the bytes of *variants* into the store."""
    house.store.blobs.update({each.image.name: each.image.digest.encode() for each in variants})


def pool_of(house: Assembly) -> str:
    pool = house.book.asks[0].pool
    assert pool is not None
    return pool


async def test_an_order_of_n_is_n_calls_at_once_and_its_images_are_in_order(clock: FakeClock) -> None:
    held = [Held() for _ in range(4)]
    async with Assembly(clock, *held) as house:
        running = house.start(an_order(n=4))
        await until_idle()
        assert house.backend.in_flight == 4
        for each in reversed(held):
            each.release()
            await until_idle()
        facts = await read(running)

    assert facts[0] == Admitted(limits=(), degraded=False, pending=4)
    assert facts[-1] == OrderDone()
    assert images(facts) == {3 - i: ("made", f"picture {i}".encode()) for i in range(4)}
    assert [call.n for call in house.backend.calls] == [1, 1, 1, 1]
    assert house.telemetry.of(ImageDelivered) == [ImageDelivered(asked_model="dall-e-3", source="made")] * 4
    assert house.telemetry.in_flight() == InFlight()


async def test_a_model_that_makes_many_images_a_call_is_called_once(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        facts = await house.run(an_order(asked_model="dall-e-2", n=4))

    assert [call.n for call in house.backend.calls] == [4]
    assert list(images(facts)) == [0, 1, 2, 3]
    assert [index for index, _ in house.book.settlements[0].made] == [0, 1, 2, 3]


async def test_what_is_ready_comes_first_then_calls_and_what_others_make(clock: FakeClock) -> None:
    ready, landed = a_variant(0), an_image("landed")
    async with Assembly(clock) as house:
        keep(house, ready)
        house.book.script.append(a_grant(ready=(ready,), mine=(1, 2), awaited=(3,)))
        running = house.start(an_order(n=4))
        await until_idle()
        house.flights.land(pool_of(house), 3, Landing(image=landed, data=b"landed"))
        facts = await read(running)

    assert facts[0] == Admitted(limits=(), degraded=False, pending=3)
    assert images(facts) == {
        0: ("hit", b"d0"),
        1: ("made", b"picture 0"),
        2: ("made", b"picture 1"),
        3: ("coalesced", b"landed"),
    }
    assert error(facts) is None
    assert len(house.book.asks) == 1
    assert sorted(fact.source for fact in house.telemetry.of(ImageDelivered)) == [
        "coalesced",
        "hit",
        "made",
        "made",
    ]


async def test_a_hit_costs_nothing_and_tells_its_age(clock: FakeClock) -> None:
    ready = a_variant(0, age_s=60.0)
    async with Assembly(clock) as house:
        keep(house, ready)
        house.book.script.append(a_grant(ready=(ready,)))
        facts = await house.run(an_order())

    [hit] = of(ImageReady, facts)
    assert (hit.image, hit.age_s, hit.data) == (ready.image, 60.0, b"d0")
    assert house.backend.attempts == 0
    assert house.book.settlements == []


async def test_a_link_to_a_hit_needs_no_look_into_the_store(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.store.is_gone = True
        house.book.script.append(a_grant(ready=(a_variant(0),)))
        facts = await house.run(an_order(delivery=Delivery.URL))

    assert images(facts) == {0: ("hit", None)}
    assert error(facts) is None


async def test_an_image_that_is_gone_is_forgotten_and_made_again(clock: FakeClock) -> None:
    gone, kept = a_variant(0), a_variant(1)
    async with Assembly(clock) as house:
        keep(house, kept)
        house.book.script.extend([a_grant(ready=(gone, kept)), a_grant(mine=(2,))])
        facts = await house.run(an_order(n=2))

    assert images(facts) == {0: ("hit", b"d1"), 1: ("made", b"picture 0")}
    forgotten, _made = house.book.settlements
    assert (forgotten.forgotten, forgotten.part) == (((0, "d0"),), "forget.0")
    assert (forgotten.pool, forgotten.made, forgotten.released) == (pool_of(house), (), ())
    again = house.book.asks[1]
    assert (again.n, again.round, again.used) == (1, 1, (0, 1))


async def test_a_gone_image_leaves_its_place_to_the_calls(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.book.script.extend([a_grant(ready=(a_variant(0),), mine=(1,)), a_grant(mine=(2,))])
        facts = await house.run(an_order(n=2))

    assert images(facts) == {0: ("made", b"picture 0"), 1: ("made", b"picture 1")}
    assert house.book.asks[1].used == (0, 1)


async def test_a_store_that_cannot_be_read_is_no_bug_and_cancels_no_call(clock: FakeClock) -> None:
    held = Held()
    async with Assembly(clock, held) as house:
        house.book.script.extend([a_grant(mine=(0,), awaited=(1,)), a_grant(ready=(a_variant(1),))])
        running = house.start(an_order(n=2))
        await held.arrived.wait()
        house.store.is_gone = True
        house.flights.wake(pool_of(house), 1)
        await until_idle()
        house.store.is_gone = False
        held.release()
        facts = await read(running)

    assert house.telemetry.of(OrderCrashed) == []
    assert 0 in images(facts)


async def test_a_store_that_cannot_be_read_keeps_no_claims(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.store.is_gone = True
        house.book.script.append(a_grant(ready=(a_variant(0),), mine=(1,)))
        facts = await house.run(an_order(n=2))

    assert error(facts) is not None
    assert house.telemetry.of(OrderCrashed) == []
    assert house.state._leases == {}


async def test_a_grant_of_nothing_does_not_go_round_for_ever(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.book.script.append(a_grant())
        facts = await house.run(an_order())

    assert isinstance(error(facts), StateUnavailable)
    assert len(house.book.asks) == 1


async def test_only_if_cached_makes_nothing(clock: FakeClock) -> None:
    ready = a_variant(0)
    async with Assembly(clock) as house:
        keep(house, ready)
        house.book.script.append(a_grant(ready=(ready,)))
        facts = await house.run(an_order(n=2, cache=CacheControl(only_if_cached=True)))

    assert isinstance(error(facts), NotCached)
    assert str(error(facts)) == "Only 1 of 2 images are in the cache."
    assert images(facts) == {0: ("hit", b"d0")}
    assert house.backend.attempts == 0
    [ask] = house.book.asks
    assert ask.only_ready


async def test_only_if_cached_is_content_with_what_is_cached(clock: FakeClock) -> None:
    ready = a_variant(0)
    async with Assembly(clock) as house:
        keep(house, ready)
        house.book.script.append(a_grant(ready=(ready,)))

        assert error(await house.run(an_order(cache=CacheControl(only_if_cached=True)))) is None


@pytest.mark.parametrize(
    ("cache", "asked"),
    [
        (CacheControl(), {"fresh": False, "only_ready": False, "max_age_s": None}),
        (CacheControl(reuse=False), {"fresh": True}),
        (CacheControl(max_age_s=9.0), {"max_age_s": 9.0}),
    ],
)
async def test_the_cache_is_asked_as_the_caller_wishes(
    clock: FakeClock, cache: CacheControl, asked: dict[str, Any]
) -> None:
    async with Assembly(clock) as house:
        await house.run(an_order(cache=cache))

    [ask] = house.book.asks
    assert {name: getattr(ask, name) for name in asked} == asked
    assert ask.pool is not None
    assert ask.pool.startswith("open:")


async def test_no_store_stays_out_of_the_pool(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        facts = await house.run(an_order(cache=CacheControl(keep=False)))

    assert house.book.asks[0].pool is None
    assert house.book.settlements[0].made == ((None, of(ImageReady, facts)[0].image),)


async def test_without_a_cache_nothing_is_pooled(clock: FakeClock) -> None:
    async with Assembly(clock, pool_name=None) as house:
        facts = await house.run(an_order())

    assert error(facts) is None
    assert house.book.asks[0].pool is None


async def test_identical_orders_share_a_pool_and_others_do_not(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        await house.run(an_order(id="order-1", n=1))
        await house.run(an_order(id="order-2", n=2, delivery=Delivery.URL))
        await house.run(an_order(id="order-3", prompt="A harbour"))
        await house.run(an_order(id="order-4", caller=a_caller(team="another")))

    pools = [ask.pool for ask in house.book.asks]
    assert pools[0] == pools[1]
    assert len(set(pools)) == 3


async def test_an_order_waits_for_an_identical_one_instead_of_paying(clock: FakeClock) -> None:
    held = Held()
    async with Assembly(clock, held) as house:
        house.book.script.extend([a_grant(mine=(0,)), a_grant(awaited=(0,))])
        maker = house.start(an_order(id="order-1"))
        await held.arrived.wait()
        waiter = house.start(an_order(id="order-2"))
        await until_idle()
        assert house.telemetry.in_flight().waiters == 1
        held.release()
        made, coalesced = of(ImageReady, await read(maker)), of(ImageReady, await read(waiter))

    assert len(house.backend.calls) == 1
    assert coalesced[0].image == made[0].image
    assert (coalesced[0].source, coalesced[0].data) == ("coalesced", b"picture 0")
    assert house.telemetry.in_flight() == InFlight()


async def test_a_link_is_only_given_to_what_the_store_has(clock: FakeClock) -> None:
    held = Held()
    async with Assembly(clock, held) as house:
        house.book.script.extend([a_grant(mine=(0,)), a_grant(awaited=(0,))])
        maker = house.start(an_order(id="order-1", delivery=Delivery.B64_JSON))
        await held.arrived.wait()
        waiter = house.start(an_order(id="order-2", delivery=Delivery.URL))
        await until_idle()
        house.store.is_full = True
        held.release()

        assert error(await read(maker)) is None
        linked = of(ImageReady, await read(waiter))

    assert [ready.image.name for ready in linked if ready.image.name not in house.store.blobs] == []


async def test_a_refusal_is_shared_with_who_waits(clock: FakeClock) -> None:
    held, refusal = Held(), a_refusal()
    async with Assembly(clock, held) as house:
        house.book.script.extend([a_grant(mine=(0,)), a_grant(awaited=(0,))])
        maker = house.start(an_order(id="order-1"))
        await held.arrived.wait()
        waiter = house.start(an_order(id="order-2"))
        await until_idle()
        held.release(refusal)
        await read(maker)
        facts = await read(waiter)

    assert len(house.backend.calls) == 1
    assert CallFailed(positions=(0,), failure=refusal) in facts
    failed = error(facts)
    assert isinstance(failed, OrderFailed)
    assert (failed.failures, failed.kept) == ((in_dalles_words(refusal),), 0)


async def test_a_waiter_whose_maker_failed_becomes_the_maker(clock: FakeClock) -> None:
    held = Held()
    async with Assembly(clock, held) as house:
        house.book.script.extend([a_grant(mine=(0,)), a_grant(awaited=(0,)), a_grant(mine=(0,))])
        maker = house.start(an_order(id="order-1"))
        await held.arrived.wait()
        waiter = house.start(an_order(id="order-2"))
        await until_idle()
        held.release(a_failure(kind=FailureKind.BROKEN, billing=Billing.UNKNOWN))
        await read(maker)
        facts = await read(waiter)

    assert images(facts) == {0: ("made", b"picture 0")}
    assert error(facts) is None
    assert [(ask.id, ask.round, ask.fence) for ask in house.book.asks] == [
        ("order-1", 0, "order-1.0"),
        ("order-2", 0, "order-2.0"),
        ("order-2", 1, "order-2.1"),
    ]
    assert house.book.settlements[1].fence == "order-2.1"


async def test_lost_news_are_made_good_by_asking_again(clock: FakeClock) -> None:
    ready = a_variant(0)
    async with Assembly(clock) as house:
        keep(house, ready)
        house.book.script.extend([a_grant(awaited=(0,)), a_grant(awaited=(0,)), a_grant(ready=(ready,))])
        facts = await house.run(an_order())

    assert images(facts) == {0: ("hit", b"d0")}
    assert [ask.round for ask in house.book.asks] == [0, 1, 2]
    assert len(of(Admitted, facts)) == 1


async def test_an_order_never_gets_the_same_variant_twice(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        ready = a_variant(4)
        keep(house, ready)
        house.book.script.extend([a_grant(ready=(ready,), mine=(5,), awaited=(6, 7)), a_grant(mine=(7,))])
        running = house.start(an_order(n=4))
        await until_idle()
        house.flights.land(pool_of(house), 6, Landing(image=an_image(), data=b"six"))
        await until_idle()
        await read(running)

    assert house.book.asks[1].used == (4, 5, 6)
    assert house.book.asks[1].n == 1


async def test_a_waiter_that_may_not_make_fails_and_its_own_calls_finish(clock: FakeClock) -> None:
    held, refusal = Held(), a_rate_limit()
    async with Assembly(clock, held) as house:
        house.book.script.extend([a_grant(mine=(0,), awaited=(1,)), refusal])
        running = house.start(an_order(n=2))
        await held.arrived.wait()
        house.flights.wake(pool_of(house), 1)
        await until_idle()
        held.release()
        facts = await read(running)

    assert images(facts) == {0: ("made", b"picture 0")}
    assert error(facts) is refusal
    assert len(house.book.settlements[0].made) == 1


async def test_an_order_over_its_limit_is_told_nothing_else(clock: FakeClock) -> None:
    refusal = a_rate_limit()
    async with Assembly(clock) as house:
        house.book.script.append(refusal)

        assert await house.run(an_order()) == [OrderDone(error=refusal)]


async def test_limits_of_the_policy_are_asked_and_told(clock: FakeClock) -> None:
    caller = a_caller(user="ann", policy=Policy(requests_per_min=60, images_per_min=5))
    states = (a_limit_state(resource="requests"), a_limit_state(resource="images"))
    async with Assembly(clock) as house:
        house.book.script.append(a_grant(mine=(0,), limits=states))
        facts = await house.run(an_order(caller=caller))

    assert house.book.asks[0].limits == (
        Limit(resource=Resource.REQUESTS, scope="user", key="ann", amount=60),
        Limit(resource=Resource.IMAGES, scope="user", key="ann", amount=5),
    )
    assert facts[0] == Admitted(limits=states, degraded=False, pending=1)


async def test_limits_that_are_not_set_are_not_asked(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        await house.run(an_order(caller=a_caller(policy=Policy(images_per_min=5))))

    assert [limit.resource for limit in house.book.asks[0].limits] == ["images"]


@pytest.mark.parametrize(("n", "images_per_min"), [(5, 5), (10, 0), (1, 1)])
async def test_an_order_within_the_burst_is_taken(clock: FakeClock, n: int, images_per_min: int) -> None:
    caller = a_caller(policy=Policy(images_per_min=images_per_min))
    async with Assembly(clock) as house:
        assert error(await house.run(an_order(n=n, caller=caller))) is None


async def test_an_order_no_waiting_could_admit_is_refused_at_once(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        with pytest.raises(InvalidOrder) as caught:
            house.start(an_order(n=6, caller=a_caller(policy=Policy(images_per_min=5))))

    assert (caught.value.param, caught.value.code) == ("n", "integer_above_max_value")
    assert "at most 5 images per min" in str(caught.value)
    assert house.book.asks == []


async def test_an_invalid_order_is_refused_before_anything_is_asked(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        with pytest.raises(InvalidOrder):
            house.start(an_order(parameters={"size": "1x1"}))

    assert house.book.asks == []
    assert house.telemetry.facts == []


async def test_the_caller_learns_what_is_sent(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        running, sent = house.generate.start(an_order(parameters={"quality": "hd"}))
        await read(running)

    assert (sent.model, sent.parameters["quality"]) == ("gpt-image-2.6-flare", "high")
    [call] = house.backend.calls
    assert (call.model, call.parameters, call.prompt) == (sent.model, sent.parameters, sent.prompt)
    assert house.book.asks[0].model == "gpt-image-2.6-flare"


async def test_people_are_named_to_the_provider_by_a_hash_of_their_own(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        for order in (
            an_order(id="1"),
            an_order(id="2"),
            an_order(id="3", caller=a_caller(user="bob")),
            an_order(id="4", safety_identifier="end-user-7"),
        ):
            await house.run(order)

    names = [call.safety_identifier for call in house.backend.calls]
    assert names[0] == names[1]
    assert len(set(names)) == 3
    assert not any("ann" in name or "bob" in name or "end-user" in name for name in names)


@pytest.mark.parametrize(
    ("quality", "estimate_microusd"), [("standard", 1756 * 30 + 20), ("max", 28096 * 30 + 20)]
)
async def test_the_price_is_estimated_before_anything_is_made(
    clock: FakeClock, quality: str, estimate_microusd: int
) -> None:
    async with Assembly(clock) as house:
        await house.run(an_order(parameters={"quality": quality}))

    assert house.book.asks[0].estimate_microusd == estimate_microusd
    assert house.book.settlements[0].estimate_microusd == estimate_microusd


async def test_a_failed_call_leaves_the_images_of_its_siblings(clock: FakeClock) -> None:
    refusal = a_refusal()
    async with Assembly(clock, refusal) as house:
        facts = await house.run(an_order(n=3))

    failed = error(facts)
    assert isinstance(failed, OrderFailed)
    assert (failed.failures, failed.kept) == ((in_dalles_words(refusal),), 2)
    assert CallFailed(positions=(0,), failure=refusal) in facts
    assert sorted(images(facts)) == [1, 2]
    assert sorted(len(settlement.made) for settlement in house.book.settlements) == [0, 1, 1]


async def test_an_order_abandoned_before_dispatch_gives_everything_back(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        running = house.start(an_order(n=3))
        running.abandon()
        await until_idle()

    assert house.backend.attempts == 0
    assert sum(settlement.refunded for settlement in house.book.settlements) == 3
    released = [index for settlement in house.book.settlements for index in settlement.released]
    assert sorted(released) == [0, 1, 2]
    assert len({settlement.part for settlement in house.book.settlements}) == 3


async def test_an_order_abandoned_after_dispatch_is_finished_and_kept(clock: FakeClock) -> None:
    held = [Held(), Held()]
    async with Assembly(clock, *held) as house:
        running = house.start(an_order(n=2))
        await until_idle()
        running.abandon()
        for each in held:
            each.release()
        await until_idle()

    assert len(house.backend.calls) == 2
    assert [len(settlement.made) for settlement in house.book.settlements] == [1, 1]
    assert len(house.store.blobs) == 2


async def test_an_order_abandoned_while_it_waits_makes_nothing(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.book.script.append(a_grant(awaited=(0,)))
        running = house.start(an_order())
        await until_idle()
        running.abandon()
        house.flights.wake(pool_of(house), 0)
        await until_idle()

    assert house.backend.attempts == 0
    assert sum(settlement.refunded for settlement in house.book.settlements) == len(house.book.settlements)


async def test_an_order_abandoned_while_others_make_its_images_waits_no_longer(clock: FakeClock) -> None:
    held = Held()
    async with Assembly(clock, held) as house:
        house.book.script.extend([a_grant(mine=(0,), awaited=(1,))])
        running = house.start(an_order(n=2))
        await held.arrived.wait()
        running.abandon()
        house.flights.wake(pool_of(house), 1)
        await until_idle()
        assert house.telemetry.in_flight().waiters == 0
        held.release()

    assert len(house.book.asks) == 1
    assert len(house.book.settlements[0].made) == 1


async def test_links_are_not_paid_for_while_the_store_is_full(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.store.is_full = True
        facts = await house.run(an_order(n=2, delivery=Delivery.URL))

    assert isinstance(error(facts), StoreUnavailable)
    assert of(CallFailed, facts) == [CallFailed(positions=(i,), failure=NOT_SENT) for i in range(2)]
    assert house.backend.attempts == 0
    assert [settlement.refunded for settlement in house.book.settlements] == [1, 1]
    assert len(house.book.asks) == 1


async def test_bytes_are_made_even_while_the_store_is_full(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.store.is_full = True
        facts = await house.run(an_order())

    assert images(facts) == {0: ("made", b"picture 0")}
    assert error(facts) is None


async def test_a_store_that_fills_up_in_between_fails_a_link_that_was_paid(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.store.is_full = house.store.hides_it = True
        facts = await house.run(an_order(delivery=Delivery.URL))

    failed = error(facts)
    assert isinstance(failed, OrderFailed)
    assert failed.failures[0].kind is FailureKind.NOT_KEPT
    assert len(house.book.settlements[0].made) == 1


async def test_an_obstacle_ends_the_order_without_waiting_for_others(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.store.is_full = True
        house.book.script.append(a_grant(mine=(0,), awaited=(1,)))
        facts = await house.run(an_order(n=2, delivery=Delivery.URL))

    assert isinstance(error(facts), StoreUnavailable)
    assert len(house.book.asks) == 1


@pytest.mark.parametrize(("mine", "is_dispatched"), [((), False), ((5,), True)])
async def test_waiting_ends_with_the_deadline(
    clock: FakeClock, mine: tuple[int, ...], *, is_dispatched: bool
) -> None:
    started_s = clock.monotonic_s()
    async with Assembly(clock) as house:
        house.book.script.append(a_grant(mine=mine, awaited=(0,)))
        house.book.script.extend([a_grant(awaited=(0,))] * 100)
        facts = await house.run(an_order(n=1 + len(mine), deadline_s=started_s + 5.0))

    failed = error(facts)
    assert isinstance(failed, DeadlineExceeded)
    assert failed.dispatched is is_dispatched
    assert clock.monotonic_s() - started_s == pytest.approx(5.0)
    assert len(images(facts)) == len(mine)


async def test_a_call_that_outlasts_the_deadline_fails_the_order(clock: FakeClock) -> None:
    async with Assembly(clock, Held()) as house:
        facts = await house.run(an_order(n=2, deadline_s=clock.monotonic_s() + 5.0))

    failed = error(facts)
    assert isinstance(failed, OrderFailed)
    assert ([failure.kind for failure in failed.failures], failed.kept) == ([FailureKind.TIMED_OUT], 1)
    assert sum(settlement.unknown for settlement in house.book.settlements) == 1


async def test_without_redis_orders_are_made_and_settled_later(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.book.is_gone = True
        facts = await house.run(an_order(n=2, caller=a_caller(policy=Policy(images_per_min=2))))

    assert isinstance(facts[0], Admitted)
    assert facts[0].degraded
    assert sorted(images(facts)) == [0, 1]
    assert error(facts) is None
    assert all(settlement.is_local for settlement in house.outbox.kept)
    indices = [index for settlement in house.outbox.kept for index, _ in settlement.made]
    assert all(index is not None and index < 0 for index in indices)


async def test_without_redis_identical_orders_still_share_their_calls(clock: FakeClock) -> None:
    held = Held()
    async with Assembly(clock, held) as house:
        house.book.is_gone = True
        maker = house.start(an_order(id="order-1"))
        await held.arrived.wait()
        waiter = house.start(an_order(id="order-2"))
        await until_idle()
        held.release()
        await read(maker)

        assert images(await read(waiter)) == {0: ("coalesced", b"picture 0")}

    assert len(house.backend.calls) == 1


async def test_an_order_cut_off_by_the_drain_settles_every_call(clock: FakeClock) -> None:
    house = Assembly(clock, Held(), Held(), drain_s=5.0)
    async with house:
        running = house.start(an_order(n=3, deadline_s=clock.monotonic_s() + 500.0))
        await until_idle()
    facts = await read(running)

    assert isinstance(error(facts), Draining)
    assert len(images(facts)) == 1
    assert [settlement.unknown for settlement in house.outbox.kept] == [1, 1]
    assert [len(settlement.made) for settlement in house.book.settlements] == [1]
    assert house.telemetry.in_flight() == InFlight()


async def test_a_waiter_cut_off_by_the_drain_leaves_the_waiting_room(clock: FakeClock) -> None:
    house = Assembly(clock, drain_s=5.0)
    async with house:
        house.book.script.extend([a_grant(awaited=(0,))] * 100)
        running = house.start(an_order(deadline_s=clock.monotonic_s() + 500.0))
        await until_idle()

    assert isinstance(error(await read(running)), Draining)
    assert house.flights._flights == {}
    assert house.telemetry.in_flight() == InFlight()


async def test_a_bug_in_one_call_does_not_keep_its_claims_alive(clock: FakeClock) -> None:
    async with Assembly(clock, ZeroDivisionError()) as house:
        facts = await house.run(an_order())

        assert error(facts) is not None
        assert house.state._leases == {}


async def test_many_orders_at_once_are_told_apart(clock: FakeClock) -> None:
    async with Assembly(clock, max_calls=3) as house, asyncio.TaskGroup() as group:
        runs = [
            group.create_task(house.run(an_order(id=str(i), n=2, prompt=f"number {i}"))) for i in range(20)
        ]

    assert [sorted(images(run.result())) for run in runs] == [[0, 1]] * 20
    assert house.backend.most_in_flight <= 3
    assert len(house.backend.calls) == 40


async def test_an_order_that_is_given_nothing_at_all_fails_instead_of_asking_for_ever(
    clock: FakeClock,
) -> None:
    async with Assembly(clock) as house:
        house.book.script.append(a_grant())
        facts = await house.run(an_order())

    assert isinstance(error(facts), StateUnavailable)
    assert len(house.book.asks) == 1


async def test_a_silent_redis_is_no_reason_to_buy_what_others_are_making(clock: FakeClock) -> None:
    held = Held()
    async with Assembly(clock, held) as house:
        house.book.script.extend([a_grant(mine=(0,)), a_grant(awaited=(0,))])
        maker = house.start(an_order(id="order-1"))
        await held.arrived.wait()
        waiter = house.start(an_order(id="order-2"))
        await until_idle()
        house.book.is_gone = True
        await asyncio.sleep(LEASE_S / 2)
        held.release()
        made, coalesced = of(ImageReady, await read(maker)), of(ImageReady, await read(waiter))

    assert len(house.backend.calls) == 1
    assert (coalesced[0].image, coalesced[0].source) == (made[0].image, "coalesced")


async def test_a_maker_that_may_be_gone_like_redis_is_replaced_after_a_lease(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.book.script.append(a_grant(awaited=(0,)))
        waiter = house.start(an_order())
        await until_idle()
        house.book.is_gone = True
        facts = await read(waiter)

    assert error(facts) is None
    assert len(house.backend.calls) == 1


async def test_who_waits_learns_from_whoever_asked_first_when_news_is_lost(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.book.script.extend([a_grant(awaited=(0,)), a_grant(awaited=(0,))])
        waiters = [house.start(an_order(id=f"order-{i}", delivery=Delivery.URL)) for i in range(2)]
        await until_idle()
        house.book.script.extend([a_grant(ready=(a_variant(0),)), a_grant(ready=(a_variant(0),))])
        started_s = clock.monotonic_s()
        for waiter in waiters:
            await read(waiter)

    assert clock.monotonic_s() - started_s < 1.0
    assert len(house.backend.calls) == 0


def a_catalog_with(name: str, **changes: Any) -> Catalog:
    catalog = a_catalog()
    return replace(catalog, models={**catalog.models, name: replace(catalog.models[name], **changes)})


@pytest.mark.parametrize(
    ("policy", "order", "refusal"),
    [
        (Policy(models=("gpt-image-2",)), {}, ModelNotAllowed),
        (Policy(models=("gpt-image-2.6-flare",)), {}, ModelNotAllowed),
        (Policy(max_n=2), {"n": 3}, InvalidOrder),
        (Policy(max_size="1024x1024"), {"parameters": {"size": "1792x1024"}}, InvalidOrder),
        (Policy(max_size="1024x1024"), {"asked_model": "gpt-image-2"}, InvalidOrder),
        (Policy(images_per_day=2), {"n": 3}, InvalidOrder),
        (Policy(images_in_flight=2), {"n": 3}, InvalidOrder),
    ],
)
async def test_what_a_policy_forbids_is_refused_before_anything_is_asked(
    clock: FakeClock, policy: Policy, order: dict[str, Any], refusal: type[GatewayError]
) -> None:
    async with Assembly(clock) as house:
        with pytest.raises(refusal):
            house.start(an_order(caller=a_caller(policy=policy), **order))

    assert house.book.asks == []
    assert house.telemetry.facts == []
    assert house.backend.attempts == 0


@pytest.mark.parametrize(
    ("policy", "order"),
    [
        (Policy(models=("dall-e-3",)), {}),
        (Policy(max_n=2), {"n": 2}),
        (Policy(max_size="1792x1024"), {"parameters": {"size": "1024x1792"}}),
        # DALL-E's own default is a square, not what `auto` may become.
        (Policy(max_size="1024x1024"), {}),
        (Policy(max_size="1536x1024"), {"asked_model": "gpt-image-2"}),
    ],
)
async def test_what_a_policy_allows_is_made(clock: FakeClock, policy: Policy, order: dict[str, Any]) -> None:
    async with Assembly(clock) as house:
        assert error(await house.run(an_order(caller=a_caller(policy=policy), **order))) is None


async def test_every_scope_of_the_caller_is_asked_with_the_key_that_must_be_valid(clock: FakeClock) -> None:
    caller = a_caller(
        team="design",
        key_id="key-1",
        scopes=(
            Scope(name="user", key="ann", policy=Policy(requests_per_min=60)),
            Scope(name="key", key="key-1", policy=Policy()),
            Scope(
                name="team", key="design", policy=Policy(images_per_day=9, budget_per_month_microusd=10**9)
            ),
        ),
    )
    async with Assembly(clock) as house:
        await house.run(an_order(caller=caller))

    [ask], [settlement] = house.book.asks, house.book.settlements
    scopes = (("user", "ann"), ("key", "key-1"), ("team", "design"))
    assert (ask.key_id, ask.scopes, settlement.scopes) == ("key-1", scopes, scopes)
    assert ask.limits == (
        Limit(resource=Resource.REQUESTS, scope="user", key="ann", amount=60),
        Limit(resource=Resource.IMAGES_PER_DAY, scope="team", key="design", amount=9),
        Limit(resource=Resource.BUDGET_PER_MONTH, scope="team", key="design", amount=10**9),
    )
    assert settlement.limits == ask.limits


async def test_an_image_weighs_as_the_model_that_makes_it_says(clock: FakeClock) -> None:
    catalog = a_catalog_with("gpt-image-2.6-flare", weights={"high": 4, "default": 2})
    async with Assembly(clock, catalog=catalog) as house:
        for quality in ("hd", "standard"):
            await house.run(an_order(id=quality, parameters={"quality": quality}))
        with pytest.raises(InvalidOrder, match="each counting as 4"):
            house.start(
                an_order(n=2, parameters={"quality": "hd"}, caller=a_caller(policy=Policy(images_per_min=7)))
            )

    assert [ask.weight for ask in house.book.asks] == [4, 2]
    assert [settlement.weight for settlement in house.book.settlements] == [4, 2]


@pytest.mark.parametrize(
    ("budget_microusd", "counts_unpriced", "is_refused"),
    [(0, False, False), (10**9, False, True), (10**9, True, False)],
)
async def test_with_a_budget_an_unknown_price_is_not_free(
    clock: FakeClock, budget_microusd: int, *, counts_unpriced: bool, is_refused: bool
) -> None:
    catalog = a_catalog_with("gpt-image-2.6-flare", price=None)
    order = an_order(caller=a_caller(policy=Policy(budget_per_month_microusd=budget_microusd)))
    async with Assembly(clock, catalog=catalog, counts_unpriced=counts_unpriced) as house:
        if is_refused:
            with pytest.raises(PriceUnknown, match=r"gpt-image-2\.6-flare"):
                house.start(order)
        else:
            assert error(await house.run(order)) is None

    assert [ask.estimate_microusd for ask in house.book.asks] == ([] if is_refused else [None])


async def test_a_policy_may_keep_its_callers_out_of_the_cache(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        for caches in (True, False):
            await house.run(an_order(id=str(caches), caller=a_caller(policy=Policy(caches=caches))))

    assert [ask.pool is None for ask in house.book.asks] == [False, True]
    assert house.book.settlements[1].made[0][0] is None


async def test_pools_are_named_with_the_cache_scope_of_the_callers_policies(clock: FakeClock) -> None:
    def name(order: ImageOrder, fingerprint: str) -> str:
        return f"{order.caller.cache_scope}:{fingerprint}"

    async with Assembly(clock, pool_name=name) as house:
        for scope in (None, "team", "user"):
            await house.run(an_order(id=str(scope), caller=a_caller(policy=Policy(cache_scope=scope))))

    assert [str(ask.pool).partition(":")[0] for ask in house.book.asks] == ["None", "team", "user"]
    assert len({str(ask.pool).partition(":")[2] for ask in house.book.asks}) == 1


DENIALS = [Unauthenticated("Revoked."), PermissionDenied("Closed.")]


@pytest.mark.parametrize("denial", DENIALS)
async def test_a_denied_order_is_told_nothing_else(clock: FakeClock, denial: GatewayError) -> None:
    async with Assembly(clock) as house:
        house.book.script.append(denial)
        facts = await house.run(an_order(n=3))

    assert facts == [OrderDone(error=denial)]
    assert house.backend.attempts == 0
    assert (house.book.settlements, house.outbox.kept) == ([], [])
    assert house.telemetry.of(OrderCrashed) == []
    assert house.telemetry.in_flight() == InFlight()


async def test_without_redis_callers_with_a_budget_are_told_to_come_back(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.book.is_gone = True
        facts = await house.run(an_order(caller=a_caller(policy=Policy(budget_per_month_microusd=10**9))))

    failed = error(facts)
    assert isinstance(failed, StateUnavailable)
    assert (failed.reason, len(facts)) == ("degraded", 1)
    assert house.backend.attempts == 0
    assert [settlement.made for settlement in house.outbox.kept] == [()]
    assert house.telemetry.in_flight() == InFlight()


@pytest.mark.parametrize("denial", DENIALS)
async def test_a_caller_that_is_denied_while_it_waits_keeps_what_it_paid_for(
    clock: FakeClock, denial: GatewayError
) -> None:
    held = Held()
    async with Assembly(clock, held) as house:
        house.book.script.extend([a_grant(mine=(0,), awaited=(1,)), denial])
        running = house.start(an_order(n=2))
        await held.arrived.wait()
        house.flights.wake(pool_of(house), 1)
        await until_idle()
        held.release()
        facts = await read(running)

    assert images(facts) == {0: ("made", b"picture 0")}
    assert error(facts) is denial
    assert [len(settlement.made) for settlement in house.book.settlements] == [1]
    assert house.state._leases == {}


async def test_without_redis_a_budget_waits_for_others_but_never_makes_in_their_place(
    clock: FakeClock,
) -> None:
    held, caller = Held(), a_caller(policy=Policy(budget_per_month_microusd=10**9))
    async with Assembly(clock, held) as house:
        house.book.script.append(a_grant(mine=(0,), awaited=(1,)))
        running = house.start(an_order(n=2, caller=caller))
        await held.arrived.wait()
        house.book.is_gone = True
        await asyncio.sleep(LEASE_S / 2)
        assert house.telemetry.in_flight().waiters == 1
        await asyncio.sleep(LEASE_S)
        held.release()
        facts = await read(running)

    failed = error(facts)
    assert isinstance(failed, StateUnavailable)
    assert failed.reason == "degraded"
    assert images(facts) == {0: ("made", b"picture 0")}
    assert house.backend.attempts == 1
    assert sum(len(settlement.made) for settlement in house.outbox.kept) == 1


async def test_forgetting_an_image_takes_the_teams_reference_with_it(clock: FakeClock) -> None:
    gone = a_variant(0)
    async with Assembly(clock) as house:
        house.book.script.extend([a_grant(ready=(gone,)), a_grant(mine=(1,))])
        await house.run(an_order())

    assert house.references.gone == {gone.image.name}
    assert set(house.references.leftovers) == {gone.image.name}


async def test_a_reference_that_cannot_be_forgotten_now_keeps_no_image_from_being_made(
    clock: FakeClock,
) -> None:
    async with Assembly(clock) as house:
        house.references.is_away = True
        house.book.script.extend([a_grant(ready=(a_variant(0),)), a_grant(mine=(1,))])
        facts = await house.run(an_order())

    assert images(facts) == {0: ("made", b"picture 0")}
    assert error(facts) is None
    assert house.book.settlements[0].forgotten == ((0, "d0"),)


async def test_a_full_waiting_room_fails_who_would_wait_and_keeps_what_is_paid(clock: FakeClock) -> None:
    ready = a_variant(0)
    async with Assembly(clock) as house, asyncio.TaskGroup() as group:
        keep(house, ready)
        crowd = group.create_task(house.flights.wait("other", range(MOST_WAITERS), left_s=500.0))
        await asyncio.sleep(0)
        house.book.script.append(a_grant(ready=(ready,), mine=(1,), awaited=(2,)))
        started_s = clock.monotonic_s()
        facts = await house.run(an_order(n=3))
        assert clock.monotonic_s() == started_s
        crowd.cancel()

    failed = error(facts)
    assert isinstance(failed, OrderFailed)
    assert (failed.failures, failed.kept) == ((NOT_SENT,), 1)
    assert images(facts) == {0: ("hit", b"d0"), 1: ("made", b"picture 0")}
    assert len(house.book.asks) == 1
    assert house.telemetry.in_flight() == InFlight()


async def test_an_image_that_landed_without_its_bytes_is_read_from_the_store(clock: FakeClock) -> None:
    landed = a_variant(0)
    async with Assembly(clock) as house:
        keep(house, landed)
        house.book.script.append(a_grant(awaited=(0,)))
        running = house.start(an_order())
        await until_idle()
        house.flights.land(pool_of(house), 0, Landing(image=landed.image))
        facts = await read(running)

    assert images(facts) == {0: ("coalesced", b"d0")}
    assert len(house.book.asks) == 1


@pytest.mark.parametrize("is_gone", [True, False])
async def test_an_image_that_landed_and_cannot_be_read_is_asked_for_again(
    clock: FakeClock, *, is_gone: bool
) -> None:
    async with Assembly(clock) as house:
        house.store.is_gone = is_gone
        house.book.script.extend([a_grant(awaited=(0,)), a_grant(mine=(1,))])
        running = house.start(an_order())
        await until_idle()
        house.flights.land(pool_of(house), 0, Landing(image=an_image()))
        facts = await read(running)

    assert images(facts) == {0: ("made", b"picture 0")}
    assert error(facts) is None
    # It was not given out: the next answer may name it.
    assert house.book.asks[1].used == ()


async def test_a_landing_of_nothing_is_asked_for_again(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.book.script.extend([a_grant(awaited=(0,)), a_grant(mine=(1,))])
        running = house.start(an_order())
        await until_idle()
        house.flights.land(pool_of(house), 0, Landing())
        facts = await read(running)

    assert images(facts) == {0: ("made", b"picture 0")}
    assert len(house.book.asks) == 2


@pytest.mark.parametrize("refusal", [a_rate_limit(), PermissionDenied("Closed.")])
async def test_a_scout_that_is_refused_lets_another_one_go(clock: FakeClock, refusal: GatewayError) -> None:
    async with Assembly(clock) as house:
        house.book.script.extend([a_grant(awaited=(0,)), a_grant(awaited=(0,))])
        scout, other = (house.start(an_order(id=f"order-{i}", delivery=Delivery.URL)) for i in range(2))
        await until_idle()
        house.book.script.extend([refusal, a_grant(ready=(a_variant(0),))])
        started_s = clock.monotonic_s()
        house.flights.wake(pool_of(house), 0)

        assert error(await read(scout)) is refusal
        assert images(await read(other)) == {0: ("hit", None)}

    # Long before anybody would have asked of himself.
    assert clock.monotonic_s() - started_s < 0.1
    assert [ask.id for ask in house.book.asks[2:]] == ["order-0", "order-1"]


async def test_a_long_wait_is_no_silence_while_redis_says_that_the_maker_lives(clock: FakeClock) -> None:
    """Otherwise a short outage in the second minute would have everybody buy the image again."""
    async with Assembly(clock) as house:
        house.book.script.extend([a_grant(awaited=(0,))] * 500)
        running = house.start(an_order())
        await asyncio.sleep(3 * LEASE_S)

        assert house.book.asks[-1].awaiting == (0,)
        running.abandon()
