"""The connection that scripts share: order, places, time and loss."""

import asyncio
import contextlib
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from service.adapters.redis.client.client import open_client
from service.adapters.redis.client.errors import translated_errors
from service.adapters.redis.client.script import Script
from service.domain.errors import StateUnavailable
from tests.adapters.redis.client.held import PATIENCE_S, HeldServer, run_held, until
from tests.adapters.redis.orders import reason_of
from tests.processes import Valkey

TIMEOUT_S = 0.3
_SLOW = "for _ = 1, 1000000 do end return ARGV[1]"
"""Takes some milliseconds."""


class Callers:
    """Tasks that run one script, each with a word of its own, which is its answer."""

    def __init__(self, script: Script, group: asyncio.TaskGroup) -> None:
        self._script = script
        self._group = group

    def call(self, word: str) -> asyncio.Task[str]:
        """Run the script; the task returns the answer, or the reason of the failure."""
        return self._group.create_task(self._run(word))

    async def _run(self, word: str) -> str:
        try:
            answer: bytes = await self._script.run(["key"], word)
        except StateUnavailable as error:
            return error.reason
        return answer.decode()


@asynccontextmanager
async def calling(
    server: HeldServer, *, places: int = 16, timeout_s: float = PATIENCE_S
) -> AsyncIterator[Callers]:
    """Yield callers of *server*, who share *places*; awaits them in the end."""
    async with (
        open_client(server.url, timeout_s=timeout_s, connections=2, places=places) as client,
        asyncio.TaskGroup() as group,
    ):
        yield Callers(Script(client, "return ARGV[1]", timeout_s=timeout_s, name="begin"), group)


async def test_callers_share_one_connection_and_get_their_own_answers() -> None:
    words = [f"word {number}" for number in range(16)]
    async with run_held() as server, calling(server) as callers:
        tasks = [callers.call(word) for word in words]
        await until(lambda: len(server.received) == len(words))
        server.connections[0].answer(times=len(words))

        assert [await task for task in tasks] == words
        assert len(server.connections) == 1


async def test_a_caller_who_left_keeps_the_place_of_the_answer() -> None:
    async with run_held() as server, calling(server) as callers:
        tasks = [callers.call(word) for word in "abc"]
        await until(lambda: len(server.received) == 3)
        tasks[1].cancel()
        server.connections[0].answer(times=3)

        assert (await tasks[0], await tasks[2]) == ("a", "c")
        assert tasks[1].cancelled()
        assert len(server.connections) == 1


async def test_five_times_as_many_callers_as_places_wait_unsent_in_their_order() -> None:
    words = [f"{number}" for number in range(20)]
    async with run_held() as server, calling(server, places=4) as callers:
        tasks = [callers.call(word) for word in words]
        await until(lambda: len(server.received) == 4)
        (held,) = server.connections
        for received in range(4, 20):
            held.answer()
            await until(lambda so_far=received: len(server.received) > so_far)  # type: ignore[misc]  # binds the number
            assert len(held.waiting) == 4
        held.answer(times=4)

        assert [await task for task in tasks] == words
        assert [word.decode() for word in server.received] == words


async def test_a_caller_who_leaves_before_a_place_is_free_sends_nothing() -> None:
    async with run_held() as server, calling(server, places=1) as callers:
        first, second, third = (callers.call(word) for word in "abc")
        await until(lambda: len(server.received) == 1)
        second.cancel()
        server.connections[0].answer()
        await until(lambda: len(server.received) == 2)
        server.connections[0].answer()

        assert (await first, await third) == ("a", "c")
        assert server.received == [b"a", b"c"]


async def test_without_answers_those_who_were_sent_are_told_apart_from_those_who_were_not() -> None:
    async with run_held() as server, calling(server, places=2, timeout_s=TIMEOUT_S) as callers:
        tasks = [callers.call(f"{number}") for number in range(10)]

        assert Counter([await task for task in tasks]) == {"timeout": 2, "pool": 8}
        assert len(server.received) == 2


