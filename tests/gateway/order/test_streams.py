"""Orders whose reader wants each image and its stages as soon as they exist."""

from service.domain.errors import OrderFailed
from service.domain.failures import FailureKind
from service.domain.images import ImageCall, Operation
from service.domain.models_file import parse_catalog
from service.domain.order import ImageOrder
from service.domain.progress import Admitted, CallFailed, ImageReady, OrderDone, PartialReady
from tests.fakes.backend import STAGE, Held
from tests.fakes.clock import NOON, FakeClock, until_idle
from tests.fakes.storage import FakeStore
from tests.fakes.values import a_failure, a_grant, a_refusal, an_input, an_order, builtin_models
from tests.gateway.assembly import Assembly, read


def a_stream(**override: object) -> ImageOrder:
    parameters = {"stream": True, "partial_images": override.get("partial_images", 0)}
    given = {"asked_model": "gpt-image-2", "is_streamed": True, "parameters": parameters, **override}
    return an_order(**given)


async def test_stages_are_reported_as_they_arrive(clock: FakeClock) -> None:
    held = Held()
    async with Assembly(clock, held) as house:
        running = house.start(a_stream(partial_images=2))
        await held.arrived.wait()
        told = [await running.next_fact() for _ in range(3)]
        held.release()
        facts = await read(running)

    admitted, first, second = told
    assert isinstance(admitted, Admitted)
    assert isinstance(first, PartialReady)
    assert isinstance(second, PartialReady)
    assert (first.position, first.number, first.data) == (0, 0, b"stage 0 of A lighthouse")
    assert (second.position, second.number, second.resolved) == (0, 1, STAGE)
    assert NOON.timestamp() <= first.shown_at_s < NOON.timestamp() + 1
    ready, done = facts
    assert isinstance(ready, ImageReady)
    assert done == OrderDone()


async def test_a_streamed_order_for_several_images_makes_a_call_for_each(clock: FakeClock) -> None:
    """In one call nothing says which of its images a stage belongs to, and all would come at the end."""
    held = [Held() for _ in range(3)]
    async with Assembly(clock, *held) as house:
        running = house.start(a_stream(n=3, partial_images=1))
        await until_idle()
        shown = [await running.next_fact() for _ in range(4)][1:]
        for each in reversed(held):
            each.release()
            await until_idle()
        facts = await read(running)

    assert [call.n for call in house.backend.calls] == [1, 1, 1]
    assert [fact.position for fact in shown if isinstance(fact, PartialReady)] == [0, 1, 2]
    assert [fact.position for fact in facts if isinstance(fact, ImageReady)] == [2, 1, 0]


async def test_without_a_stream_a_call_makes_all_its_images(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        await house.run(an_order(asked_model="gpt-image-2", n=3, partial_images=2))

    [call] = house.backend.calls
    assert (call.n, call.partial_images) == (3, 0)


async def test_a_stream_without_stages_asks_for_none(clock: FakeClock) -> None:
    async with Assembly(clock) as house:
        facts = await house.run(a_stream(n=2))

    assert [call.partial_images for call in house.backend.calls] == [0, 0]
    assert not any(isinstance(fact, PartialReady) for fact in facts)


async def test_one_failed_image_does_not_stop_the_stream(clock: FakeClock) -> None:
    async with Assembly(clock, a_refusal()) as house:
        facts = await house.run(a_stream(n=3))

    assert [fact.position for fact in facts if isinstance(fact, ImageReady)] == [1, 2]
    assert [fact.positions for fact in facts if isinstance(fact, CallFailed)] == [(0,)]
    assert isinstance(facts[-1], OrderDone)
    assert isinstance(facts[-1].error, OrderFailed)


async def test_a_retry_shows_its_stages_again(clock: FakeClock) -> None:
    async with Assembly(clock, a_failure(kind=FailureKind.OVERLOADED)) as house:
        facts = await house.run(a_stream(partial_images=1))

    assert [fact.number for fact in facts if isinstance(fact, PartialReady)] == [0, 0]
    assert house.backend.attempts == 2


async def test_a_stream_without_a_reader_is_finished(clock: FakeClock) -> None:
    held = Held()
    async with Assembly(clock, held) as house:
        running = house.start(a_stream(partial_images=3))
        await held.arrived.wait()
        running.abandon()
        held.release()

    [settlement] = house.book.settlements
    assert [index for index, _ in settlement.made] == [0]
    assert await read(running) == []


async def test_an_image_that_the_store_did_not_take_has_no_link(clock: FakeClock) -> None:
    store = FakeStore()
    store.is_full = store.hides_it = True
    async with Assembly(clock, store=store) as house:
        facts = await house.run(a_stream())

    [ready] = [fact for fact in facts if isinstance(fact, ImageReady)]
    assert (ready.is_stored, ready.data is not None) == (False, True)


async def test_a_stream_of_a_model_without_streams_is_accepted(clock: FakeClock) -> None:
    catalog = parse_catalog(builtin_models(), {"dall-e-3": {"bridge": False}})
    order = an_order(catalog=catalog, is_streamed=True, n=2)
    async with Assembly(clock, catalog=catalog) as house:
        facts = await house.run(order)

    assert [call.model for call in house.backend.calls] == ["dall-e-3"] * 2
    assert sum(isinstance(fact, ImageReady) for fact in facts) == 2


async def test_variations_are_calls_with_an_instruction_by_their_index_in_the_pool(clock: FakeClock) -> None:
    order = an_order(
        operation=Operation.VARY, asked_model="dall-e-2", prompt="", n=3, inputs=(an_input(digest="source"),)
    )
    async with Assembly(clock) as house:
        house.book.script.append(a_grant(mine=(4, 7, 14)))
        await house.run(order)

    calls: list[ImageCall] = house.backend.calls
    sent = [call.prompt for call in calls]
    assert len(set(sent)) == 2
    assert sent[0] == sent[2] != sent[1]
    assert [(call.n, call.operation) for call in calls] == [(1, Operation.EDIT)] * 3
    assert [[entry.digest for entry in call.inputs] for call in calls] == [["source"]] * 3
