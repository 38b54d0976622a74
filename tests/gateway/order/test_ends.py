"""Ends of orders: the promises to a repeat, and orders that are cut off."""

import asyncio
import math
from collections.abc import Mapping

import pytest

from service.domain.errors import CutOff, DeadlineExceeded, Draining, GatewayError, OrderFailed, RateLimited
from service.domain.failures import Billing, FailureKind
from service.domain.order import CacheControl
from service.domain.progress import CallFailed, OrderDone
from service.gateway.order.accept import Pools
from service.gateway.order.attempt import NOT_SENT
from service.gateway.order.waiting import WaitResult
from tests.fakes.backend import Held
from tests.fakes.clock import FakeClock, until_idle
from tests.fakes.storage import FakeStore
from tests.fakes.values import a_failure, a_grant, a_rate_limit, an_ask, an_image, an_order
from tests.gateway.assembly import POOLS, Assembly, read
from tests.gateway.facts import error, images, pool_of

UNKNOWN = a_failure(kind=FailureKind.TIMED_OUT, billing=Billing.UNKNOWN)


async def fail_one_of_three(house: Assembly, **order: object) -> tuple[int, int, bool]:
    """Return the kept and the lost images, and if a repeat pays again, of an order with one failed call."""
    async with house:
        failed = error(await house.run(an_order(n=3, **order)))
    assert isinstance(failed, OrderFailed)
    return failed.kept, failed.lost, failed.pays_again


@pytest.mark.parametrize(
    ("order", "pools", "is_kept"),
    [
        ({}, POOLS, True),
        ({"cache": CacheControl(max_age_s=60.0)}, POOLS, True),
        ({"cache": CacheControl(max_age_s=59.0)}, POOLS, False),
        ({"cache": CacheControl(reuse=False)}, POOLS, False),
        ({"cache": CacheControl(reuse=False, keep=False)}, POOLS, False),
        ({}, None, False),
        ({"idempotency_key": "once"}, None, True),
        ({"idempotency_key": "once", "cache": CacheControl(reuse=False)}, POOLS, True),
        ({"idempotency_key": "once", "cache": CacheControl(reuse=False, keep=False)}, POOLS, True),
    ],
    ids=[
        "by default",
        "max-age of a minute",
        "max-age of less",
        "no-cache",
        "no-store",
        "without a cache",
        "a key without a cache",
        "a key and no-cache",
        "a key and no-store",
    ],
)
async def test_an_incomplete_order_promises_what_a_repeat_finds(
    clock: FakeClock, order: Mapping[str, object], pools: Pools | None, *, is_kept: bool
) -> None:
    house = Assembly(clock, a_failure(kind=FailureKind.MISCONFIGURED), pools=pools)

    assert await fail_one_of_three(house, **order) == ((2, 0, False) if is_kept else (0, 2, True))


async def test_images_that_the_store_did_not_take_are_lost_to_a_repeat(clock: FakeClock) -> None:
    house = Assembly(clock, a_failure(kind=FailureKind.MISCONFIGURED))
    house.store.is_full = True

    assert await fail_one_of_three(house) == (0, 2, True)


async def test_shared_images_that_the_store_did_not_take_are_lost_to_a_repeat(clock: FakeClock) -> None:
    async with Assembly(clock, a_failure(kind=FailureKind.MISCONFIGURED)) as house:
        house.book.script.append(a_grant(mine=(0,), awaited=(1,)))
        running = house.start(an_order(n=2))
        await until_idle()
        unstored = WaitResult(image=an_image(), data=b"d1", is_stored=False)
        house.room.resolve(pool_of(house), 1, unstored)
        failed = error(await read(running))

    assert isinstance(failed, OrderFailed)
    assert (failed.kept, failed.lost, failed.pays_again) == (0, 1, True)


async def test_without_redis_no_image_is_promised(clock: FakeClock) -> None:
    house = Assembly(clock, a_failure(kind=FailureKind.MISCONFIGURED))
    house.book.is_gone = True
    for _ in range(3):
        await house.state.begin(an_ask(pool=None))

    assert await fail_one_of_three(house) == (0, 2, True)


async def test_an_unknown_outcome_forbids_a_repeat_whatever_ends_the_order(clock: FakeClock) -> None:
    """The order is refused in its second round, with a call of the first of unknown outcome."""
    async with Assembly(clock, UNKNOWN) as house:
        house.book.script.extend([a_grant(mine=(0,), awaited=(1,)), a_rate_limit()])
        refused = error(await house.run(an_order(n=2)))

    assert isinstance(refused, RateLimited)
    assert refused.pays_again


