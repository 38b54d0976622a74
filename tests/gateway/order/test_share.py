"""Orders that wait for what others are making."""

import asyncio

import pytest

from service.domain.callers import Policy
from service.domain.errors import (
    DeadlineExceeded,
    Draining,
    GatewayError,
    OrderFailed,
    PermissionDenied,
    StateUnavailable,
    Unauthenticated,
)
from service.domain.failures import Billing, CallFailure, FailureKind
from service.domain.images import Delivery
from service.domain.progress import Admitted, CallFailed, ImageReady
from service.gateway.admission.shared import LEASE_S
from service.gateway.order.attempt import NOT_SENT
from service.gateway.order.waiting import MOST_WAITERS, WaitResult
from tests.fakes.backend import Held
from tests.fakes.clock import FakeClock, until_idle
from tests.fakes.values import (
    a_caller,
    a_failure,
    a_grant,
    a_rate_limit,
    a_refusal,
    a_variant,
    an_image,
    an_order,
)
from tests.gateway.assembly import Assembly, read
from tests.gateway.facts import error, images, in_dalles_words, keep, of, pool_of


async def test_an_order_waits_for_an_identical_one_instead_of_paying(clock: FakeClock) -> None:
    held = Held()
    async with Assembly(clock, held) as house:
        house.book.script.extend([a_grant(mine=(0,)), a_grant(awaited=(0,))])
        maker = house.start(an_order(id="order-1"))
        await held.arrived.wait()
        waiter = house.start(an_order(id="order-2"))
        await until_idle()
        assert house.share.waiting == 1
        held.release()
        made, coalesced = of(ImageReady, await read(maker)), of(ImageReady, await read(waiter))

    assert len(house.backend.calls) == 1
    assert coalesced[0].image == made[0].image
    assert (coalesced[0].source, coalesced[0].data) == ("coalesced", b"image 0")
    assert house.in_flight == {}


async def result_after(clock: FakeClock, outcome: CallFailure | None = None) -> dict[int, WaitResult]:
    """Return what a waiter for the only image of an order gets once its call has ended in *outcome*."""
    held = Held()
    async with Assembly(clock, held) as house, asyncio.TaskGroup() as group:
        house.book.script.append(a_grant(mine=(10,)))
        running = house.start(an_order())
        await held.arrived.wait()
        waiting = group.create_task(house.room.wait(pool_of(house), [10], left_s=9.0))
        await asyncio.sleep(0)
        held.release(outcome)
        await read(running)
    return waiting.result()


async def test_a_waiter_gets_the_image_with_its_bytes(clock: FakeClock) -> None:
    [result] = (await result_after(clock)).values()

    assert result.data == b"image 0"
    assert result.image is not None


async def test_a_waiter_shares_a_refusal(clock: FakeClock) -> None:
    refusal = a_refusal()

    assert await result_after(clock, refusal) == {10: WaitResult(failure=refusal)}


async def test_a_waiter_asks_again_after_a_transient_failure(clock: FakeClock) -> None:
    failed = a_failure(kind=FailureKind.TIMED_OUT, billing=Billing.UNKNOWN)

    assert await result_after(clock, failed) == {}
    assert clock.monotonic_s() < 1001


async def test_only_stored_images_get_links(clock: FakeClock) -> None:
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


async def test_a_refusal_is_shared_with_waiting_orders(clock: FakeClock) -> None:
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

    assert images(facts) == {0: ("made", b"image 0")}
    assert error(facts) is None
    assert [(ask.ticket.id, ask.round, ask.fence) for ask in house.book.asks] == [
        ("order-1", 0, "order-1.0"),
        ("order-2", 0, "order-2.0"),
        ("order-2", 1, "order-2.1"),
    ]
    assert house.book.settlements[1].fence == "order-2.1"


async def test_a_waiter_asks_again_after_lost_news(clock: FakeClock) -> None:
    ready = a_variant(0)
    async with Assembly(clock) as house:
        keep(house, ready)
        house.book.script.extend([a_grant(awaited=(0,)), a_grant(awaited=(0,)), a_grant(ready=(ready,))])
        facts = await house.run(an_order())

    # Another process made it meanwhile: no hit, though it was there when we asked.
    assert images(facts) == {0: ("coalesced", b"d0")}
    assert [ask.round for ask in house.book.asks] == [0, 1, 2]
    assert len(of(Admitted, facts)) == 1


