"""A subscription outlives its connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from service.adapters.redis.client.client import open_client
from service.adapters.redis.client.subscription import receive
from tests.adapters.redis.client.held import PATIENCE_S, HeldServer, run_held, until

SILENCE_S = 0.1
_OWN, _OTHERS = (b'{"by": "%b"}' % by for by in (b"us", b"them"))


@asynccontextmanager
async def heard(server: HeldServer, silence_s: float = SILENCE_S) -> AsyncIterator[list[object]]:
    """Yield the list of all news that the process *us* gets."""
    news: list[object] = []

    async def listen() -> None:
        async for each in receive(client, "channel", process="us", silence_s=silence_s):
            news.append(each)  # noqa: PERF401 - the news never ends

    async with (
        open_client(server.url, timeout_s=PATIENCE_S, connections=1) as client,
        asyncio.TaskGroup() as group,
    ):
        task = group.create_task(listen())
        yield news
        task.cancel()


def message(text: bytes) -> bytes:
    return b">3\r\n$7\r\nmessage\r\n$7\r\nchannel\r\n$%d\r\n%b\r\n" % (len(text), text)


async def subscribe(server: HeldServer, times: int) -> None:
    """Wait until so many connections have subscribed."""
    await until(lambda: server.received == [b"channel"] * times)


async def test_news_of_others_is_passed_on() -> None:
    async with run_held() as server, heard(server) as news:
        await subscribe(server, 1)
        server.connections[0].answer_with(b">3\r\n$9\r\nsubscribe\r\n$7\r\nchannel\r\n:1\r\n")
        half = message(_OTHERS)
        server.connections[0].writer.write(message(_OWN) + message(b"{") + message(b"[]") + half[:9])
        await asyncio.sleep(0)
        server.connections[0].writer.write(half[9:])

        await until(lambda: news == [{"by": "them"}])


async def test_a_server_that_answers_pings_is_kept() -> None:
    async with run_held() as server, heard(server):
        await until(lambda: server.pings == 3)

        assert len(server.connections) == 1


async def test_a_server_whose_only_news_is_our_own_is_kept() -> None:
    async with run_held() as server, heard(server) as news:
        await subscribe(server, 1)
        for _ in range(30):
            server.connections[0].writer.write(message(_OWN))
            await asyncio.sleep(SILENCE_S / 10)
        server.connections[0].writer.write(message(_OTHERS))
        await until(lambda: len(news) == 1)

        assert len(server.connections) == 1


async def test_a_server_that_says_nothing_is_left() -> None:
    async with run_held() as server, heard(server) as news:
        await subscribe(server, 1)
        server.greets = False
        await until(lambda: server.connections[0].is_closed)
        server.greets = True
        await subscribe(server, 2)
        server.connections[-1].writer.write(message(_OTHERS))

        await until(lambda: len(news) == 1)


@pytest.mark.parametrize(
    "raw",
    [b"-NOPERM this user has no permissions\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"*1\r\n:1\r\n*0\r\n"],
)
async def test_it_subscribes_again_after_an_answer_of_another_form(raw: bytes) -> None:
    async with run_held() as server, heard(server, PATIENCE_S) as news:
        await subscribe(server, 1)
        server.connections[0].answer_with(raw)
        await subscribe(server, 2)
        server.connections[1].writer.write(message(_OTHERS))

        await until(lambda: len(news) == 1)


async def test_it_subscribes_again_at_once_if_its_connection_is_lost() -> None:
    async with run_held() as server, heard(server, PATIENCE_S) as news:
        await subscribe(server, 1)
        server.connections[0].writer.close()
        await subscribe(server, 2)
        server.connections[1].writer.write(message(_OTHERS))

        await until(lambda: len(news) == 1)
