import asyncio

import pytest

from service.gateway.order.waiting import MOST_WAITERS, WaitingRoom, WaitResult
from tests.fakes.clock import FakeClock, until_idle
from tests.fakes.values import a_refusal, an_image

RESULT = WaitResult(image=an_image(), data=b"picture")


async def test_all_who_wait_share_one_landing() -> None:
    room = WaitingRoom()
    async with asyncio.TaskGroup() as group:
        waits = [group.create_task(room.wait("pool", [0], left_s=9.0)) for _ in range(3)]
        await asyncio.sleep(0)

        room.resolve("pool", 0, RESULT)

    assert [await wait for wait in waits] == [{0: RESULT}] * 3


async def test_one_landing_of_several_is_enough() -> None:
    room = WaitingRoom()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(room.wait("pool", [0, 1, 2], left_s=9.0))
        await asyncio.sleep(0)

        room.resolve("pool", 1, RESULT)

    assert await waiting == {1: RESULT}


async def test_who_wants_all_waits_for_all() -> None:
    room = WaitingRoom(poll_s=9.0)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(room.wait("pool", [0, 1], left_s=9.0, for_all=True))
        await until_idle()
        room.resolve("pool", 1, RESULT)
        await until_idle()
        assert not waiting.done()
        room.resolve("pool", 0, RESULT)

    assert await waiting == {0: RESULT, 1: RESULT}


async def test_what_lands_at_once_is_told_at_once() -> None:
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


async def test_news_send_one_to_ask_while_the_others_wait_on() -> None:
    room = WaitingRoom(poll_s=9.0)
    async with asyncio.TaskGroup() as group:
        prober, other = (group.create_task(room.wait("pool", [0], left_s=9.0)) for _ in range(2))
        await until_idle()

        room.wake("pool", 0)
        assert await prober == {}
        assert not other.done()
        room.resolve("pool", 0, RESULT)

        assert await other == {0: RESULT}


async def test_each_news_send_another_one(clock: FakeClock) -> None:
    room = WaitingRoom(poll_s=9.0)
    async with asyncio.TaskGroup() as group:
        waits = [group.create_task(room.wait("pool", [0], left_s=9.0)) for _ in range(3)]
        await until_idle()

        for _ in range(4):
            room.wake("pool", 0)
        await until_idle()

        assert [wait.done() for wait in waits] == [True] * 3
    assert clock.monotonic_s() < 1001


async def test_a_process_has_room_for_so_many_waits_and_no_more() -> None:
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


async def test_lost_news_are_made_good_by_asking_now_and_then(clock: FakeClock) -> None:
    started_s = clock.monotonic_s()

    landed = await WaitingRoom(poll_s=0.25).wait("pool", [0, 1], left_s=9.0)

    assert landed == {}
    assert 0.6 * 0.25 <= clock.monotonic_s() - started_s <= 1.4 * 0.25


async def test_a_crowd_asks_no_more_often_than_one(clock: FakeClock) -> None:
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


async def test_nobody_waits_beyond_the_deadline(clock: FakeClock) -> None:
    started_s = clock.monotonic_s()

    assert await WaitingRoom().wait("pool", [0], left_s=0.01) == {}
    assert clock.monotonic_s() - started_s == pytest.approx(0.01)


async def test_the_waiting_room_is_left_empty() -> None:
    room = WaitingRoom()

    await room.wait("pool", [0, 1], left_s=0.01)
    room.resolve("pool", 0, RESULT)

    assert room._pending == {}


async def test_a_waiter_that_is_cancelled_takes_nobody_along() -> None:
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


async def test_who_leaves_late_does_not_close_a_newer_waiting_room() -> None:
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