async def test_a_refusal_of_a_later_round_allows_a_repeat_if_all_images_are_kept(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.book.script.extend([a_grant(mine=(0,), awaited=(1,)), a_rate_limit()])
        refused = error(await house.run(an_order(n=2)))

    assert isinstance(refused, RateLimited)
    assert not refused.pays_again


async def test_images_that_end_after_the_reason_to_stop_are_counted(clock: FakeClock) -> None:
    held = Held()
    async with Assembly(clock, held) as house:
        house.book.script.append(a_grant(mine=(0,), awaited=(1,)))
        house.book.script.extend([a_grant(awaited=(1,))] * 100)
        running = house.start(an_order(n=2, deadline_s=clock.monotonic_s() + 5.0))
        await asyncio.sleep(4.9)
        house.book.may_finish.clear()
        held.release()
        await asyncio.sleep(1.0)
        house.book.may_finish.set()
        failed = error(await read(running))

    assert isinstance(failed, DeadlineExceeded)
    assert failed.kept == 1


async def cut_off(house: Assembly, **order: object) -> list[object]:
    """Return the facts of an order that is cut off once it waits."""
    async with house:
        running = house.start(an_order(deadline_s=house.clock.monotonic_s() + 500.0, **order))
        await until_idle()
        house.runner.cut_off()
        facts = await read(running)
    return list(facts)


async def test_an_order_cut_off_after_sending_says_so(clock: FakeClock) -> None:
    house = Assembly(clock, Held(), max_calls=1)

    *facts, done = await cut_off(house, n=2)

    assert isinstance(done, OrderDone)
    assert isinstance(done.error, CutOff)
    failures = {fact.positions: fact.failure for fact in facts if isinstance(fact, CallFailed)}
    assert failures[(0,)].billing is Billing.UNKNOWN
    assert failures[(1,)] is NOT_SENT
    assert sorted((each.refunded, each.unknown) for each in house.book.settlements) == [(0, 1), (1, 0)]


async def test_an_order_cut_off_in_the_queue_has_spent_nothing(clock: FakeClock) -> None:
    house = Assembly(clock, Held(), max_calls=1)
    async with house:
        first, second = (
            house.start(an_order(id=number, prompt=number, deadline_s=clock.monotonic_s() + 500.0))
            for number in ("order-1", "order-2")
        )
        await until_idle()
        house.runner.cut_off()
        ends = [error(await read(running)) for running in (first, second)]

    assert [type(end) for end in ends] == [CutOff, Draining]
    assert len(house.backend.calls) == 1
    assert sorted(settlement.refunded for settlement in house.book.settlements) == [0, 1]


async def test_an_order_cut_off_between_two_attempts_has_spent_nothing(clock: FakeClock) -> None:
    async with Assembly(clock, a_failure(retry_after_s=10.0)) as house:
        running = house.start(an_order(deadline_s=clock.monotonic_s() + 500.0))
        await asyncio.sleep(1.0)
        house.runner.cut_off()
        end = error(await read(running))

    assert isinstance(end, Draining)
    assert [settlement.refunded for settlement in house.book.settlements] == [1]


async def test_an_order_cut_off_with_a_made_image_counts_it(clock: FakeClock) -> None:
    house = Assembly(clock)
    async with house:
        house.book.script.append(a_grant(mine=(0,), awaited=(1,)))
        running = house.start(an_order(n=2, deadline_s=clock.monotonic_s() + 500.0))
        await until_idle()
        house.runner.cut_off()
        end = error(await read(running))

    assert isinstance(end, CutOff)
    assert end.kept == 1


async def test_an_order_cut_off_while_it_settles_its_last_image_is_complete(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.book.may_finish.clear()
        running = house.start(an_order())
        await house.book.finishing.wait()
        house.runner.cut_off()
        facts = await read(running)

    assert error(facts) is None
    assert images(facts) == {0: ("made", b"image 0")}
    assert [len(settlement.made) for settlement in house.journal.kept] == [1]


class HangingStore(FakeStore):
    """Hangs in its first *hangs* writes."""

    def __init__(self, hangs: int) -> None:
        super().__init__()
        self.hangs = hangs
        self.writing = asyncio.Event()

    async def put(self, name: str, data: bytes, *, deadline_s: float = math.inf) -> None:
        self.writing.set()
        self.hangs -= 1
        if self.hangs >= 0:
            await asyncio.Event().wait()
        # As a real one does.
        await asyncio.sleep(0.0)
        await super().put(name, data, deadline_s=deadline_s)


@pytest.mark.parametrize("signals", [1, 2])
async def test_an_order_cut_off_while_it_stores_its_image_is_complete(clock: FakeClock, signals: int) -> None:
    """What has arrived is paid for: it is stored at once, or spilled."""
    store = HangingStore(hangs=1)
    async with Assembly(clock, store=store) as house:
        running = house.start(an_order(deadline_s=clock.monotonic_s() + 500.0))
        await store.writing.wait()
        for _ in range(signals):
            house.runner.cut_off()
        facts = await read(running)

    assert error(facts) is None
    assert images(facts) == {0: ("made", b"image 0")}
    [settlement] = house.book.settlements
    assert (len(settlement.made), settlement.unknown, settlement.unstored) == (1, 0, ())
    # It does not wait for a store that hangs, as before.
    assert store.deadlines_s == [clock.monotonic_s()]
    assert house.in_flight == {}


async def test_an_image_that_the_store_does_not_take_at_the_cut_off_is_booked_as_made(
    clock: FakeClock,
) -> None:
    store = HangingStore(hangs=1)
    async with Assembly(clock, store=store) as house:
        running = house.start(an_order(deadline_s=clock.monotonic_s() + 500.0))
        await store.writing.wait()
        store.is_full = True
        house.runner.cut_off()
        facts = await read(running)

    assert images(facts) == {0: ("made", b"image 0")}
    [settlement] = house.book.settlements
    assert (len(settlement.made), settlement.unknown, len(settlement.unstored)) == (1, 0, 1)


@pytest.mark.parametrize("signals", [1, 2])
async def test_the_end_does_not_wait_for_a_store_that_hangs(clock: FakeClock, signals: int) -> None:
    store = HangingStore(hangs=2)
    async with Assembly(clock, store=store) as house:
        running = house.start(an_order(deadline_s=clock.monotonic_s() + 500.0))
        await store.writing.wait()
        began_s = clock.monotonic_s()
        for _ in range(signals):
            house.runner.cut_off()
            await asyncio.sleep(1.0)
        end = error(await read(running))

    assert clock.monotonic_s() - began_s < 6.0
    assert isinstance(end, CutOff)
    [settlement] = house.book.settlements
    assert (settlement.made, settlement.unknown) == ((), 1)


async def test_what_is_kept_at_the_cut_off_waits_for_no_redis(clock: FakeClock) -> None:
    store = HangingStore(hangs=1)
    async with Assembly(clock, store=store) as house:
        house.start(an_order(deadline_s=clock.monotonic_s() + 500.0))
        await store.writing.wait()
        house.book.may_finish.clear()
        house.runner.cut_off()
        await until_idle()
        assert house.runner.running == 0
        assert [len(each.made) for each in house.journal.kept] == [1]
        house.book.may_finish.set()


async def test_an_order_cut_off_twice_still_tells_that_it_was_sent(clock: FakeClock) -> None:
    """The second signal strikes while the order concludes its key."""
    async with Assembly(clock, Held()) as house:
        running = house.start(an_order(idempotency_key="once", deadline_s=clock.monotonic_s() + 500.0))
        await until_idle()
        house.runner.cut_off()
        house.runner.cut_off()
        end = error(await read(running))

    assert isinstance(end, CutOff)


async def test_an_order_cut_off_before_its_first_step_still_answers(clock: FakeClock) -> None:
    """A task that is cancelled before it runs never runs, and its reader would wait for ever."""
    async with Assembly(clock, Held()) as house:
        running = house.start(an_order())
        house.runner.cut_off()

        assert isinstance(error(await read(running)), CutOff)


async def test_calls_that_are_given_up_before_their_first_step_are_refunded(clock: FakeClock) -> None:
    """A bug ends the order in the very step that made its calls: not one line of them runs."""
    async with Assembly(clock, Held(), Held()) as house:
        house.book.script.extend([a_grant(mine=(0, 1)), GatewayError("A bug.")])
        assert isinstance(error(await house.run(an_order(n=3))), GatewayError)

    assert house.backend.calls == []
    assert [(each.refunded, each.unknown) for each in house.book.settlements] == [(1, 0), (1, 0)]
