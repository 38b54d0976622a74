import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from service.domain.failures import Billing, CallFailure, FailureKind
from service.domain.order import ImageOrder
from service.gateway.order.keep import Kept, Outcome
from service.gateway.order.make import Batch
from service.gateway.queue.durations import Kind
from service.ports.admission import Ask
from tests.fakes.backend import Held
from tests.fakes.clock import FakeClock, until_idle
from tests.fakes.values import (
    USAGE,
    a_call_made,
    a_failure,
    a_limit,
    a_refusal,
    a_sent_order,
    an_ask,
    an_order,
)
from tests.gateway.assembly import Assembly

IMAGES = a_limit(resource="images")
ONE = Batch((0,), (10,))
TIMED_OUT = a_failure(kind=FailureKind.TIMED_OUT, billing=Billing.UNKNOWN)


def an_ask_for(pool: str | None = "pool") -> Ask:
    return an_ask(round=2, pool=pool, limits=(IMAGES,), estimate_microusd=5, safety_identifier="hash")


async def make(
    house: Assembly,
    batch: Batch = ONE,
    *,
    order: ImageOrder | None = None,
    pool: str | None = "pool",
    stages: list[bytes] | None = None,
) -> list[Outcome]:
    """Make *batch* of an order that obtained its indices in its third ask."""

    def show(_: int, data: bytes, __: Mapping[str, str]) -> None:
        (stages if stages is not None else []).append(data)

    sent = a_sent_order(images_per_call=len(batch.places))
    order, ask = order or an_order(), an_ask_for(pool)
    [turn] = house.maker.make_turns(order, sent, ask, [batch], lambda _: True)
    end = await house.maker.make(order, sent, ask, batch, turn, show)
    return end.outcomes


def bytes_of(outcomes: list[Outcome]) -> list[bytes | None]:
    """Return the bytes of each image that was made."""
    return [outcome.data for outcome in outcomes if isinstance(outcome, Kept)]


def failures_of(outcomes: list[Outcome]) -> list[CallFailure]:
    return [outcome for outcome in outcomes if isinstance(outcome, CallFailure)]


async def test_a_call_is_made_and_settled(clock: FakeClock) -> None:
    house = Assembly(clock)

    [kept] = await make(house)

    assert isinstance(kept, Kept)
    assert (kept.data, kept.is_stored) == (b"image 0", True)
    [call] = house.backend.calls
    assert (call.model, call.n, call.safety_identifier) == ("gpt-image-2.6-flare", 1, "hash")
    [settlement] = house.book.settlements
    assert settlement.made == ((10, kept.image),)
    assert (settlement.released, settlement.refunded, settlement.unknown) == ((), 0, 0)
    assert (settlement.fence, settlement.part) == ("order-1.2", "2.0")
    assert settlement.ticket == an_ask_for().ticket


async def test_the_images_of_one_call_keep_their_order(clock: FakeClock) -> None:
    house = Assembly(clock)

    outcomes = await make(house, Batch((4, 5, 7), (10, 11, 12)))

    assert bytes_of(outcomes) == [b"image 0", b"image 1", b"image 2"]
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
async def test_a_failed_call_is_settled_by_its_billing(
    clock: FakeClock, failure: CallFailure, refunded: int, unknown: int
) -> None:
    house = Assembly(clock, failure)

    assert await make(house, Batch((0, 1), (10, 11))) == [failure, failure]

    [settlement] = house.book.settlements
    assert (settlement.made, settlement.released) == ((), (10, 11))
    assert (settlement.refunded, settlement.unknown) == (refunded, unknown)


