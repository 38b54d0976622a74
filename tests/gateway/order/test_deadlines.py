"""Calls of orders that others wait for: made once, for as long as the most patient order waits."""

import asyncio

import pytest

from service.domain.errors import DeadlineExceeded, OrderFailed
from service.domain.failures import Billing, FailureKind
from service.domain.order import CacheControl, ImageOrder
from service.gateway.order.runner import RunningOrder
from tests.fakes.backend import Held
from tests.fakes.clock import FakeClock, until_idle
from tests.fakes.values import a_failure, a_grant, an_order
from tests.gateway.assembly import Assembly, read
from tests.gateway.facts import error, images

UNKNOWN = a_failure(kind=FailureKind.BROKEN, billing=Billing.UNKNOWN)


def an_order_of(house: Assembly, name: str, left_s: float, **fields: object) -> ImageOrder:
    return an_order(**{"id": name, "deadline_s": house.clock.monotonic_s() + left_s, **fields})


async def start(
    house: Assembly, hurried: ImageOrder, patient: ImageOrder
) -> tuple[RunningOrder, RunningOrder]:
    """Start an order, and another that waits for its last image."""
    mine = tuple(range(hurried.n))
    house.book.script.extend([a_grant(mine=mine), *[a_grant(awaited=mine[-1:])] * 500])
    orders = house.start(hurried), house.start(patient)
    await until_idle()
    return orders


async def test_a_call_lasts_as_long_as_the_most_patient_order_waits_for_it(clock: FakeClock) -> None:
    held = Held()
    async with Assembly(clock, held) as house:
        began_s = clock.monotonic_s()
        hurried, patient = await start(
            house, an_order_of(house, "hurried", 10.0), an_order_of(house, "patient", 60.0)
        )
        late = error(await read(hurried))
        assert clock.monotonic_s() - began_s == pytest.approx(10.0)
        await asyncio.sleep(5.0)
        held.release()
        facts = await read(patient)

    assert isinstance(late, DeadlineExceeded)
    # A repeat gets the image, or waits for it.
    assert not late.pays_again
    assert images(facts) == {0: ("coalesced", b"image 0")}
    assert len(house.backend.calls) == 1
    [settlement] = house.book.settlements
    assert (settlement.ticket.id, len(settlement.made), settlement.unknown) == ("hurried", 1, 0)
    assert house.in_flight == {}


async def test_an_order_that_waits_before_the_call_takes_its_turn_counts_too(clock: FakeClock) -> None:
    held = Held()
    async with Assembly(clock, held) as house:
        house.book.script.extend([a_grant(awaited=(0,)), a_grant(mine=(0,)), *[a_grant(awaited=(0,))] * 500])
        patient = house.start(an_order_of(house, "patient", 60.0))
        await until_idle()
        asked = len(house.book.asks)
        hurried = house.start(an_order_of(house, "hurried", 0.1))
        late = error(await read(hurried))
        assert len(house.book.asks) == asked + 1
        held.release()
        facts = await read(patient)

    assert isinstance(late, DeadlineExceeded)
    assert images(facts) == {0: ("coalesced", b"image 0")}
    assert len(house.backend.calls) == 1


async def test_calls_that_nobody_else_waits_for_end_at_the_deadline_of_their_order(clock: FakeClock) -> None:
    own, shared = Held(), Held()
    async with Assembly(clock, own, shared) as house:
        hurried, patient = await start(
            house, an_order_of(house, "hurried", 10.0, n=2), an_order_of(house, "patient", 60.0)
        )
        late = error(await read(hurried))
        shared.release()
        facts = await read(patient)

    assert isinstance(late, OrderFailed)
    assert [failure.kind for failure in late.failures] == [FailureKind.TIMED_OUT]
    assert late.pays_again
    assert images(facts) == {0: ("coalesced", b"image 0")}
    assert sorted((len(each.made), each.unknown) for each in house.book.settlements) == [(0, 1), (1, 0)]


