"""Images that are there already."""

from service.domain.images import Delivery
from service.domain.progress import ImageReady
from service.ports.telemetry import Crashed, ImageForgotten
from tests.fakes.backend import Held
from tests.fakes.clock import FakeClock, until_idle
from tests.fakes.values import a_grant, a_reference, a_variant, an_order
from tests.gateway.assembly import Assembly, read
from tests.gateway.facts import error, images, keep, of, pool_of


async def test_a_hit_costs_nothing_and_has_an_age(clock: FakeClock) -> None:
    ready = a_variant(0, age_s=60.0)
    async with Assembly(clock) as house:
        keep(house, ready)
        house.book.script.append(a_grant(ready=(ready,)))
        facts = await house.run(an_order())

    [hit] = of(ImageReady, facts)
    assert (hit.image, hit.age_s, hit.data) == (ready.image, 60.0, b"d0")
    assert house.backend.attempts == 0
    assert house.book.settlements == []


async def test_a_link_to_a_hit_does_not_read_the_store(clock: FakeClock) -> None:
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

    assert images(facts) == {0: ("hit", b"d1"), 1: ("made", b"image 0")}
    forgotten, _made = house.book.settlements
    assert (forgotten.forgotten, forgotten.part) == (((0, "d0"),), "forget.0")
    assert (forgotten.ticket.pool, forgotten.made, forgotten.released) == (pool_of(house), (), ())
    again = house.book.asks[1]
    assert (again.n, again.round, again.used) == (1, 1, (0, 1))


async def test_the_place_of_a_missing_image_goes_to_a_call(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.book.script.extend([a_grant(ready=(a_variant(0),), mine=(1,)), a_grant(mine=(2,))])
        facts = await house.run(an_order(n=2))

    assert images(facts) == {0: ("made", b"image 0"), 1: ("made", b"image 1")}
    assert house.book.asks[1].used == (0, 1)


async def test_an_unreadable_store_cancels_no_call(clock: FakeClock) -> None:
    held = Held()
    async with Assembly(clock, held) as house:
        house.book.script.extend([a_grant(mine=(0,), awaited=(1,)), a_grant(ready=(a_variant(1),))])
        running = house.start(an_order(n=2))
        await held.arrived.wait()
        house.store.is_gone = True
        house.room.wake(pool_of(house), 1)
        await until_idle()
        house.store.is_gone = False
        held.release()
        facts = await read(running)

    assert house.telemetry.of(Crashed) == []
    assert 0 in images(facts)


async def test_an_unreadable_store_leaves_no_claims(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.store.is_gone = True
        house.book.script.append(a_grant(ready=(a_variant(0),), mine=(1,)))
        facts = await house.run(an_order(n=2))

    assert error(facts) is not None
    assert house.telemetry.of(Crashed) == []
    assert house.state._leases == {}


async def test_an_image_without_bytes_is_lost_and_its_team_refers_to_it_no_more(clock: FakeClock) -> None:
    gone = a_variant(0)
    async with Assembly(clock) as house:
        house.references.keep(a_reference(gone.image.name))
        house.book.script.extend([a_grant(ready=(gone,)), a_grant(mine=(1,))])
        await house.run(an_order())

    assert house.references.gone == {gone.image.name}
    assert set(house.references.leftovers) == {gone.image.name}
    assert house.telemetry.of(ImageForgotten) == [ImageForgotten(reason="lost")]


async def test_an_image_that_was_deleted_meanwhile_is_not_lost(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.references.keep(a_reference())
        house.book.script.extend([a_grant(ready=(a_variant(0),)), a_grant(mine=(1,))])
        await house.run(an_order())

    assert house.telemetry.of(ImageForgotten) == []


async def test_an_image_is_made_although_its_old_reference_stays(
    clock: FakeClock,
) -> None:
    async with Assembly(clock) as house:
        house.references.is_away = True
        house.book.script.extend([a_grant(ready=(a_variant(0),)), a_grant(mine=(1,))])
        facts = await house.run(an_order())

    assert images(facts) == {0: ("made", b"image 0")}
    assert error(facts) is None
    assert house.book.settlements[0].forgotten == ((0, "d0"),)


async def test_a_hit_is_read_no_longer_than_the_deadline(clock: FakeClock) -> None:
    ready = a_variant(0)
    order = an_order(deadline_s=clock.monotonic_s() + 6)
    async with Assembly(clock) as house:
        keep(house, ready)
        house.book.script.append(a_grant(ready=(ready,)))
        await house.run(order)

    assert house.store.deadlines_s == [order.deadline_s]
