import asyncio

import pytest

from service.domain.failures import Billing, CallFailure, FailureKind
from service.domain.images import CallFailed, Delivery, ImageOrder, ImageReady, OrderDone, OrderFact, Realm
from service.gateway.admission.shared import LEASE_S
from service.gateway.order.attempt import NOT_SENT
from service.gateway.order.make import Job, Seats
from service.gateway.order.runner import RunningOrder
from service.gateway.order.waiting import Landing
from service.ports.telemetry import CostSettled
from tests.fakes.backend import Held
from tests.fakes.clock import FakeClock, until_idle
from tests.fakes.values import (
    a_call_made,
    a_catalog,
    a_failure,
    a_limit,
    a_refusal,
    a_sent_order,
    an_ask,
    an_order,
    an_origin,
)
from tests.gateway.assembly import Assembly, read

IMAGES = a_limit(resource="images")
ONE = Seats((0,), (10,))
TIMED_OUT = a_failure(kind=FailureKind.TIMED_OUT, billing=Billing.UNKNOWN)


def a_job(*, order: ImageOrder | None = None, pool: str | None = "pool", n: int = 1) -> Job:
    return Job(
        order=order or an_order(),
        sent=a_sent_order(images_per_call=n),
        model=a_catalog().models["gpt-image-2.6-flare"],
        ask=an_ask(round=2, pool=pool, limits=(IMAGES,), estimate_microusd=5),
        origin=an_origin(),
        realm=Realm.SANDBOX,
        safety_identifier="hash",
    )


async def told(running: RunningOrder) -> list[OrderFact]:
    running.emit(OrderDone())
    return (await read(running))[:-1]


def bytes_told(facts: list[OrderFact]) -> dict[int, bytes | None]:
    return {fact.position: fact.data for fact in facts if isinstance(fact, ImageReady)}


async def test_a_call_is_made_settled_and_told(clock: FakeClock) -> None:
    house, running = Assembly(clock), RunningOrder("order-1")

    failures = await house.dispatcher.make(a_job(), ONE, running)

    assert failures == []
    [ready] = await told(running)
    assert isinstance(ready, ImageReady)
    assert (ready.position, ready.source, ready.data, ready.age_s) == (0, "made", b"picture 0", 0.0)
    [call] = house.backend.calls
    assert (call.model, call.n, call.safety_identifier) == ("gpt-image-2.6-flare", 1, "hash")
    [settlement] = house.book.settlements
    assert settlement.made == ((10, ready.image),)
    assert (settlement.released, settlement.refunded, settlement.unknown) == ((), 0, 0)
    assert (settlement.id, settlement.fence, settlement.part) == ("order-1", "order-1.2", "2.0")
    assert (settlement.team, settlement.user, settlement.pool) == ("open", "ann", "pool")
    assert (settlement.limits, settlement.estimate_microusd) == ((IMAGES,), 5)
    assert house.telemetry.of(CostSettled) == [
        CostSettled(model="gpt-image-2.6-flare", realm="sandbox", microusd=ready.image.cost_microusd)
    ]


async def test_the_images_of_one_call_keep_their_order(clock: FakeClock) -> None:
    house, running = Assembly(clock), RunningOrder("order-1")

    await house.dispatcher.make(a_job(n=3), Seats((4, 5, 7), (10, 11, 12)), running)

    assert bytes_told(await told(running)) == {4: b"picture 0", 5: b"picture 1", 7: b"picture 2"}
    [settlement] = house.book.settlements
    assert [index for index, _ in settlement.made] == [10, 11, 12]
    assert settlement.part == "2.4"


@pytest.mark.parametrize(
    ("failure", "refunded", "unknown"),
    [
        (a_refusal(), 2, 0),
        (TIMED_OUT, 0, 2),
        (a_failure(kind=FailureKind.BROKEN, billing=Billing.BILLED), 0, 0),
    ],
)
async def test_a_failed_call_is_settled_by_who_pays(
    clock: FakeClock, failure: CallFailure, refunded: int, unknown: int
) -> None:
    house, running = Assembly(clock, failure), RunningOrder("order-1")

    failures = await house.dispatcher.make(a_job(n=2), Seats((0, 1), (10, 11)), running)

    assert failures == [failure, failure]
    assert await told(running) == [
        CallFailed(positions=(0,), failure=failure),
        CallFailed(positions=(1,), failure=failure),
    ]
    [settlement] = house.book.settlements
    assert (settlement.made, settlement.released) == ((), (10, 11))
    assert (settlement.refunded, settlement.unknown) == (refunded, unknown)