async def test_one_late_answer_costs_those_behind_it_nothing() -> None:
    """They get their own answers, not the late one; new commands do not wait behind them."""
    async with run_held() as server, calling(server, timeout_s=2.0) as callers:
        early = callers.call("early")
        await until(lambda: len(server.received) == 1)
        await asyncio.sleep(1.0)
        behind = callers.call("behind")
        await until(lambda: len(server.received) == 2)
        assert await early == "timeout"
        late = callers.call("late")
        await until(lambda: len(server.received) == 3)
        old, new = server.connections
        old.answer(times=2)
        new.answer()

        assert (await behind, await late) == ("behind", "late")
        await until(lambda: old.is_closed)
        assert not new.is_closed


async def test_a_server_that_stays_silent_is_left() -> None:
    async with run_held() as server, calling(server, timeout_s=TIMEOUT_S) as callers:
        assert await callers.call("a") == "timeout"

        await until(lambda: server.connections[0].is_closed)


async def test_places_are_free_again_after_time_outs_and_callers_who_left() -> None:
    async with run_held() as server, calling(server, places=2, timeout_s=1.0) as callers:
        left, late = callers.call("left"), callers.call("late")
        await until(lambda: len(server.received) == 2)
        left.cancel()
        assert await late == "timeout"

        tasks = [callers.call(word) for word in "ab"]
        await until(lambda: len(server.received) == 4)
        server.connections[1].answer(times=2)
        assert [await task for task in tasks] == ["a", "b"]


async def test_an_answer_has_its_time_from_when_its_command_is_sent() -> None:
    async with run_held() as server, calling(server, places=1, timeout_s=1.0) as callers:
        tasks = [callers.call(word) for word in "ab"]
        await until(lambda: len(server.received) == 1)
        await asyncio.sleep(0.6)
        server.connections[0].answer()
        await until(lambda: len(server.received) == 2)
        await asyncio.sleep(0.6)
        server.connections[0].answer()

        assert [await task for task in tasks] == ["a", "b"]
        assert len(server.connections) == 1


async def test_a_process_that_was_busy_asks_once_more_and_keeps_the_connection() -> None:
    async with run_held() as server, calling(server, timeout_s=TIMEOUT_S) as callers:
        task = callers.call("a")
        await until(lambda: len(server.received) == 1)
        time.sleep(2 * TIMEOUT_S)  # noqa: ASYNC251 - a loop that is busy
        await until(lambda: len(server.received) == 2)
        server.connections[0].answer(times=2)

        assert await task == "a"
        assert len(server.connections) == 1


async def test_a_lost_connection_fails_all_that_are_under_way_and_each_is_tried_once_more() -> None:
    async with run_held() as server, calling(server, places=4) as callers:
        tasks = [callers.call(word) for word in "abcd"]
        await until(lambda: len(server.received) == 4)
        server.connections[0].writer.close()
        await until(lambda: len(server.received) == 8)
        server.connections[1].answer(times=4)
        assert [await task for task in tasks] == list("abcd")

        tasks = [callers.call(word) for word in "efgh"]
        await until(lambda: len(server.received) == 12)
        server.connections[1].writer.close()
        await until(lambda: len(server.received) == 16)
        server.connections[2].writer.close()

        assert [await task for task in tasks] == ["connection"] * 4
        assert Counter(server.received) == {word.encode(): 2 for word in "abcdefgh"}


async def test_one_caller_at_a_time_opens_the_connection() -> None:
    """A server that hangs gets no connection from each of them."""
    async with run_held(greets=False) as server, calling(server, timeout_s=TIMEOUT_S) as callers:
        tasks = [callers.call(f"{number}") for number in range(16)]

        assert {await task for task in tasks} == {"timeout"}
        assert len(server.connections) <= 3


async def test_whoever_opens_the_connection_may_leave() -> None:
    async with run_held(greets=False) as server, calling(server) as callers:
        first, second = callers.call("first"), callers.call("second")
        await until(lambda: len(server.connections) == 1)
        server.greets = True
        first.cancel()
        await until(lambda: len(server.received) == 1)
        server.connections[1].answer()

        assert await second == "second"


async def test_an_answer_that_was_not_asked_for_ends_the_connection() -> None:
    async with run_held() as server, calling(server) as callers:
        first = callers.call("first")
        await until(lambda: len(server.received) == 1)
        server.connections[0].answer()
        assert await first == "first"
        server.connections[0].writer.write(b"$5\r\nwrong\r\n")
        await until(lambda: server.connections[0].is_closed)

        second = callers.call("second")
        await until(lambda: len(server.received) == 2)
        server.connections[1].answer()
        assert await second == "second"


