"""Orders and the queue: refused before they cost, left, and shared."""

import asyncio

from service.domain.errors import OrderFailed
from service.domain.failures import Billing, CallFailure, FailureKind
from service.domain.order import ImageOrder
from service.domain.progress import OrderFact
from service.gateway.order.attempt import NOT_SENT
from service.gateway.queue.durations import FEWEST
from tests.fakes.backend import Held
from tests.fakes.clock import FakeClock, until_idle
from tests.fakes.values import a_caller, a_failure, a_grant, an_order
from tests.gateway.assembly import Assembly, read
from tests.gateway.facts import error, images

UNBILLED = a_failure(kind=FailureKind.MISCONFIGURED, billing=Billing.NOT_BILLED)


def failure_of(facts: list[OrderFact]) -> CallFailure:
    failed = error(facts)
    assert isinstance(failed, OrderFailed)
    assert list(failed.failures) == [failed.failures[0]] * len(failed.failures)
    return failed.failures[0]


def a_distinct(clock: FakeClock, number: int, **fields: object) -> ImageOrder:
    """Return an order that no other equals."""
    deadline_s = clock.monotonic_s() + 30.0
    return an_order(**{"id": f"order-{number}", "prompt": f"{number}", "deadline_s": deadline_s, **fields})


async def busy(house: Assembly) -> Held:
    """Have the house know that calls take 4 s, and all slots taken by one."""
    for number in range(FEWEST):
        held = Held()
        house.backend.script.append(held)
        running = house.start(a_distinct(house.clock, number))
        await held.arrived.wait()
        await asyncio.sleep(4.0)
        held.release()
        await read(running)
    held = Held()
    house.backend.script.append(held)
    house.start(a_distinct(house.clock, FEWEST))
    await held.arrived.wait()
    house.book.settlements.clear()
    return held


async def test_an_order_that_cannot_be_answered_gives_back_its_holds_and_is_not_sent(
    clock: FakeClock,
) -> None:
    async with Assembly(clock, max_calls=1) as house:
        held = await busy(house)
        soon_s = clock.monotonic_s() + 6.0
        facts = await house.run(a_distinct(clock, 99, n=2, deadline_s=soon_s))
        assert clock.monotonic_s() < soon_s - 5.0
        held.release()

    failure = failure_of(facts)
    assert (failure.kind, failure.code) == (FailureKind.NOT_SENT, "overloaded")
    assert failure.retry_after_s is not None
    assert sum(each.refunded for each in house.book.settlements if each.ticket.id == "order-99") == 2
    assert all(call.prompt != "99" for call in house.backend.calls)


async def test_calls_for_many_images_say_nothing_of_a_call_for_one(clock: FakeClock) -> None:
    """A model that makes all images of an order in one call takes longer for ten."""
    async with Assembly(clock) as house:
        for number in range(FEWEST):
            held = Held()
            house.backend.script.append(held)
            running = house.start(a_distinct(clock, number, asked_model="dall-e-2", n=10))
            await held.arrived.wait()
            await asyncio.sleep(12.0)
            held.release()
            await read(running)
        soon_s = clock.monotonic_s() + 6.0
        one = await house.run(a_distinct(clock, 98, asked_model="dall-e-2", n=1, deadline_s=soon_s))
        ten = await house.run(a_distinct(clock, 99, asked_model="dall-e-2", n=10, deadline_s=soon_s))

    assert error(one) is None
    assert failure_of(ten).code == "overloaded"


async def test_who_leaves_the_queue_is_not_made_or_charged(clock: FakeClock) -> None:
    held = Held()
    async with Assembly(clock, held, max_calls=1) as house:
        first = house.start(an_order(id="order-1"))
        await held.arrived.wait()
        leaving = house.start(an_order(id="order-2", prompt="leaver", n=2))
        await until_idle()
        assert house.queue.length == 2
        leaving.abandon()
        await until_idle()
        assert house.queue.length == 0
        assert [each.refunded for each in house.book.settlements] == [1, 1]
        held.release()
        assert error(await read(first)) is None

    assert len(house.backend.calls) == 1
    assert house.state._leases == {}


