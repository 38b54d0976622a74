"""The load of the bench against real servers."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest

from tests.bench.load import Order, Took, closed_loop, open_loop
from tests.bench.scenarios.orders import BASE64, SMALL_BYTES, fresh
from tests.bench.servers import run_process
from tests.bench.wire import Connection, Target

ORDERS = fresh(BASE64, SMALL_BYTES)


@asynccontextmanager
async def run_one_at_a_time(answer: bytes, pause_s: float = 0) -> AsyncIterator[Target]:
    """Run a server that takes the next request only when it has answered the last, *pause_s* later."""
    turn = asyncio.Lock()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                await reader.readexactly(int(head.partition(b"content-length: ")[2].split(b"\r\n")[0]))
                async with turn:
                    await asyncio.sleep(pause_s)
                writer.write(answer)
        except asyncio.IncompleteReadError:
            writer.close()
            await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield Target(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "bench")


async def test_a_closed_loop_sends_as_many_orders_as_it_is_told() -> None:
    with run_process("tests.bench.stub", "5000") as provider:
        target = Target(provider.url, "bench")
        took = await closed_loop([target], ORDERS, connections=4, seconds=30, most=50)
        async with Connection(target) as connection:
            told = orjson.loads((await connection.ask("GET", "/calls", {})).content)

    assert took.count == 50
    assert not took.failed
    assert took.received_bytes > 50 * SMALL_BYTES
    assert told["calls"] == told["made"] == 50


async def test_a_closed_loop_ends_in_time() -> None:
    with run_process("tests.bench.stub", "5000") as provider:
        took = await closed_loop([Target(provider.url, "bench")], ORDERS, connections=2, seconds=0.1)

    assert took.count > 0


async def test_an_open_loop_does_not_wait_for_answers() -> None:
    """A server with one turn at a time keeps ten orders that are due at once: the last for ten turns, the first for one."""
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
    async with run_one_at_a_time(answer, pause_s=0.03) as target:
        took = await open_loop([target], ORDERS, rate_per_s=10_000, seconds=0.001)

    assert took.count == 10
    assert max(took.latencies_s) > 5 * min(took.latencies_s)


async def test_an_open_loop_charges_for_orders_that_were_sent_late() -> None:
    """The first order stops the generator, as a machine without time does: the others were due meanwhile."""
    pause_s = 0.2

    def slowly(number: int) -> Order:
        if number == 0:
            time.sleep(pause_s)
        return ORDERS(number)

    async with run_one_at_a_time(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}") as target:
        took = await open_loop([target], slowly, rate_per_s=1000, seconds=0.01)

    assert took.count == 10
    assert min(took.latencies_s) > pause_s - 0.01 * 2


async def test_an_open_loop_sends_the_same_orders_at_random_instants() -> None:
    with run_process("tests.bench.stub", "5000") as provider:
        took = await open_loop([Target(provider.url, "bench")], ORDERS, rate_per_s=500, seconds=0.1, seed=1)

    assert took.count == 50


async def test_orders_that_fail_are_no_latencies() -> None:
    refusal = b"HTTP/1.1 503 Sorry\r\ncontent-length: 4\r\n\r\nlate"
    async with run_one_at_a_time(refusal) as target:
        took = await closed_loop([target], ORDERS, connections=1, seconds=30, most=3)

    assert took.count == 0
    assert took.failed == {"503 late": 3}
    with pytest.raises(AssertionError, match="3 orders failed"):
        took.check()


async def test_a_connection_reads_answers_in_chunks() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    async with run_one_at_a_time(chunked) as target, Connection(target) as connection:
        answers = [await connection.ask("POST", "/", {}) for _ in range(2)]

    assert [answer.content for answer in answers] == [b"abcde", b"abcde"]


def test_a_percentile_is_a_latency_that_was_seen() -> None:
    took = Took(latencies_s=[number / 1000 for number in range(100, 0, -1)])

    assert took.percentile_ms(50) == 51
    assert took.percentile_ms(99) == 100
    assert Took(latencies_s=[0.5]).percentile_ms(99) == 500