@pytest.mark.parametrize(
    ("usage", "billing", "unknown"),
    [(USAGE, Billing.BILLED, 0), (None, Billing.UNKNOWN, 1)],
    ids=["counted", "uncounted"],
)
async def test_too_few_images_are_a_failure_of_the_missing_ones(
    clock: FakeClock, usage: dict[str, Any] | None, billing: Billing, unknown: int
) -> None:
    house = Assembly(clock, a_call_made(b"a", usage=usage))

    outcomes = await make(house, Batch((0, 1), (10, 11)))

    assert bytes_of(outcomes[:1]) == [b"a"]
    [failure] = failures_of(outcomes[1:])
    assert (failure.kind, failure.billing) == (FailureKind.BROKEN, billing)
    [settlement] = house.book.settlements
    assert [index for index, _ in settlement.made] == [10]
    assert (settlement.released, settlement.refunded, settlement.unknown) == ((11,), 0, unknown)


async def test_more_images_than_asked_are_not_handed_out(clock: FakeClock) -> None:
    house = Assembly(clock, a_call_made(b"a", b"b"))

    outcomes = await make(house)

    assert len(outcomes) == 1
    assert bytes_of(outcomes) == [b"a"]
    [(_, image)] = house.book.settlements[0].made
    assert image.cost_microusd == 50 * 5 + 1756 * 30


async def test_a_broken_image_fails_alone(clock: FakeClock) -> None:
    house = Assembly(clock, a_call_made(b"a", b"broken", usage=None))

    outcomes = await make(house, Batch((0, 1), (10, 11)))

    assert bytes_of(outcomes[:1]) == [b"a"]
    assert [failure.kind for failure in failures_of(outcomes[1:])] == [FailureKind.BROKEN]
    assert house.book.settlements[0].unknown == 1


async def test_one_failing_call_leaves_its_siblings_alone(clock: FakeClock) -> None:
    slow = Held()
    house = Assembly(clock, slow, a_refusal())
    async with asyncio.TaskGroup() as group:
        first = group.create_task(make(house, Batch((0,), (10,))))
        await slow.arrived.wait()
        second = group.create_task(make(house, Batch((1,), (11,))))
        await until_idle()
        assert second.done()

        slow.release()

    assert bytes_of(await first) == [b"image 0"]
    assert [failure.kind for failure in failures_of(await second)] == [FailureKind.REFUSED]


async def test_calls_are_bounded(clock: FakeClock) -> None:
    held = [Held() for _ in range(5)]
    house = Assembly(clock, *held, max_calls=2)
    async with asyncio.TaskGroup() as group:
        for place in range(5):
            group.create_task(make(house, Batch((place,), (place,))))
        for one in held:
            await until_idle()
            assert house.backend.in_flight <= 2
            one.release()

    assert house.backend.most_in_flight == 2
    assert len(house.backend.calls) == 5


async def test_a_failed_call_frees_its_slot(clock: FakeClock) -> None:
    house = Assembly(clock, a_refusal(), a_refusal(), max_calls=1)

    await make(house)
    await make(house)

    assert failures_of(await make(house)) == []


async def test_a_deadline_in_the_queue_costs_nothing(clock: FakeClock) -> None:
    held = Held()
    house = Assembly(clock, held, max_calls=1)
    async with asyncio.TaskGroup() as group:
        group.create_task(make(house))
        await held.arrived.wait()
        soon = an_order(deadline_s=clock.monotonic_s() + 3.0)

        outcomes = await make(house, Batch((0,), (11,)), order=soon)
        held.release()

    [failure] = failures_of(outcomes)
    assert (failure.kind, failure.code) == (FailureKind.NOT_SENT, "overloaded")
    assert len(house.backend.calls) == 1
    assert [settlement.refunded for settlement in house.book.settlements] == [1, 0]


async def test_batches_can_be_given_back_unused(clock: FakeClock) -> None:
    house = Assembly(clock)

    await house.maker.give_back(an_ask_for(), [Batch((0, 1), (10, 11)), Batch((2,), (12,))])

    assert house.backend.attempts == 0
    given_back = [
        (settlement.released, settlement.refunded, settlement.unknown)
        for settlement in house.book.settlements
    ]
    assert given_back == [((10, 11), 2, 0), ((12,), 1, 0)]


