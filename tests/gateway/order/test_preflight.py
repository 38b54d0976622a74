"""What stands between an order and its calls; remembered refusals and moderation are `test_refusals.py`."""

from service.domain.errors import OrderFailed, StoreUnavailable
from service.domain.failures import FailureKind
from service.domain.images import Delivery
from service.domain.order import CacheControl
from service.domain.progress import CallFailed
from service.gateway.order.attempt import NOT_SENT
from service.ports.telemetry import OrderEnded
from tests.fakes.clock import FakeClock, until_idle
from tests.fakes.values import a_grant, an_order
from tests.gateway.assembly import Assembly
from tests.gateway.facts import error, images, of


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


async def test_links_are_not_paid_for_while_the_store_is_full(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.store.is_full = True
        facts = await house.run(an_order(n=2, delivery=Delivery.URL))

    assert isinstance(error(facts), StoreUnavailable)
    assert of(CallFailed, facts) == [CallFailed(positions=(i,), failure=NOT_SENT) for i in range(2)]
    assert house.backend.attempts == 0
    assert [settlement.refunded for settlement in house.book.settlements] == [1, 1]
    assert len(house.book.asks) == 1


async def test_a_failed_preflight_without_a_pool_wakes_no_order(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.store.is_full = True
        facts = await house.run(an_order(delivery=Delivery.URL, cache=CacheControl(keep=False)))

    assert isinstance(error(facts), StoreUnavailable)
    assert house.book.asks[0].ticket.pool is None


async def test_bytes_are_made_even_while_the_store_is_full(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.store.is_full = True
        facts = await house.run(an_order())

    assert images(facts) == {0: ("made", b"image 0")}
    assert error(facts) is None


async def test_a_store_that_fills_up_after_the_check_fails_a_paid_link(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.store.is_full = house.store.hides_it = True
        facts = await house.run(an_order(delivery=Delivery.URL))

    failed = error(facts)
    assert isinstance(failed, OrderFailed)
    assert failed.failures[0].kind is FailureKind.NOT_KEPT
    [ended] = house.telemetry.of(OrderEnded)
    assert (ended.record.failed, ended.record.unkept) == (1, 1)
    assert len(house.book.settlements[0].made) == 1


async def test_a_failed_preflight_ends_the_order_without_waiting(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.store.is_full = True
        house.book.script.append(a_grant(mine=(0,), awaited=(1,)))
        facts = await house.run(an_order(n=2, delivery=Delivery.URL))

    assert isinstance(error(facts), StoreUnavailable)
    assert len(house.book.asks) == 1
