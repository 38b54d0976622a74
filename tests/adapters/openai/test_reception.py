"""Receive large answers: a few at a time, and none waits for one that stalls."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from service.adapters.openai.reception import Bounds, Reception, read_body

_BOUNDS = Bounds(2**22, 1000)
_LARGE = bytes(300_000)
LARGE = {"content-length": "600000"}


class Body(httpx.AsyncByteStream):
    """A body of large pieces; each after the first waits for `goes_on`."""

    def __init__(self, pieces: int, piece: bytes = _LARGE) -> None:
        self.read = 0
        self.goes_on = asyncio.Event()
        self._pieces = pieces
        self._piece = piece

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for _ in range(self._pieces):
            self.read += 1
            yield self._piece
            await self.goes_on.wait()


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_large_answer_waits_until_another_one_is_whole() -> None:
    reception = Reception(at_once=1, wait_s=60, silence_s=60)
    first, second, small = Body(3), Body(3), Body(2, b"x")
    second.goes_on.set()
    small.goes_on.set()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(reception.read(httpx.Response(200, stream=body), _BOUNDS))
            for body in (first, second, small)
        ]
        await turns()
        assert (first.read, second.read) == (1, 1)
        assert tasks[2].result() == bytearray(b"xx")

        first.goes_on.set()

    assert [len(task.result() or b"") for task in tasks[:2]] == [900_000, 900_000]


async def test_an_answer_that_announces_its_size_waits_before_any_of_it_is_read() -> None:
    reception = Reception(at_once=1, wait_s=60, silence_s=60)
    first, second, small = Body(3), Body(3), Body(2, b"x")
    second.goes_on.set()
    small.goes_on.set()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(
                reception.read(httpx.Response(200, headers={"content-length": size}, stream=body), _BOUNDS)
            )
            for body, size in ((first, "900000"), (second, "900000"), (small, "2"))
        ]
        await turns()
        assert (first.read, second.read) == (1, 0)
        assert tasks[2].result() == bytearray(b"xx")

        first.goes_on.set()

    assert [len(task.result() or b"") for task in tasks[:2]] == [900_000, 900_000]


async def test_answers_that_stall_do_not_cost_a_whole_one_its_deadline() -> None:
    reception = Reception()
    whole = Body(8)
    whole.goes_on.set()
    async with asyncio.TaskGroup() as group:
        stalled = [
            group.create_task(reception.read(httpx.Response(200, stream=Body(2)), _BOUNDS)) for _ in range(8)
        ]
        await turns()

        async with asyncio.timeout(2):
            body = await reception.read(httpx.Response(200, stream=whole), _BOUNDS)
        for task in stalled:
            task.cancel()

    assert len(body or b"") == 2_400_000


async def test_an_answer_that_stalls_loses_its_turn_and_can_still_be_read() -> None:
    reception = Reception(at_once=1, wait_s=60, silence_s=0.01)
    stalled, others = Body(3), [Body(3), Body(3)]
    async with asyncio.TaskGroup() as group:
        reading = group.create_task(reception.read(httpx.Response(200, stream=stalled), _BOUNDS))
        await turns()
        async with asyncio.timeout(10):
            for other in others:
                other.goes_on.set()
                await reception.read(httpx.Response(200, stream=other), _BOUNDS)
        assert stalled.read == 1
        stalled.goes_on.set()

    assert len(reading.result() or b"") == 900_000
    assert [other.read for other in others] == [3, 3]


async def test_an_answer_that_gets_no_turn_is_read_without() -> None:
    reception = Reception(at_once=1, wait_s=0.01, silence_s=60)
    stalled, other = Body(2), Body(3)
    other.goes_on.set()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(reception.read(httpx.Response(200, stream=stalled), _BOUNDS))
        await turns()

        body = await reception.read(httpx.Response(200, stream=other), _BOUNDS)
        waiting.cancel()

    assert len(body or b"") == 900_000
    assert stalled.read == 1


async def test_an_answer_waits_while_turns_end() -> None:
    """Longer than it would wait without: the turns before it take twice as long."""
    reception = Reception(at_once=1, wait_s=1, silence_s=60)
    first, others, seen = [Body(2) for _ in range(10)], Body(2), 0
    others.goes_on.set()
    async with asyncio.TaskGroup() as group:
        for body in first:
            group.create_task(reception.read(httpx.Response(200, headers=LARGE, stream=body), _BOUNDS))
        await turns()
        last = group.create_task(reception.read(httpx.Response(200, headers=LARGE, stream=others), _BOUNDS))
        for body in first:
            await asyncio.sleep(0.2)
            seen = others.read
            body.goes_on.set()

    assert seen == 0
    assert len(last.result() or b"") == 600_000


async def test_an_answer_waits_no_longer_than_the_longest_time_while_turns_end() -> None:
    reception = Reception(at_once=1, wait_s=60, longest_wait_s=0.01, silence_s=60)
    stalled, other = Body(2), Body(2)
    other.goes_on.set()
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(reception.read(httpx.Response(200, stream=stalled), _BOUNDS))
        await turns()

        body = await reception.read(httpx.Response(200, headers=LARGE, stream=other), _BOUNDS)
        waiting.cancel()

    assert len(body or b"") == 600_000


async def test_a_turn_that_comes_as_its_answer_is_given_up_goes_to_the_next() -> None:
    reception = Reception(at_once=1, wait_s=60, silence_s=60)
    first, second, third = Body(1), Body(1), Body(1)
    for body in (second, third):
        body.goes_on.set()
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(reception.read(httpx.Response(200, headers=LARGE, stream=body), _BOUNDS))
            for body in (first, second, third)
        ]
        await turns()
        # Its turn ends, and is the second's, which is cut off before it runs again.
        tasks[0].cancel()
        await asyncio.sleep(0)
        tasks[1].cancel()
        await turns()
        read = second.read, third.read

    assert read == (0, 1)


async def test_a_cancelled_reader_leaves_its_turn() -> None:
    reception = Reception(at_once=1, wait_s=60, silence_s=60)
    stalled, other = Body(2), Body(1)
    other.goes_on.set()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(reception.read(httpx.Response(200, stream=stalled), _BOUNDS))
        await turns()
        task.cancel()

    assert await reception.read(httpx.Response(200, stream=other), _BOUNDS) == bytearray(_LARGE)


@pytest.mark.parametrize("piece", [_LARGE, b"[]," * 100], ids=["bytes", "structure"])
async def test_an_answer_above_a_bound_is_not_read_on(piece: bytes) -> None:
    body = Body(20, piece)
    body.goes_on.set()

    assert await read_body(httpx.Response(200, stream=body), _BOUNDS) is None
    assert body.read < 20