async def test_an_image_that_was_not_stored_is_paid_and_not_published(clock: FakeClock) -> None:
    house = Assembly(clock)
    house.store.is_full = True

    [kept] = await make(house)

    assert isinstance(kept, Kept)
    assert (kept.data, kept.is_stored) == (b"image 0", False)
    [settlement] = house.book.settlements
    assert (settlement.made, settlement.unstored) == (((None, kept.image),), (kept.image.digest,))
    assert (settlement.released, settlement.refunded, settlement.unknown) == ((10,), 0, 0)


async def test_an_order_without_a_pool_publishes_nothing_and_pays(clock: FakeClock) -> None:
    house = Assembly(clock)

    [kept] = await make(house, pool=None)

    assert isinstance(kept, Kept)
    [settlement] = house.book.settlements
    assert (settlement.made, settlement.released) == (((None, kept.image),), (10,))


async def test_a_call_cancelled_in_flight_leaves_its_bill_unknown(clock: FakeClock) -> None:
    held = Held()
    house = Assembly(clock, held)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(make(house, Batch((0, 1), (10, 11))))
        await held.arrived.wait()
        task.cancel()

    assert house.book.settlements == []
    [settlement] = house.journal.kept
    assert (settlement.released, settlement.unknown, settlement.refunded) == ((10, 11), 2, 0)
    assert settlement.part == "2.0"


async def test_the_settlement_of_a_local_grant_is_written_ahead(
    clock: FakeClock,
) -> None:
    """Redis holds nothing for a local index: a kill now would leave it unbooked."""
    held = Held()
    house = Assembly(clock, held)
    async with asyncio.TaskGroup() as group:
        group.create_task(make(house, Batch((0,), (-1,))))
        await held.arrived.wait()
        [written_ahead] = house.journal.written_ahead
        held.release()

    [settlement] = house.book.settlements
    assert (written_ahead.ticket.id, written_ahead.part) == (settlement.ticket.id, settlement.part)
    assert (written_ahead.unknown, written_ahead.released, written_ahead.made) == (1, (-1,), ())
    assert (house.journal.written_ahead, house.journal.kept) == ([], [])


async def test_nothing_is_made_that_neither_redis_nor_the_journal_takes(clock: FakeClock) -> None:
    house = Assembly(clock)
    house.book.is_gone = house.journal.is_full = True

    outcomes = await make(house, Batch((0, 1), (-1, -2)))

    assert house.backend.calls == []
    failed = (FailureKind.NOT_SENT, Billing.NOT_BILLED, "state_unavailable")
    assert [(each.kind, each.billing, each.code) for each in failures_of(outcomes)] == [failed] * 2
    [settlement] = house.journal.kept
    assert (settlement.released, settlement.refunded, settlement.unknown) == ((-1, -2), 2, 0)


async def test_nothing_is_made_while_the_disk_of_the_journal_hangs(clock: FakeClock) -> None:
    house = Assembly(clock)
    house.book.is_gone = house.journal.hangs = True

    [failure] = failures_of(await make(house, Batch((0,), (-1,))))

    assert (house.backend.calls, failure.code) == ([], "state_unavailable")


async def test_what_redis_granted_is_made_with_a_full_journal(clock: FakeClock) -> None:
    house = Assembly(clock)
    house.journal.is_full = True

    await make(house)

    assert len(house.backend.calls) == 1


async def test_an_order_that_is_cut_off_while_it_is_written_ahead_is_settled(clock: FakeClock) -> None:
    house = Assembly(clock)
    house.journal.hangs = True
    async with asyncio.TaskGroup() as group:
        task = group.create_task(make(house, Batch((0,), (-1,))))
        await until_idle()
        task.cancel()

    assert house.backend.calls == []
    [settlement] = house.journal.kept
    assert (settlement.refunded, settlement.unknown, house.journal.written_ahead) == (1, 0, [])