async def test_too_few_pictures_are_a_failure_of_the_missing_ones(clock: FakeClock) -> None:
    house, running = Assembly(clock, a_call_made(b"a")), RunningOrder("order-1")

    [failure] = await house.dispatcher.make(a_job(n=2), Seats((0, 1), (10, 11)), running)

    assert (failure.kind, failure.billing) == (FailureKind.BROKEN, Billing.UNKNOWN)
    facts = await told(running)
    assert bytes_told(facts) == {0: b"a"}
    assert facts[1] == CallFailed(positions=(1,), failure=failure)
    [settlement] = house.book.settlements
    assert [index for index, _ in settlement.made] == [10]
    assert (settlement.released, settlement.unknown) == ((11,), 1)


async def test_more_pictures_than_asked_are_not_handed_out(clock: FakeClock) -> None:
    house, running = Assembly(clock, a_call_made(b"a", b"b")), RunningOrder("order-1")

    assert await house.dispatcher.make(a_job(), ONE, running) == []
    assert bytes_told(await told(running)) == {0: b"a"}
    assert len(house.book.settlements[0].made) == 1


async def test_a_broken_picture_fails_alone(clock: FakeClock) -> None:
    house, running = Assembly(clock, a_call_made(b"a", b"broken")), RunningOrder("order-1")

    [failure] = await house.dispatcher.make(a_job(n=2), Seats((0, 1), (10, 11)), running)

    assert failure.kind is FailureKind.BROKEN
    assert bytes_told(await told(running)) == {0: b"a"}
    assert house.book.settlements[0].unknown == 1


async def test_one_failing_call_leaves_its_siblings_alone(clock: FakeClock) -> None:
    slow = Held()
    house, running = Assembly(clock, slow, a_refusal()), RunningOrder("order-1")
    async with asyncio.TaskGroup() as group:
        first = group.create_task(house.dispatcher.make(a_job(), Seats((0,), (10,)), running))
        await slow.arrived.wait()
        second = group.create_task(house.dispatcher.make(a_job(), Seats((1,), (11,)), running))
        await until_idle()
        assert second.done()

        slow.release()

    assert await first == []
    assert [failure.kind for failure in await second] == [FailureKind.REFUSED]
    assert bytes_told(await told(running)) == {0: b"picture 0"}


async def test_calls_are_bounded(clock: FakeClock) -> None:
    held = [Held() for _ in range(5)]
    house, running = Assembly(clock, *held, max_calls=2), RunningOrder("order-1")
    async with asyncio.TaskGroup() as group:
        for place in range(5):
            group.create_task(house.dispatcher.make(a_job(), Seats((place,), (place,)), running))
        for one in held:
            await until_idle()
            assert house.backend.in_flight <= 2
            one.release()

    assert house.backend.most_in_flight == 2
    assert len(house.backend.calls) == 5


async def test_a_place_in_the_queue_is_free_again_after_a_failure(clock: FakeClock) -> None:
    house, running = Assembly(clock, a_refusal(), a_refusal(), max_calls=1), RunningOrder("order-1")

    await house.dispatcher.make(a_job(), ONE, running)
    await house.dispatcher.make(a_job(), ONE, running)

    assert await house.dispatcher.make(a_job(), ONE, running) == []


async def test_a_deadline_in_the_queue_costs_nothing(clock: FakeClock) -> None:
    held = Held()
    house, running = Assembly(clock, held, max_calls=1), RunningOrder("order-1")
    async with asyncio.TaskGroup() as group:
        group.create_task(house.dispatcher.make(a_job(), ONE, RunningOrder("order-0")))
        await held.arrived.wait()
        soon = an_order(deadline_s=clock.monotonic_s() + 3.0)

        failures = await house.dispatcher.make(a_job(order=soon), Seats((0,), (11,)), running)
        held.release()

    assert failures == [NOT_SENT]
    assert len(house.backend.calls) == 1
    assert [settlement.refunded for settlement in house.book.settlements] == [1, 0]