async def test_a_call_in_the_queue_is_sent_in_the_time_of_the_most_patient_order(clock: FakeClock) -> None:
    busy, held = Held(), Held()
    async with Assembly(clock, busy, held, max_calls=1) as house:
        house.start(an_order_of(house, "other", 300.0, prompt="other"))
        await busy.arrived.wait()
        hurried, patient = await start(
            house, an_order_of(house, "hurried", 10.0), an_order_of(house, "patient", 60.0)
        )
        assert isinstance(error(await read(hurried)), DeadlineExceeded)
        busy.release()
        await held.arrived.wait()
        held.release()
        facts = await read(patient)

    assert images(facts) == {0: ("coalesced", b"image 1")}
    assert len(house.backend.calls) == 2


async def test_a_key_is_concluded_with_the_image_that_came_after_the_answer(clock: FakeClock) -> None:
    held = Held()
    async with Assembly(clock, held) as house:
        hurried, patient = await start(
            house,
            an_order_of(house, "hurried", 10.0, idempotency_key="once"),
            an_order_of(house, "patient", 60.0),
        )
        assert isinstance(error(await read(hurried)), DeadlineExceeded)
        assert not any(each.is_last for each in house.book.settlements)
        held.release()
        await read(patient)

    [last] = [each for each in house.book.settlements if each.is_last]
    assert last.conclusion is not None
    assert len(last.conclusion.images) == 1


async def test_a_repeat_that_cannot_find_the_image_is_told_not_to_pay_again(clock: FakeClock) -> None:
    held = Held()
    async with Assembly(clock, held) as house:
        hurried, patient = await start(
            house,
            an_order_of(house, "hurried", 10.0, cache=CacheControl(reuse=False)),
            an_order_of(house, "patient", 60.0),
        )
        late = error(await read(hurried))
        held.release()
        await read(patient)

    assert isinstance(late, DeadlineExceeded)
    assert late.pays_again


async def test_a_call_that_fails_after_the_answer_is_booked(clock: FakeClock) -> None:
    held = Held()
    async with Assembly(clock, held) as house:
        hurried, patient = await start(
            house, an_order_of(house, "hurried", 10.0), an_order_of(house, "patient", 60.0)
        )
        await read(hurried)
        house.book.script.clear()
        house.book.script.append(a_grant(mine=(1,)))
        held.release(UNKNOWN)
        facts = await read(patient)

    # An unknown outcome is no reason to give up for an order that has time.
    assert images(facts) == {0: ("made", b"image 0")}
    assert sorted((len(each.made), each.unknown) for each in house.book.settlements) == [(0, 1), (1, 0)]


async def test_ever_new_orders_do_not_keep_a_call_that_hangs(clock: FakeClock) -> None:
    whole_s = 300.0
    async with Assembly(clock, Held()) as house:
        began_s = clock.monotonic_s()
        await start(house, an_order_of(house, "hurried", 10.0), an_order_of(house, "patient", whole_s))
        for number in range(4):
            await asyncio.sleep(60.0)
            house.start(an_order_of(house, f"later-{number}", whole_s))
        await asyncio.sleep(began_s + whole_s - clock.monotonic_s() - 1.0)
        assert house.backend.in_flight == 1
        house.book.script.clear()
        await asyncio.sleep(2.0)
        assert house.backend.in_flight == 0

    assert sum(each.unknown for each in house.book.settlements) == 1


async def test_an_order_that_comes_too_late_for_a_call_does_not_revive_it(clock: FakeClock) -> None:
    async with Assembly(clock, Held()) as house:
        house.book.script.extend([a_grant(mine=(0,)), a_grant(awaited=(0,)), a_grant(mine=(1,))])
        hurried = house.start(an_order_of(house, "hurried", 10.0))
        house.book.may_finish.clear()
        await asyncio.sleep(10.1)
        patient = house.start(an_order_of(house, "patient", 60.0))
        await until_idle()
        house.book.may_finish.set()
        failed, facts = error(await read(hurried)), await read(patient)

    assert isinstance(failed, OrderFailed)
    assert images(facts) == {0: ("made", b"image 0")}
