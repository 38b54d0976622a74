"""The whole path of an order, on fakes at the ports."""

import asyncio
import gc
import math

import pytest

from service.domain.callers import Policy
from service.domain.errors import (
    CutOff,
    Draining,
    GatewayError,
    NotCached,
    OrderFailed,
    PermissionDenied,
    StateUnavailable,
    Unauthenticated,
)
from service.domain.failures import FailureKind
from service.domain.images import Delivery
from service.domain.order import CacheControl
from service.domain.progress import Admitted, CallFailed, OrderDone
from service.gateway.order.progress import Progress
from service.gateway.order.waiting import WaitResult
from service.ports.telemetry import Crashed, OrderEnded
from tests.fakes.backend import Held
from tests.fakes.clock import FakeClock, until_idle
from tests.fakes.storage import FakeStore
from tests.fakes.values import a_caller, a_grant, a_rate_limit, a_refusal, a_variant, an_image, an_order
from tests.gateway.assembly import Assembly, read
from tests.gateway.facts import error, images, in_dalles_words, keep, pool_of


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
    assert images(facts) == {3 - i: ("made", f"image {i}".encode()) for i in range(4)}
    assert [call.n for call in house.backend.calls] == [1, 1, 1, 1]
    [ended] = house.telemetry.of(OrderEnded)
    assert (ended.outcome, ended.asked_model, ended.record.sources) == ("delivered", "dall-e-3", ["made"] * 4)
    assert house.in_flight == {}


def orders_in_memory() -> list[Progress]:
    """Return the orders that are not freed, those of other tests too."""
    return [each for each in gc.get_objects() if isinstance(each, Progress)]