async def test_seats_can_be_given_back_unused(clock: FakeClock) -> None:
    house, running = Assembly(clock), RunningOrder("order-1")

    await house.dispatcher.give_back(a_job(n=2), Seats((0, 1), (10, 11)), running, NOT_SENT)

    assert house.backend.attempts == 0
    [settlement] = house.book.settlements
    assert (settlement.released, settlement.refunded, settlement.unknown) == ((10, 11), 2, 0)
    assert await told(running) == [
        CallFailed(positions=(0,), failure=NOT_SENT),
        CallFailed(positions=(1,), failure=NOT_SENT),
    ]


async def test_a_picture_the_store_lost_still_reaches_who_wants_its_bytes(clock: FakeClock) -> None:
    house, running = Assembly(clock), RunningOrder("order-1")
    house.store.is_full = True

    assert await house.dispatcher.make(a_job(), ONE, running) == []

    [ready] = await told(running)
    assert isinstance(ready, ImageReady)
    assert ready.data == b"picture 0"
    [settlement] = house.book.settlements
    assert settlement.made == ((None, ready.image),)
    assert (settlement.released, settlement.refunded, settlement.unknown) == ((10,), 0, 0)


async def test_a_picture_the_store_lost_has_no_link(clock: FakeClock) -> None:
    house, running = Assembly(clock), RunningOrder("order-1")
    house.store.is_full = True

    [failure] = await house.dispatcher.make(a_job(order=an_order(delivery=Delivery.URL)), ONE, running)

    assert (failure.kind, failure.billing) == (FailureKind.NOT_KEPT, Billing.BILLED)
    assert await told(running) == [CallFailed(positions=(0,), failure=failure)]
    [settlement] = house.book.settlements
    assert len(settlement.made) == 1
    assert (settlement.refunded, settlement.unknown) == (0, 0)
    assert len(house.telemetry.of(CostSettled)) == 1


async def test_an_order_without_a_pool_publishes_nothing_and_pays(clock: FakeClock) -> None:
    house, running = Assembly(clock), RunningOrder("order-1")

    await house.dispatcher.make(a_job(pool=None), ONE, running)

    [ready] = await told(running)
    assert isinstance(ready, ImageReady)
    [settlement] = house.book.settlements
    assert (settlement.made, settlement.released) == (((None, ready.image),), (10,))


async def test_who_waits_here_gets_the_image_with_its_bytes(clock: FakeClock) -> None:
    house = Assembly(clock)
    landing = await _landing_of(house)

    assert landing.data == b"picture 0"
    assert landing.image is not None


async def test_who_waits_here_meets_a_refusal_everybody_would_meet(clock: FakeClock) -> None:
    refusal = a_refusal()

    assert await _landing_of(Assembly(clock, refusal)) == Landing(failure=refusal)


async def test_who_waits_here_tries_again_what_failed_by_chance(clock: FakeClock) -> None:
    house = Assembly(clock, TIMED_OUT)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(house.flights.wait("pool", [10], left_s=900.0))
        await until_idle()
        await house.dispatcher.make(a_job(), ONE, RunningOrder("order-1"))

        assert await waiting == {}
    assert clock.monotonic_s() < 1001


async def test_a_call_cancelled_in_flight_leaves_its_bill_unknown(clock: FakeClock) -> None:
    held = Held()
    house = Assembly(clock, held)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(
            house.dispatcher.make(a_job(n=2), Seats((0, 1), (10, 11)), RunningOrder("order-1"))
        )
        await held.arrived.wait()
        task.cancel()

    assert house.book.settlements == []
    [settlement] = house.outbox.kept
    assert (settlement.released, settlement.unknown, settlement.refunded) == ((10, 11), 2, 0)
    assert settlement.part == "2.0"