async def test_a_call_that_others_wait_for_goes_on_without_its_first_order(clock: FakeClock) -> None:
    held = Held()
    async with Assembly(clock, held, max_calls=1) as house:
        house.start(an_order(id="order-1", prompt="other"))
        await held.arrived.wait()
        house.book.script.extend([a_grant(mine=(0, 1)), a_grant(awaited=(0,))])
        leaving = house.start(an_order(id="order-2", n=2))
        waiting = house.start(an_order(id="order-3"))
        await until_idle()
        leaving.abandon()
        await until_idle()
        assert house.queue.length == 1
        held.release()
        facts = await read(waiting)

    assert images(facts) == {0: ("coalesced", b"image 1")}
    assert len(house.backend.calls) == 2


async def test_a_call_is_made_at_the_turn_of_any_order_that_waits_for_it(clock: FakeClock) -> None:
    held = Held()
    async with Assembly(clock, held, max_calls=1) as house:
        house.start(a_distinct(clock, 0, caller=a_caller(user="many")))
        await held.arrived.wait()
        for number in range(1, 4):
            house.start(a_distinct(clock, number, caller=a_caller(user="many")))
        await until_idle()
        house.book.script.extend([a_grant(mine=(0,)), a_grant(awaited=(0,))])
        house.start(a_distinct(clock, 4, caller=a_caller(user="many")))
        await until_idle()
        house.start(a_distinct(clock, 4, id="order-5", caller=a_caller(user="few")))
        await until_idle()
        held.release()

    assert [call.prompt for call in house.backend.calls] == ["0", "1", "4", "2", "3"]


async def test_equal_orders_share_a_failure_that_cost_nothing(clock: FakeClock) -> None:
    held = Held()
    async with Assembly(clock, held) as house:
        house.book.script.append(a_grant(mine=(0,)))
        house.book.script.extend([a_grant(awaited=(0,))] * 29)
        orders = [house.start(an_order(id=f"order-{number}")) for number in range(30)]
        await held.arrived.wait()
        await until_idle()
        held.release(UNBILLED)
        failures = [failure_of(await read(each)) for each in orders]

        assert failures == [UNBILLED] * 30
        assert house.backend.attempts == 1
        # Once: the next order tries again.
        assert error(await house.run(an_order(id="order-30"))) is None


async def test_an_order_refused_for_its_own_time_says_nothing_of_equal_ones(clock: FakeClock) -> None:
    async with Assembly(clock, max_calls=1) as house:
        held = await busy(house)
        house.book.script.extend([a_grant(awaited=(0,)), a_grant(mine=(0,)), a_grant(mine=(0,))])
        patient = house.start(an_order(id="order-2", deadline_s=clock.monotonic_s() + 60.0))
        await until_idle()
        hurried = house.start(an_order(id="order-3", deadline_s=clock.monotonic_s() + 6.0))
        assert failure_of(await read(hurried)).kind is NOT_SENT.kind
        held.release()
        facts = await read(patient)

    [(source, _)] = images(facts).values()
    assert source == "made"


async def test_a_call_that_waits_is_not_booked_ahead(clock: FakeClock) -> None:
    held = Held()
    async with Assembly(clock, held, max_calls=1) as house:
        house.book.is_gone = True
        house.start(a_distinct(clock, 0))
        await held.arrived.wait()
        house.start(a_distinct(clock, 1))
        await until_idle()

        assert house.queue.length == 1
        assert len(house.journal.written_ahead) == 1
        held.release()


async def test_a_call_that_all_its_orders_have_left_is_not_sent(clock: FakeClock) -> None:
    held = Held()
    async with Assembly(clock, held, max_calls=1) as house:
        house.start(an_order(id="order-1", prompt="other"))
        await held.arrived.wait()
        house.book.script.extend([a_grant(mine=(0,)), *[a_grant(awaited=(0,))] * 2])
        orders = [house.start(an_order(id=f"order-{number}")) for number in (2, 3, 4)]
        await until_idle()
        for each in orders:
            each.abandon()
        held.release()

    assert len(house.backend.calls) == 1
