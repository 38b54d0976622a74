"""Orders with an `Idempotency-Key`: how they are concluded, left to a twin, and answered as before."""

import asyncio

import pytest

from service.domain.errors import (
    CutOff,
    Draining,
    GatewayError,
    IdempotencyMismatch,
    ImageGone,
    OrderFailed,
    OrderUnderWay,
    RateLimited,
    StateUnavailable,
    StoreUnavailable,
)
from service.domain.failures import CallFailure, FailureKind
from service.domain.fingerprint import identify_order
from service.domain.images import Delivery, Image, Source
from service.domain.order import ImageOrder
from service.domain.progress import Admitted, ImageReady, OrderDone, OrderFact
from service.gateway.admission.shared import LEASE_S
from service.ports.admission import Conclusion, Grant, Settlement, Variant
from service.ports.telemetry import Crashed, OrderEnded
from tests.fakes.backend import Held
from tests.fakes.clock import FakeClock, until_idle
from tests.fakes.values import a_failure, a_grant, a_rate_limit, a_refusal, a_variant, an_image, an_order
from tests.gateway.assembly import KEYS, Assembly, read
from tests.gateway.facts import error

UNDER_WAY = a_grant(is_under_way=True)


def a_keyed_order(**override: object) -> ImageOrder:
    return an_order(**{"idempotency_key": "once", **override})


def images(facts: list[OrderFact]) -> list[Image]:
    return [fact.image for fact in facts if isinstance(fact, ImageReady)]


def last_of(settlements: list[Settlement]) -> Settlement:
    """Return the one settlement that ends the order."""
    [last] = [settlement for settlement in settlements if settlement.is_last]
    return last