async def test_a_call_that_only_this_process_knows_of_is_foretold_until_it_is_settled(
    clock: FakeClock,
) -> None:
    """Redis holds nothing for a local index: killed now, nobody would ever book it."""
    held = Held()
    house = Assembly(clock, held)
    job = a_job(order=an_order(deadline_s=clock.monotonic_s() + 300))
    async with asyncio.TaskGroup() as group:
        group.create_task(house.dispatcher.make(job, Seats((0,), (-1,)), RunningOrder("order-1")))
        await held.arrived.wait()
        [(foretold, after_s)] = house.outbox.foretold
        held.release()

    [settlement] = house.book.settlements
    assert (foretold.id, foretold.part) == (settlement.id, settlement.part)
    assert (foretold.unknown, foretold.released, foretold.made) == (1, (-1,), ())
    assert after_s == 300 + LEASE_S
    assert (house.outbox.foretold, house.outbox.kept) == ([], [])


async def test_what_redis_gave_needs_no_foretelling(clock: FakeClock) -> None:
    held = Held()
    house = Assembly(clock, held)
    async with asyncio.TaskGroup() as group:
        group.create_task(house.dispatcher.make(a_job(), ONE, RunningOrder("order-1")))
        await held.arrived.wait()
        foretold = list(house.outbox.foretold)
        held.release()

    assert foretold == []


async def test_a_foretold_call_that_is_cancelled_is_told_as_it_was(clock: FakeClock) -> None:
    held = Held(is_sent=False)
    house = Assembly(clock, held)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(house.dispatcher.make(a_job(), Seats((0,), (-1,)), RunningOrder("order-1")))
        await held.arrived.wait()
        task.cancel()

    assert house.outbox.foretold == []
    [settlement] = house.outbox.kept
    assert (settlement.refunded, settlement.unknown) == (1, 0)


async def test_a_call_cancelled_in_the_queue_was_never_sent(clock: FakeClock) -> None:
    held = Held()
    house = Assembly(clock, held, max_calls=1)
    async with asyncio.TaskGroup() as group:
        group.create_task(house.dispatcher.make(a_job(), ONE, RunningOrder("order-0")))
        await held.arrived.wait()
        task = group.create_task(house.dispatcher.make(a_job(), Seats((0,), (11,)), RunningOrder("order-1")))
        await until_idle()
        task.cancel()
        await until_idle()
        held.release()

    assert len(house.backend.calls) == 1
    [settlement] = house.outbox.kept
    assert (settlement.released, settlement.refunded, settlement.unknown) == ((11,), 1, 0)


async def test_a_call_cancelled_in_the_pace_was_never_sent(clock: FakeClock) -> None:
    paced = Held(is_sent=False)
    house = Assembly(clock, paced)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(house.dispatcher.make(a_job(), ONE, RunningOrder("order-1")))
        await paced.arrived.wait()
        task.cancel()

    assert house.backend.calls == []
    [settlement] = house.outbox.kept
    assert (settlement.refunded, settlement.unknown) == (1, 0)


async def test_what_was_made_is_settled_even_when_cancelled_while_settling(clock: FakeClock) -> None:
    house = Assembly(clock)
    house.book.may_finish.clear()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(house.dispatcher.make(a_job(), ONE, RunningOrder("order-1")))
        await house.book.finishing.wait()
        task.cancel()

    [settlement] = house.outbox.kept
    assert [index for index, _ in settlement.made] == [10]
    assert settlement.unknown == 0


async def test_what_is_given_back_is_given_back_even_when_cancelled_on_the_way(clock: FakeClock) -> None:
    house = Assembly(clock)
    house.book.may_finish.clear()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(house.dispatcher.give_back(a_job(), ONE, RunningOrder("order-1"), NOT_SENT))
        await house.book.finishing.wait()
        task.cancel()

    [settlement] = house.outbox.kept
    assert (settlement.released, settlement.refunded) == ((10,), 1)


@pytest.mark.parametrize("is_made", [True, False])
async def test_a_bug_in_a_call_still_gives_its_claims_up(clock: FakeClock, *, is_made: bool) -> None:
    house = Assembly(clock, a_call_made(b"bug") if is_made else ZeroDivisionError())

    with pytest.raises(ZeroDivisionError):
        await house.dispatcher.make(a_job(), ONE, RunningOrder("order-1"))

    [settlement] = [*house.book.settlements, *house.outbox.kept]
    assert settlement.released == (10,)


async def _landing_of(house: Assembly) -> Landing:
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(house.flights.wait("pool", [10], left_s=9.0))
        await asyncio.sleep(0)
        await house.dispatcher.make(a_job(), ONE, RunningOrder("order-1"))
    return (await waiting)[10]