async def test_grants_of_redis_are_not_written_ahead(clock: FakeClock) -> None:
    held = Held()
    house = Assembly(clock, held)
    async with asyncio.TaskGroup() as group:
        group.create_task(make(house))
        await held.arrived.wait()
        written_ahead = list(house.journal.written_ahead)
        held.release()

    assert written_ahead == []


async def test_a_cancelled_call_replaces_its_settlement_written_ahead(clock: FakeClock) -> None:
    held = Held(is_sent=False)
    house = Assembly(clock, held)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(make(house, Batch((0,), (-1,))))
        await held.arrived.wait()
        task.cancel()

    assert house.journal.written_ahead == []
    [settlement] = house.journal.kept
    assert (settlement.refunded, settlement.unknown) == (1, 0)


async def test_a_call_cancelled_in_the_queue_was_never_sent(clock: FakeClock) -> None:
    held = Held()
    house = Assembly(clock, held, max_calls=1)
    async with asyncio.TaskGroup() as group:
        group.create_task(make(house))
        await held.arrived.wait()
        task = group.create_task(make(house, Batch((0,), (11,))))
        await until_idle()
        task.cancel()
        await until_idle()
        held.release()

    assert len(house.backend.calls) == 1
    [settlement] = house.journal.kept
    assert (settlement.released, settlement.refunded, settlement.unknown) == ((11,), 1, 0)


async def test_a_call_cancelled_in_the_pace_was_never_sent(clock: FakeClock) -> None:
    paced = Held(is_sent=False)
    house = Assembly(clock, paced)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(make(house))
        await paced.arrived.wait()
        task.cancel()

    assert house.backend.calls == []
    [settlement] = house.journal.kept
    assert (settlement.refunded, settlement.unknown) == (1, 0)


async def test_a_settlement_survives_its_cancellation(clock: FakeClock) -> None:
    house = Assembly(clock)
    house.book.may_finish.clear()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(make(house))
        await house.book.finishing.wait()
        task.cancel()

    [settlement] = house.journal.kept
    assert [index for index, _ in settlement.made] == [10]
    assert settlement.unknown == 0


async def test_batches_are_given_back_despite_a_cancellation(clock: FakeClock) -> None:
    house = Assembly(clock)
    house.book.may_finish.clear()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(house.maker.give_back(an_ask_for(), [ONE]))
        await house.book.finishing.wait()
        task.cancel()

    [settlement] = house.journal.kept
    assert (settlement.released, settlement.refunded) == ((10,), 1)


@pytest.mark.parametrize("is_made", [True, False])
async def test_a_bug_in_a_call_releases_its_claims(clock: FakeClock, *, is_made: bool) -> None:
    house = Assembly(clock, a_call_made(b"bug") if is_made else ZeroDivisionError())

    with pytest.raises(ZeroDivisionError):
        await make(house)

    [settlement] = [*house.book.settlements, *house.journal.kept]
    assert settlement.released == (10,)


async def test_a_turn_holds_the_bytes_of_all_its_images(clock: FakeClock) -> None:
    maker = Assembly(clock).maker
    order, sent = an_order(n=3), a_sent_order(images_per_call=2)
    batches = [Batch((0, 1), (10, 11)), Batch((2,), (12,))]

    turns = maker.make_turns(order, sent, an_ask_for(), batches, lambda _: True)

    assert [turn.held_bytes for turn in turns] == [2 * len(sent.prompt) // 3, len(sent.prompt) // 3]
    assert turns[0].held_bytes > 1


async def test_calls_are_of_a_kind_by_the_number_of_their_images(clock: FakeClock) -> None:
    maker = Assembly(clock).maker
    order, sent = an_order(n=10), a_sent_order(images_per_call=10)

    def kind_of(images: int) -> Kind:
        indices = tuple(range(images))
        [turn] = maker.make_turns(order, sent, an_ask_for(), [Batch(indices, indices)], lambda _: True)
        return turn.kind

    kinds = [kind_of(images) for images in range(1, 11)]
    assert [kinds.index(kind) for kind in kinds] == [0, 1, 1, 1, 4, 4, 4, 4, 4, 4]