@pytest.mark.parametrize("noise", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"$x\r\n"])
async def test_noise_fails_all_that_are_under_way(noise: bytes) -> None:
    async with run_held() as server, calling(server) as callers:
        tasks = [callers.call(word) for word in "ab"]
        await until(lambda: len(server.received) == 2)
        server.connections[0].answer_with(noise)

        assert [await task for task in tasks] == ["response"] * 2
        await until(lambda: server.connections[0].is_closed)


async def test_news_between_the_answers_is_passed_over() -> None:
    async with run_held() as server, calling(server) as callers:
        tasks = [callers.call(word) for word in "ab"]
        await until(lambda: len(server.received) == 2)
        server.connections[0].answer()
        server.connections[0].writer.write(b">2\r\n+maintenance\r\n+soon\r\n")
        server.connections[0].answer()

        assert [await task for task in tasks] == ["a", "b"]


async def test_a_replica_is_left_and_those_behind_get_their_answers() -> None:
    async with run_held() as server, calling(server) as callers:
        tasks = [callers.call(word) for word in "ab"]
        await until(lambda: len(server.received) == 2)
        server.connections[0].answer_with(b"-READONLY You can't write against a read only replica.\r\n")
        await until(lambda: len(server.received) == 3)
        server.connections[0].answer()
        server.connections[1].answer()

        assert [await task for task in tasks] == ["a", "b"]
        await until(lambda: server.connections[0].is_closed)


async def test_other_commands_do_not_wait_behind_scripts() -> None:
    async with run_held() as server, open_client(server.url, timeout_s=PATIENCE_S, connections=2) as client:
        script = Script(client, "return ARGV[1]", timeout_s=PATIENCE_S)
        async with asyncio.TaskGroup() as group:
            held = group.create_task(script.run(["key"], "held"))
            await until(lambda: len(server.received) == 1)
            assert await client.ping()
            server.connections[0].answer()

        assert held.result() == b"held"
        assert len(server.connections) == 2


async def test_a_client_that_closes_fails_what_is_under_way() -> None:
    async with run_held() as server, asyncio.TaskGroup() as group:
        client = open_client(server.url, timeout_s=PATIENCE_S, connections=2)
        until_s = asyncio.get_running_loop().time() + PATIENCE_S
        send: Any = client.execute_command
        task = group.create_task(
            reason_of(translated(send("EVALSHA", "hash", 0, script="begin", until_s=until_s)))
        )
        await until(lambda: len(server.received) == 1)
        await client.aclose()

        assert await task == "connection"


async def translated(answer: Awaitable[Any]) -> Any:
    with translated_errors():
        return await answer


class Busy(asyncio.Protocol):
    """Takes long to read."""

    def data_received(self, data: bytes) -> None:
        time.sleep(2 * TIMEOUT_S)


@pytest.mark.parametrize("stall_s", [2 * TIMEOUT_S, 4 * TIMEOUT_S])
async def test_a_connection_that_opens_while_the_process_is_busy_is_in_time(
    valkey: Valkey, stall_s: float
) -> None:
    async with (
        open_client(valkey.url, timeout_s=TIMEOUT_S, connections=2) as client,
        asyncio.TaskGroup() as group,
    ):
        task = group.create_task(Script(client, "return ARGV[1]", timeout_s=TIMEOUT_S).run(["key"], "answer"))
        await asyncio.sleep(0)
        time.sleep(stall_s)  # noqa: ASYNC251 - a loop that is busy

    assert task.result() == b"answer"


def test_an_answer_that_came_while_the_process_was_busy_is_in_time(valkey: Valkey) -> None:
    """uvloop looks at its timers before it reads: what is busy here is the reading of something else."""

    async def be_busy() -> bytes:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        transport, _ = await loop.create_connection(Busy, sock=ours)
        with theirs, contextlib.closing(transport):
            async with open_client(valkey.url, timeout_s=TIMEOUT_S, connections=2) as client:
                script = Script(client, _SLOW, timeout_s=TIMEOUT_S)
                await script.run(["key"], "warm")
                theirs.send(b"x")
                answer: bytes = await script.run(["key"], "answer")
        return answer

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(be_busy()) == b"answer"