async def test_a_waiter_that_may_not_make_fails_and_its_own_calls_finish(clock: FakeClock) -> None:
    held, refusal = Held(), a_rate_limit()
    async with Assembly(clock, held) as house:
        house.book.script.extend([a_grant(mine=(0,), awaited=(1,)), refusal])
        running = house.start(an_order(n=2))
        await held.arrived.wait()
        house.room.wake(pool_of(house), 1)
        await until_idle()
        held.release()
        facts = await read(running)

    assert images(facts) == {0: ("made", b"image 0")}
    assert error(facts) is refusal
    assert len(house.book.settlements[0].made) == 1


async def test_an_order_abandoned_while_it_waits_makes_nothing(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.book.script.append(a_grant(awaited=(0,)))
        running = house.start(an_order())
        await until_idle()
        running.abandon()
        house.room.wake(pool_of(house), 0)
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
        house.room.wake(pool_of(house), 1)
        await until_idle()
        assert house.share.waiting == 0
        held.release()

    assert len(house.book.asks) == 1
    assert len(house.book.settlements[0].made) == 1


@pytest.mark.parametrize("mine", [(), (5,)], ids=["all are awaited", "one is made"])
async def test_waiting_ends_with_the_deadline(clock: FakeClock, mine: tuple[int, ...]) -> None:
    started_s = clock.monotonic_s()
    async with Assembly(clock) as house:
        house.book.script.append(a_grant(mine=mine, awaited=(0,)))
        house.book.script.extend([a_grant(awaited=(0,))] * 100)
        facts = await house.run(an_order(n=1 + len(mine), deadline_s=started_s + 5.0))

    failed = error(facts)
    assert isinstance(failed, DeadlineExceeded)
    assert (failed.kept, failed.pays_again) == (len(mine), False)
    assert clock.monotonic_s() - started_s == pytest.approx(5.0)
    assert len(images(facts)) == len(mine)


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

        assert images(await read(waiter)) == {0: ("coalesced", b"image 0")}

    assert len(house.backend.calls) == 1


async def test_a_waiter_cut_off_by_the_drain_leaves_the_waiting_room(clock: FakeClock) -> None:
    house = Assembly(clock, drain_s=5.0)
    async with house:
        house.book.script.extend([a_grant(awaited=(0,))] * 100)
        running = house.start(an_order(deadline_s=clock.monotonic_s() + 500.0))
        await until_idle()

    assert isinstance(error(await read(running)), Draining)
    assert house.room._pending == {}
    assert house.in_flight == {}


async def test_an_order_waits_for_others_while_redis_is_silent(clock: FakeClock) -> None:
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


async def test_waiters_share_the_result_of_the_first_to_ask_after_lost_news(clock: FakeClock) -> None:
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


@pytest.mark.parametrize("denial", [Unauthenticated("Revoked."), PermissionDenied("Closed.")])
async def test_a_caller_that_is_denied_while_it_waits_keeps_what_it_paid_for(
    clock: FakeClock, denial: GatewayError
) -> None:
    held = Held()
    async with Assembly(clock, held) as house:
        house.book.script.extend([a_grant(mine=(0,), awaited=(1,)), denial])
        running = house.start(an_order(n=2))
        await held.arrived.wait()
        house.room.wake(pool_of(house), 1)
        await until_idle()
        held.release()
        facts = await read(running)

    assert images(facts) == {0: ("made", b"image 0")}
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
        assert house.share.waiting == 1
        await asyncio.sleep(LEASE_S)
        held.release()
        facts = await read(running)

    failed = error(facts)
    assert isinstance(failed, StateUnavailable)
    assert failed.reason == "degraded"
    assert images(facts) == {0: ("made", b"image 0")}
    assert house.backend.attempts == 1
    assert sum(len(settlement.made) for settlement in house.journal.kept) == 1


async def test_a_full_waiting_room_fails_new_waits_and_keeps_paid_images(clock: FakeClock) -> None:
    ready = a_variant(0)
    async with Assembly(clock) as house, asyncio.TaskGroup() as group:
        keep(house, ready)
        crowd = group.create_task(house.room.wait("other", range(MOST_WAITERS), left_s=500.0))
        await asyncio.sleep(0)
        house.book.script.append(a_grant(ready=(ready,), mine=(1,), awaited=(2,)))
        started_s = clock.monotonic_s()
        facts = await house.run(an_order(n=3))
        assert clock.monotonic_s() == started_s
        crowd.cancel()

    failed = error(facts)
    assert isinstance(failed, OrderFailed)
    assert (failed.failures, failed.kept, failed.lost) == ((NOT_SENT,), 2, 0)
    assert images(facts) == {0: ("hit", b"d0"), 1: ("made", b"image 0")}
    assert len(house.book.asks) == 1
    assert house.in_flight == {}


async def test_a_result_without_bytes_is_read_from_the_store(clock: FakeClock) -> None:
    ready = a_variant(0)
    async with Assembly(clock) as house:
        keep(house, ready)
        house.book.script.append(a_grant(awaited=(0,)))
        running = house.start(an_order())
        await until_idle()
        house.room.resolve(pool_of(house), 0, WaitResult(image=ready.image))
        facts = await read(running)

    assert images(facts) == {0: ("coalesced", b"d0")}
    assert len(house.book.asks) == 1


@pytest.mark.parametrize("is_gone", [True, False])
async def test_an_order_asks_again_for_a_result_it_cannot_read(clock: FakeClock, *, is_gone: bool) -> None:
    async with Assembly(clock) as house:
        house.store.is_gone = is_gone
        house.book.script.extend([a_grant(awaited=(0,)), a_grant(mine=(1,))])
        running = house.start(an_order())
        await until_idle()
        house.room.resolve(pool_of(house), 0, WaitResult(image=an_image()))
        facts = await read(running)

    assert images(facts) == {0: ("made", b"image 0")}
    assert error(facts) is None
    # It was not given out: the next answer may name it.
    assert house.book.asks[1].used == ()


async def test_an_order_asks_again_after_an_empty_result(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.book.script.extend([a_grant(awaited=(0,)), a_grant(mine=(1,))])
        running = house.start(an_order())
        await until_idle()
        house.room.resolve(pool_of(house), 0, WaitResult())
        facts = await read(running)

    assert images(facts) == {0: ("made", b"image 0")}
    assert len(house.book.asks) == 2


@pytest.mark.parametrize("refusal", [a_rate_limit(), PermissionDenied("Closed.")])
async def test_a_refused_prober_sends_another(clock: FakeClock, refusal: GatewayError) -> None:
    async with Assembly(clock) as house:
        house.book.script.extend([a_grant(awaited=(0,)), a_grant(awaited=(0,))])
        prober, other = (house.start(an_order(id=f"order-{i}", delivery=Delivery.URL)) for i in range(2))
        await until_idle()
        house.book.script.extend([refusal, a_grant(ready=(a_variant(0),))])
        started_s = clock.monotonic_s()
        house.room.wake(pool_of(house), 0)

        assert error(await read(prober)) is refusal
        assert images(await read(other)) == {0: ("coalesced", None)}

    # Long before anybody would have asked of himself.
    assert clock.monotonic_s() - started_s < 0.1
    assert [ask.ticket.id for ask in house.book.asks[2:]] == ["order-0", "order-1"]


async def test_a_long_wait_goes_on_while_redis_confirms_the_maker(clock: FakeClock) -> None:
    """Otherwise a short outage in the second minute would have everybody buy the image again."""
    async with Assembly(clock) as house:
        house.book.script.extend([a_grant(awaited=(0,))] * 500)
        running = house.start(an_order())
        await asyncio.sleep(3 * LEASE_S)

        assert house.book.asks[-1].awaiting == (0,)
        running.abandon()


@pytest.mark.parametrize("end", ["left", "too late"])
async def test_a_prober_that_ends_before_it_asks_sends_another(clock: FakeClock, end: str) -> None:
    """Its news is for all that wait; they would sleep until their next poll."""
    async with Assembly(clock) as house:
        house.book.script.extend([a_grant(awaited=(0,)), a_grant(awaited=(0,))])
        prober = house.start(an_order(id="order-1", deadline_s=clock.monotonic_s() + 0.01))
        other = house.start(an_order(id="order-2"))
        await until_idle()
        if end == "left":
            prober.abandon()
        else:
            clock.advance(0.01)
        house.room.wake(pool_of(house), 0)
        await until_idle()
        asked = [ask.ticket.id for ask in house.book.asks]
        await read(other)

    assert asked == ["order-1", "order-2", "order-2"]