async def test_an_order_leaves_nothing_to_the_garbage_collector(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        gc.disable()
        try:
            before = len(orders_in_memory())
            await house.run(an_order(n=4))
            left = len(orders_in_memory()) - before
        finally:
            gc.enable()

    assert left == 0


async def test_a_model_that_makes_many_images_a_call_is_called_once(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        facts = await house.run(an_order(asked_model="dall-e-2", n=4))

    assert [call.n for call in house.backend.calls] == [4]
    assert list(images(facts)) == [0, 1, 2, 3]
    assert [index for index, _ in house.book.settlements[0].made] == [0, 1, 2, 3]


async def test_ready_images_come_first_then_calls_and_images_of_others(clock: FakeClock) -> None:
    ready, shared = a_variant(0), an_image("shared")
    async with Assembly(clock) as house:
        keep(house, ready)
        house.book.script.append(a_grant(ready=(ready,), mine=(1, 2), awaited=(3,)))
        running = house.start(an_order(n=4))
        await until_idle()
        house.room.resolve(pool_of(house), 3, WaitResult(image=shared, data=b"shared"))
        facts = await read(running)

    assert facts[0] == Admitted(limits=(), degraded=False, pending=3)
    assert images(facts) == {
        0: ("hit", b"d0"),
        1: ("made", b"image 0"),
        2: ("made", b"image 1"),
        3: ("coalesced", b"shared"),
    }
    assert error(facts) is None
    assert len(house.book.asks) == 1
    [ended] = house.telemetry.of(OrderEnded)
    assert sorted(ended.record.sources) == ["coalesced", "hit", "made", "made"]


async def test_an_empty_grant_ends_the_order(clock: FakeClock) -> None:
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
    assert ask.cache.only_if_cached


async def test_only_if_cached_answers_with_cached_images(clock: FakeClock) -> None:
    ready = a_variant(0)
    async with Assembly(clock) as house:
        keep(house, ready)
        house.book.script.append(a_grant(ready=(ready,)))

        assert error(await house.run(an_order(cache=CacheControl(only_if_cached=True)))) is None


@pytest.mark.parametrize("cache", [CacheControl(), CacheControl(reuse=False), CacheControl(max_age_s=9.0)])
async def test_cache_control_is_passed_to_the_shared_state(clock: FakeClock, cache: CacheControl) -> None:
    async with Assembly(clock) as house:
        await house.run(an_order(cache=cache))

    [ask] = house.book.asks
    assert ask.cache == cache
    assert ask.ticket.pool is not None
    assert ask.ticket.pool.startswith("open:")


async def test_an_order_never_gets_the_same_variant_twice(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        ready = a_variant(4)
        keep(house, ready)
        house.book.script.extend([a_grant(ready=(ready,), mine=(5,), awaited=(6, 7)), a_grant(mine=(7,))])
        running = house.start(an_order(n=4))
        await until_idle()
        house.room.resolve(pool_of(house), 6, WaitResult(image=an_image(), data=b"six"))
        await until_idle()
        await read(running)

    assert house.book.asks[1].used == (4, 5, 6)
    assert house.book.asks[1].n == 1


async def test_an_order_over_its_limit_only_gets_the_error(clock: FakeClock) -> None:
    refusal = a_rate_limit()
    async with Assembly(clock) as house:
        house.book.script.append(refusal)

        assert await house.run(an_order()) == [OrderDone(error=refusal)]


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
    indices = [index for settlement in house.journal.kept for index, _ in settlement.made]
    assert all(index is not None and index < 0 for index in indices)


async def test_an_order_cut_off_by_the_drain_settles_every_call(clock: FakeClock) -> None:
    house = Assembly(clock, Held(), Held(), drain_s=5.0)
    async with house:
        running = house.start(an_order(n=3, deadline_s=clock.monotonic_s() + 500.0))
        await until_idle()
    facts = await read(running)

    cut_off = error(facts)
    assert isinstance(cut_off, CutOff)
    assert (len(images(facts)), cut_off.kept) == (1, 1)
    settled = [(len(each.made), each.unknown) for each in house.book.settlements]
    assert settled == [(1, 0), (0, 1), (0, 1)]
    assert house.journal.kept == []
    assert house.in_flight == {}


async def test_an_order_cut_off_while_it_gives_back_gives_all_back(clock: FakeClock) -> None:
    """What is left held would be booked as unknown, though nothing was sent."""
    house = Assembly(clock, drain_s=5.0)
    async with house:
        house.store.is_full = True
        house.book.may_finish.clear()
        running = house.start(an_order(n=3, delivery=Delivery.URL))
        await house.book.finishing.wait()
    facts = await read(running)

    assert isinstance(error(facts), Draining)
    assert house.backend.attempts == 0
    assert [settlement.released for settlement in house.journal.kept] == [(0,), (1,), (2,)]
    assert {(settlement.refunded, settlement.unknown) for settlement in house.journal.kept} == {(1, 0)}
    assert house.state._leases == {}


class SilentStore(FakeStore):
    """Never comes back from reading."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = asyncio.Event()

    async def get(self, name: str, *, deadline_s: float = math.inf) -> bytes:
        self.reading.set()
        await asyncio.Event().wait()
        raise AssertionError


async def test_an_order_cut_off_while_it_only_reads_hits_settles_nothing(clock: FakeClock) -> None:
    store = SilentStore()
    async with Assembly(clock, drain_s=5.0, store=store) as house:
        house.book.script.append(a_grant(ready=(a_variant(0),)))
        house.start(an_order())
        await store.reading.wait()

    assert house.book.settlements == house.journal.kept == []


async def test_an_order_cut_off_while_it_reads_hits_gives_its_indices_back(
    clock: FakeClock,
) -> None:
    store = SilentStore()
    house = Assembly(clock, drain_s=5.0, store=store)
    async with house:
        house.book.script.append(a_grant(ready=(a_variant(0),), mine=(1, 2)))
        house.start(an_order(n=3))
        await store.reading.wait()

    assert house.backend.attempts == 0
    [settlement] = house.book.settlements
    assert (settlement.released, settlement.refunded, settlement.unknown) == ((1, 2), 2, 0)
    assert house.state._leases == {}


async def test_a_bug_in_one_call_does_not_keep_its_claims_alive(clock: FakeClock) -> None:
    async with Assembly(clock, ZeroDivisionError()) as house:
        facts = await house.run(an_order())

        assert error(facts) is not None
        assert house.state._leases == {}


async def test_concurrent_orders_do_not_mix(clock: FakeClock) -> None:
    async with Assembly(clock, max_calls=3) as house, asyncio.TaskGroup() as group:
        runs = [
            group.create_task(house.run(an_order(id=str(i), n=2, prompt=f"number {i}"))) for i in range(20)
        ]

    assert [sorted(images(run.result())) for run in runs] == [[0, 1]] * 20
    assert house.backend.most_in_flight <= 3
    assert len(house.backend.calls) == 40


async def test_an_order_without_any_grant_fails(
    clock: FakeClock,
) -> None:
    async with Assembly(clock) as house:
        house.book.script.append(a_grant())
        facts = await house.run(an_order())

    assert isinstance(error(facts), StateUnavailable)
    assert len(house.book.asks) == 1


@pytest.mark.parametrize("denial", [Unauthenticated("Revoked."), PermissionDenied("Closed.")])
async def test_a_denied_order_only_gets_the_error(clock: FakeClock, denial: GatewayError) -> None:
    async with Assembly(clock) as house:
        house.book.script.append(denial)
        facts = await house.run(an_order(n=3))

    assert facts == [OrderDone(error=denial)]
    assert house.backend.attempts == 0
    assert (house.book.settlements, house.journal.kept) == ([], [])
    assert house.telemetry.of(Crashed) == []
    assert house.in_flight == {}


async def test_callers_with_a_budget_are_refused_without_redis(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.book.is_gone = True
        facts = await house.run(an_order(caller=a_caller(policy=Policy(budget_per_month_microusd=10**9))))

    failed = error(facts)
    assert isinstance(failed, StateUnavailable)
    assert (failed.reason, len(facts)) == ("degraded", 1)
    assert house.backend.attempts == 0
    assert [settlement.made for settlement in house.journal.kept] == [()]
    assert house.in_flight == {}