async def test_an_order_without_a_key_is_not_concluded(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        await house.run(an_order())

    assert [ask.ticket.idempotency for ask in house.book.asks] == [None]
    assert [(each.ticket.idempotency, each.is_last) for each in house.book.settlements] == [(None, False)]


async def test_asks_and_settlements_have_the_hash_of_the_key(clock: FakeClock) -> None:
    order = a_keyed_order(n=2)
    async with Assembly(clock) as house:
        await house.run(order)

    expected = identify_order(KEYS.person, order)
    assert expected is not None
    assert "once" not in expected.key
    assert [ask.ticket.idempotency for ask in house.book.asks] == [expected]
    assert [each.ticket.idempotency for each in house.book.settlements] == [expected] * 3


@pytest.mark.parametrize("fails_too", [False, True])
async def test_an_answer_that_no_store_has_is_left_to_a_repeat(clock: FakeClock, *, fails_too: bool) -> None:
    """Concluded, its images would be gone for every repeat; left off, they are made again."""
    script = [a_refusal()] if fails_too else []
    async with Assembly(clock, *script) as house:
        house.store.is_full = house.store.hides_it = True
        facts = await house.run(a_keyed_order(n=2, delivery=Delivery.B64_JSON))

    assert len(images(facts)) == (1 if fails_too else 2)
    assert last_of(house.book.settlements).conclusion is None


async def test_a_complete_answer_is_final_and_comes_last(clock: FakeClock) -> None:
    held = [Held(), Held()]
    async with Assembly(clock, *held) as house:
        running = house.start(a_keyed_order(n=2))
        for each in reversed(held):
            await each.arrived.wait()
            each.release()
            await until_idle()
        facts = await read(running)

    told = {fact.position: fact.image for fact in facts if isinstance(fact, ImageReady)}
    *made, last = house.book.settlements
    assert last is last_of(house.book.settlements)
    assert last.conclusion == Conclusion(images=(told[0], told[1]))
    assert (last.part, last.fence, last.made, last.released) == ("last", "", (), ())
    assert [len(each.made) for each in made] == [1, 1]


async def test_a_refusal_is_final_with_the_codes_the_caller_got(clock: FakeClock) -> None:
    async with Assembly(clock, a_refusal()) as house:
        failed = error(await house.run(a_keyed_order()))

    assert isinstance(failed, OrderFailed)
    assert [failure.code for failure in failed.failures] == ["content_policy_violation"]
    assert last_of(house.book.settlements).conclusion == Conclusion(failures=failed.failures)


async def test_an_invalid_order_is_final(clock: FakeClock) -> None:
    invalid = a_failure(kind=FailureKind.INVALID, param="size")
    async with Assembly(clock, invalid) as house:
        await house.run(a_keyed_order())

    assert last_of(house.book.settlements).conclusion == Conclusion(failures=(invalid,))


@pytest.mark.parametrize(
    ("n", "script"),
    [
        # Somebody else may fare better.
        (1, (a_failure(kind=FailureKind.BROKEN),)),
        (2, (a_refusal(), a_failure(kind=FailureKind.BROKEN))),
        # An image is there: the next attempt shall have it.
        (2, (a_refusal(),)),
    ],
)
async def test_an_answer_with_transient_failures_may_be_resumed(
    clock: FakeClock, n: int, script: tuple[CallFailure, ...]
) -> None:
    async with Assembly(clock, *script) as house:
        failed = error(await house.run(a_keyed_order(n=n)))

    assert isinstance(failed, OrderFailed)
    assert last_of(house.book.settlements).conclusion is None


async def test_an_order_past_its_deadline_may_be_resumed(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.book.script.extend([a_grant(awaited=(0,))] * 100)
        await house.run(a_keyed_order(deadline_s=clock.monotonic_s() + 5.0))

    assert last_of(house.book.settlements).conclusion is None


@pytest.mark.parametrize("ready", [(), (a_variant(1),)])
async def test_a_waiter_without_a_reader_may_be_resumed(clock: FakeClock, ready: tuple[Variant, ...]) -> None:
    """It ends without an error, and without all of its images."""
    async with Assembly(clock) as house:
        house.book.script.append(a_grant(ready=ready, awaited=(0,)))
        running = house.start(a_keyed_order(n=1 + len(ready), delivery=Delivery.URL))
        await until_idle()
        running.abandon()
        await asyncio.sleep(LEASE_S)

        assert house.runner._orders == set()
    assert last_of(house.book.settlements).conclusion is None
    assert len(house.book.asks) == 1


async def test_an_unread_answer_is_final(clock: FakeClock) -> None:
    held = Held()
    async with Assembly(clock, held) as house:
        running = house.start(a_keyed_order())
        await held.arrived.wait()
        running.abandon()
        held.release()

    conclusion = last_of(house.book.settlements).conclusion
    assert conclusion is not None
    assert [image.name for image in conclusion.images] == list(house.store.blobs)


async def test_an_order_cut_off_by_the_drain_may_be_resumed(clock: FakeClock) -> None:
    house = Assembly(clock, Held(), drain_s=5.0)
    async with house:
        running = house.start(a_keyed_order(n=2, deadline_s=clock.monotonic_s() + 500.0))
        await until_idle()

    assert isinstance(error(await read(running)), CutOff)
    assert last_of(house.book.settlements).conclusion is None
    assert house.book.settlements[-1].is_last
    assert house.journal.kept == []


async def test_an_order_cut_off_while_it_concludes_is_complete(clock: FakeClock) -> None:
    house = Assembly(clock, drain_s=5.0)
    async with house:
        house.book.script.append(a_grant(ready=(a_variant(0),)))
        house.book.may_finish.clear()
        running = house.start(a_keyed_order(delivery=Delivery.URL))
        await house.book.finishing.wait()

    assert error(await read(running)) is None
    assert last_of(house.journal.kept).conclusion == Conclusion(images=(a_variant(0).image,))


@pytest.mark.parametrize("refusal", [a_rate_limit(), IdempotencyMismatch()])
async def test_an_order_that_was_not_admitted_concludes_nothing(
    clock: FakeClock, refusal: GatewayError
) -> None:
    async with Assembly(clock) as house:
        house.book.script.append(refusal)

        assert await house.run(a_keyed_order()) == [OrderDone(error=refusal)]
    assert (house.book.settlements, house.journal.kept) == ([], [])
    assert house.telemetry.of(Crashed) == []


async def test_an_order_refused_while_it_waits_may_be_resumed(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.book.script.extend([a_grant(awaited=(0,)), a_rate_limit()])

        assert isinstance(error(await house.run(a_keyed_order())), RateLimited)
    assert last_of(house.book.settlements).conclusion is None


async def test_an_order_with_a_bug_may_be_resumed(clock: FakeClock) -> None:
    async with Assembly(clock, ZeroDivisionError()) as house:
        await house.run(a_keyed_order())

    assert len(house.telemetry.of(Crashed)) == 1
    settlements = house.book.settlements + house.journal.kept
    assert last_of(settlements).conclusion is None


async def test_an_order_with_a_key_is_refused_without_redis(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.book.is_gone = True
        facts = await house.run(a_keyed_order())

    failed = error(facts)
    assert isinstance(failed, StateUnavailable)
    assert (failed.reason, len(facts), house.backend.attempts) == ("degraded", 1, 0)
    # Redis may have heard it: that is given up.
    assert last_of(house.journal.kept).part == "0.unheard"


async def test_an_order_waits_for_its_twin_and_repeats_the_answer(clock: FakeClock) -> None:
    image = an_image()
    async with Assembly(clock) as house:
        house.book.script.extend([UNDER_WAY, UNDER_WAY, a_grant(conclusion=Conclusion(images=(image,)))])
        started_s = clock.monotonic_s()
        facts = await house.run(a_keyed_order(delivery=Delivery.URL))

    assert facts == [
        Admitted(limits=(), degraded=False, pending=0, is_replayed=True),
        ImageReady(position=0, image=image, source=Source.HIT, age_s=clock.wall_s() - image.created_s),
        OrderDone(),
    ]
    assert clock.monotonic_s() - started_s == pytest.approx(1.0, abs=0.01)
    assert [(ask.ticket.id, ask.round) for ask in house.book.asks] == [("order-1", 0)] * 3


async def test_an_order_resumes_its_twin(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.book.script.append(UNDER_WAY)
        house.book.script.append(a_grant(ready=(a_variant(3),), mine=(4,)))
        house.store.blobs[a_variant(3).image.name] = b"d3"
        facts = await house.run(a_keyed_order(n=2))

    assert facts[0] == Admitted(limits=(), degraded=False, pending=1)
    assert error(facts) is None
    conclusion = last_of(house.book.settlements).conclusion
    assert conclusion == Conclusion(images=tuple(images(facts)))


async def test_a_twin_beyond_the_deadline_is_an_error(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.book.script.extend([UNDER_WAY] * 100)
        started_s = clock.monotonic_s()
        facts = await house.run(a_keyed_order(deadline_s=started_s + 1.7))

    assert isinstance(error(facts), OrderUnderWay)
    assert len(facts) == 1
    assert clock.monotonic_s() - started_s == pytest.approx(1.7, abs=0.01)
    # Its key is the twin's.
    assert house.book.settlements == []


async def test_an_order_without_a_reader_waits_for_no_twin(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.book.script.extend([UNDER_WAY] * 2)
        running = house.start(a_keyed_order())
        await until_idle()
        running.abandon()

    assert len(house.book.asks) == 1
    assert (house.book.settlements, house.backend.attempts) == ([], 0)


async def test_a_wait_for_a_twin_that_is_cut_off_concludes_nothing(clock: FakeClock) -> None:
    house = Assembly(clock, drain_s=0.2)
    async with house:
        house.book.script.append(UNDER_WAY)
        running = house.start(a_keyed_order())
        await until_idle()

    assert isinstance(error(await read(running)), Draining)
    assert (house.book.settlements, house.journal.kept) == ([], [])


async def test_bytes_are_read_again_for_a_repeated_answer(clock: FakeClock) -> None:
    kept = (an_image("a"), an_image("b"))
    async with Assembly(clock) as house:
        house.store.blobs = {image.name: image.digest.encode() for image in kept}
        house.book.script.append(a_grant(conclusion=Conclusion(images=kept)))
        facts = await house.run(a_keyed_order(n=2))

    told = [fact for fact in facts if isinstance(fact, ImageReady)]
    assert [(fact.position, fact.image, fact.data) for fact in told] == [
        (0, kept[0], b"a"),
        (1, kept[1], b"b"),
    ]
    assert error(facts) is None


async def test_a_repeated_answer_is_neither_counted_nor_paid_nor_concluded(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.book.script.append(a_grant(conclusion=Conclusion(images=(an_image(),))))
        await house.run(a_keyed_order(delivery=Delivery.URL))

    assert (house.backend.attempts, house.book.settlements, house.journal.kept) == (0, [], [])
    [ended] = house.telemetry.of(OrderEnded)
    assert (ended.outcome, ended.cache, ended.record.is_replayed) == ("delivered", "hit", True)
    assert house.state._leases == {}


async def test_a_repeated_refusal_is_identical(clock: FakeClock) -> None:
    refusal = a_refusal(code="content_policy_violation", type="invalid_request_error")
    async with Assembly(clock) as house:
        house.book.script.append(a_grant(conclusion=Conclusion(failures=(refusal,))))
        facts = await house.run(a_keyed_order())

    failed = error(facts)
    assert isinstance(failed, OrderFailed)
    assert (failed.failures, failed.kept) == ((refusal,), 0)
    assert facts[0] == Admitted(limits=(), degraded=False, pending=0, is_replayed=True)
    assert (house.backend.attempts, house.book.settlements) == (0, [])


@pytest.mark.parametrize("delivery", Delivery)
async def test_an_image_that_is_not_kept_cannot_be_repeated(clock: FakeClock, delivery: Delivery) -> None:
    kept, gone = an_image("kept"), an_image("gone")
    async with Assembly(clock) as house:
        # Its bytes may still lie there for another team.
        house.store.blobs = {image.name: b"image" for image in (kept, gone)}
        house.references.gone.add(gone.name)
        house.book.script.append(a_grant(conclusion=Conclusion(images=(kept, gone))))
        facts = await house.run(a_keyed_order(n=2, delivery=delivery))

    assert isinstance(error(facts), ImageGone)
    assert images(facts) == [kept]
    assert house.backend.attempts == 0


async def test_an_image_whose_bytes_are_lost_cannot_be_repeated(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.book.script.append(a_grant(conclusion=Conclusion(images=(an_image(),))))
        facts = await house.run(a_keyed_order())

    assert isinstance(error(facts), ImageGone)


async def test_a_broken_store_is_no_missing_image(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        house.store.is_gone = True
        house.book.script.append(a_grant(conclusion=Conclusion(images=(an_image(),))))
        facts = await house.run(a_keyed_order())

    assert isinstance(error(facts), StoreUnavailable)
    assert house.telemetry.of(Crashed) == []


async def test_surplus_indices_are_given_back(clock: FakeClock) -> None:
    """The answer to its first ask was lost, and until the second an image was made that it resumes."""
    resumed = a_variant(3)
    async with Assembly(clock) as house:
        house.book.script.append(a_grant(ready=(resumed,), resumed=1, mine=(0, 1)))
        facts = await house.run(a_keyed_order(n=2, delivery=Delivery.URL))

    assert error(facts) is None
    assert len(images(facts)) == 2
    assert len(house.backend.calls) == 1
    [surplus] = [each for each in house.book.settlements if each.released]
    assert (surplus.released, surplus.refunded, surplus.unknown) == ((1,), 1, 0)


@pytest.mark.parametrize("is_away", [False, True])
async def test_a_deleted_image_is_not_resumed_unless_redis_is_away(
    clock: FakeClock, *, is_away: bool
) -> None:
    """Such images come from the key, not from a pool that deletion empties."""
    deleted, pooled = a_variant(3), a_variant(0)
    async with Assembly(clock) as house:
        house.references.gone.update({deleted.image.name, pooled.image.name})
        house.references.is_away = is_away
        house.book.script.append(a_grant(ready=(deleted, pooled), resumed=1))
        facts = await house.run(a_keyed_order(n=2, delivery=Delivery.URL))

    made = {image.name for image in images(facts)} - {deleted.image.name, pooled.image.name}
    assert pooled.image in images(facts)
    assert (deleted.image in images(facts)) is is_away
    assert len(made) == (0 if is_away else 1)
    assert house.book.asks[-1].used == (() if is_away else (3, 0))


@pytest.mark.parametrize("taken_over", [UNDER_WAY, a_grant(conclusion=Conclusion(images=(an_image(),)))])
async def test_a_key_taken_over_meanwhile_belongs_to_its_new_order(
    clock: FakeClock, taken_over: Grant
) -> None:
    async with Assembly(clock) as house:
        house.book.script.extend([a_grant(awaited=(0,)), taken_over])
        facts = await house.run(a_keyed_order(delivery=Delivery.URL))

    assert isinstance(error(facts), OrderUnderWay)
    assert images(facts) == []
    assert last_of(house.book.settlements).conclusion is None
