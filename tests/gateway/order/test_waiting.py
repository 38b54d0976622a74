import asyncio

import pytest

from service.gateway.order.waiting import MOST_WAITERS, WaitingRoom, WaitResult
from tests.fakes.clock import FakeClock, until_idle
from tests.fakes.values import a_refusal, an_image

RESULT = WaitResult(image=an_image(), data=b"image")


async def test_all_waiters_share_one_result() -> None:
    room = WaitingRoom()
    async with asyncio.TaskGroup() as group:
        waits = [group.create_task(room.wait("pool", [0], left_s=9.0)) for _ in range(3)]
        await asyncio.sleep(0)

        room.resolve("pool", 0, RESULT)

    assert [await wait for wait in waits] == [{0: RESULT}] * 3


async def test_one_result_of_several_is_enough() -> None:
    room = WaitingRoom()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(room.wait("pool", [0, 1, 2], left_s=9.0))
        await asyncio.sleep(0)

        room.resolve("pool", 1, RESULT)

    assert await waiting == {1: RESULT}


async def test_for_all_waits_for_every_result() -> None:
    room = WaitingRoom(poll_s=9.0)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(room.wait("pool", [0, 1], left_s=9.0, for_all=True))
        await until_idle()
        room.resolve("pool", 1, RESULT)
        await until_idle()
        assert not waiting.done()
        room.resolve("pool", 0, RESULT)

    assert await waiting == {0: RESULT, 1: RESULT}


async def test_simultaneous_results_are_returned_together() -> None:
    room = WaitingRoom()
    refused = WaitResult(failure=a_refusal())
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(room.wait("pool", [0, 1], left_s=9.0))
        await asyncio.sleep(0)

        room.resolve("pool", 1, RESULT)
        room.resolve("pool", 0, refused)

    assert await waiting == {0: refused, 1: RESULT}


async def test_pools_and_indices_are_kept_apart() -> None:
    room = WaitingRoom()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(room.wait("pool", [0], left_s=0.1))
        await asyncio.sleep(0)

        room.resolve("pool", 1, RESULT)
        room.resolve("another", 0, RESULT)

    assert await waiting == {}


async def test_news_wake_one_waiter_only() -> None:
    room = WaitingRoom(poll_s=9.0)
    async with asyncio.TaskGroup() as group:
        prober, other = (group.create_task(room.wait("pool", [0], left_s=9.0)) for _ in range(2))
        await until_idle()

        room.wake("pool", 0)
        assert await prober == {}
        assert not other.done()
        room.resolve("pool", 0, RESULT)

        assert await other == {0: RESULT}


async def test_each_news_wakes_another_waiter(clock: FakeClock) -> None:
    room = WaitingRoom(poll_s=9.0)
    async with asyncio.TaskGroup() as group:
        waits = [group.create_task(room.wait("pool", [0], left_s=9.0)) for _ in range(3)]
        await until_idle()

        for _ in range(4):
            room.wake("pool", 0)
        await until_idle()

        assert [wait.done() for wait in waits] == [True] * 3
    assert clock.monotonic_s() < 1001


async def test_the_number_of_waits_is_bounded() -> None:
    room = WaitingRoom(poll_s=9.0)
    indices = range(MOST_WAITERS // 2)
    async with asyncio.TaskGroup() as group:
        for _ in range(2):
            assert not room.is_full
            group.create_task(room.wait("pool", indices, left_s=9.0))
            await asyncio.sleep(0)
        assert room.is_full
        for _ in range(2):
            room.wake("pool", 0)

    assert not room.is_full


async def test_waiters_ask_now_and_then_after_lost_news(clock: FakeClock) -> None:
    started_s = clock.monotonic_s()

    results = await WaitingRoom(poll_s=0.25).wait("pool", [0, 1], left_s=9.0)

    assert results == {}
    assert 0.6 * 0.25 <= clock.monotonic_s() - started_s <= 1.4 * 0.25


async def test_many_waiters_ask_no_more_often_than_one(clock: FakeClock) -> None:
    room = WaitingRoom(poll_s=1.0)
    started_s = clock.monotonic_s()
    waited_s: list[float] = []

    async def wait() -> None:
        await room.wait("pool", [0], left_s=99.0)
        waited_s.append(clock.monotonic_s() - started_s)

    async with asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(wait())

    assert all(waited >= 0.6 for waited in waited_s)
    assert sum(waited <= 3.0 for waited in waited_s) <= 10


async def test_lost_news_costs_seconds_however_many_wait(clock: FakeClock) -> None:
    room = WaitingRoom(poll_s=1.0)
    started_s = clock.monotonic_s()

    async with asyncio.TaskGroup() as group:
        for _ in range(200):
            group.create_task(room.wait("pool", [0], left_s=99.0))

    assert clock.monotonic_s() - started_s <= 7.0


async def test_no_wait_exceeds_the_deadline(clock: FakeClock) -> None:
    started_s = clock.monotonic_s()

    assert await WaitingRoom().wait("pool", [0], left_s=0.01) == {}
    assert clock.monotonic_s() - started_s == pytest.approx(0.01)


async def test_the_waiting_room_is_left_empty() -> None:
    room = WaitingRoom()

    await room.wait("pool", [0, 1], left_s=0.01)
    room.resolve("pool", 0, RESULT)

    assert room._pending == {}


async def test_a_cancelled_waiter_cancels_no_other() -> None:
    room = WaitingRoom()
    async with asyncio.TaskGroup() as group:
        leaving = group.create_task(room.wait("pool", [0], left_s=9.0))
        staying = group.create_task(room.wait("pool", [0], left_s=9.0))
        await asyncio.sleep(0)
        leaving.cancel()
        await until_idle()

        room.resolve("pool", 0, RESULT)

    assert await staying == {0: RESULT}
    assert room._pending == {}


async def test_a_late_waiter_gets_the_newer_result() -> None:
    room = WaitingRoom()
    second = WaitResult(failure=a_refusal())
    async with asyncio.TaskGroup() as group:
        early = group.create_task(room.wait("pool", [0], left_s=9.0))
        await asyncio.sleep(0)
        late = group.create_task(room.wait("pool", [0], left_s=9.0))
        room.resolve("pool", 0, RESULT)
        await until_idle()

        room.resolve("pool", 0, second)

    assert await early == {0: RESULT}
    assert await late == {0: second}
