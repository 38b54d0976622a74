"""Every way a Redis can fail is `StateUnavailable` with a reason, within a second."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.adapters.redis.client.client import open_client
from service.adapters.redis.orders import RedisOrders
from service.domain.errors import StateUnavailable
from service.ports.admission import Grant
from service.sandbox.faults.modes import DropReply, HangAfterAccept, RefuseConnections, ResetAfterRequest
from service.sandbox.faults.proxy import FaultProxy
from tests.adapters.redis import faults
from tests.adapters.redis.orders import (
    POOL,
    made,
    make_ask,
    open_book,
    read_holds,
    read_ledger,
    reason_of,
    settle,
)
from tests.adapters.storage.disks import small_disk
from tests.processes import Valkey
from tests.redis_servers import port_of, run_server

PATIENCE_S = 20.0
TIMEOUT_S = 0.25
"""As in the gateway; for servers that do not answer. Elsewhere a busy machine must not look like one of those."""


@dataclass(slots=True)
class Store:
    """A Valkey that a test may ruin, a patient book and one that waits `TIMEOUT_S`, and a patient client."""

    valkey: Valkey
    book: RedisOrders
    hurried: RedisOrders
    redis: Redis


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    with run_server(tmp_path, {"enable-debug-command": "yes"}) as valkey:  # TCP, as in production
        patient = open_client(valkey.url, timeout_s=PATIENCE_S, connections=16)
        hurried = open_client(valkey.url, timeout_s=TIMEOUT_S, connections=16, places=16)
        redis = open_client(valkey.url, timeout_s=PATIENCE_S, connections=4)
        book = open_book(patient, timeout_s=PATIENCE_S)
        await book.begin(make_ask())
        yield Store(valkey, book, open_book(hurried, timeout_s=TIMEOUT_S), redis)
        valkey.signal(signal.SIGCONT)  # does nothing to one that is dead
        for client in (patient, hurried, redis):
            await client.aclose()


async def until_answered(book: RedisOrders) -> Grant:
    """Order three images until they are granted."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                return await book.begin(make_ask(pool=None, n=3))
            except StateUnavailable:
                await asyncio.sleep(0.01)


async def reasons(book: RedisOrders, *, times: int = 1) -> set[str]:
    """Begin and finish *times* at once and return how they failed; each must end."""
    found: set[str] = set()

    async def try_all() -> None:
        for attempt in (book.begin(make_ask()), book.finish(settle(make_ask(), made=made((0, "a"))))):
            async with asyncio.timeout(PATIENCE_S):
                found.add(await reason_of(attempt))

    async with asyncio.TaskGroup() as group:
        for _ in range(times):
            group.create_task(try_all())
    return found


@pytest.mark.parametrize("times", [1, 40])
async def test_a_killed_server(store: Store, times: int) -> None:
    store.valkey.process.kill()
    store.valkey.process.wait()

    assert await reasons(store.book, times=times) == {"connection"}


@pytest.mark.parametrize("times", [1, 40])
async def test_a_hung_server(store: Store, times: int) -> None:
    """Forty callers for sixteen places: those who get none are no slower."""
    store.valkey.signal(signal.SIGSTOP)

    assert await reasons(store.hurried, times=times) <= {"timeout", "pool"}


@pytest.mark.parametrize(
    ("fault", "labels"),
    [
        (faults.demoted, {"readonly"}),
        (faults.lonely, {"no_replicas"}),
        (faults.locked, {"auth"}),
        (faults.forbidden, {"no_permission"}),
        (faults.mistyped, {"wrongtype"}),
        (faults.busy, {"busy"}),
        (faults.loading, {"loading"}),
        (faults.stopped, {"timeout"}),
    ],
)
async def test_a_fault_has_its_label_and_ends_with_it(
    store: Store, fault: faults.Fault, labels: set[str]
) -> None:
    book = store.hurried if fault is faults.stopped else store.book
    async with fault(store.valkey, store.redis):
        assert await reasons(book) == labels

    assert (await until_answered(book)).mine == (0, 1, 2)


async def test_a_full_server(store: Store) -> None:
    """It refuses a script's first write if that needs memory, which not every settlement's does."""
    async with faults.full(store.valkey, store.redis):
        assert await reason_of(store.book.begin(make_ask(pool=None))) == "oom"

    assert (await until_answered(store.book)).mine == (0, 1, 2)


@pytest.mark.skipif(os.geteuid() != 0, reason="another process is limited only by a file system of its own")
async def test_a_full_disk_of_the_server(tmp_path: Path) -> None:
    """It cannot append to its log, and takes no write until it can."""
    with (
        small_disk(tmp_path / "disk") as disk,
        run_server(disk.path, {"appendonly": "yes", "appendfsync": "everysec", "save": ""}) as valkey,
    ):
        async with open_client(valkey.url, timeout_s=PATIENCE_S, connections=4) as client:
            book = open_book(client, timeout_s=PATIENCE_S)
            disk.fill(but_bytes=0)

            assert await until_refused(book) == "misconf"

            disk.free()
            assert (await until_answered(book)).mine == (0, 1, 2)


async def until_refused(book: RedisOrders) -> str:
    """Order until the server notices its trouble; returns the reason."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await book.begin(make_ask(pool=None))
            except StateUnavailable as error:
                return error.reason


async def test_more_callers_than_places(store: Store) -> None:
    """Those who get no place are told apart from those who get no answer."""
    async with faults.stopped(store.valkey, store.redis):
        assert await reasons(store.hurried, times=40) == {"timeout", "pool"}


async def test_a_recovered_server_answers_the_right_caller(store: Store) -> None:
    store.valkey.signal(signal.SIGSTOP)
    await reasons(store.hurried, times=20)
    store.valkey.signal(signal.SIGCONT)

    assert (await until_answered(store.hurried)).mine == (0, 1, 2)


async def test_a_settlement_refused_for_memory_is_taken_later(store: Store) -> None:
    ask = make_ask(pool=None)
    await store.book.begin(ask)
    settlement = settle(ask, made=((None, made((0, "a"))[0][1]),), released=(0,))
    await store.redis.config_set("maxmemory", "1mb")
    assert await reason_of(store.book.finish(settlement)) == "oom"
    await store.redis.config_set("maxmemory", "0")

    await store.book.finish(settlement)

    assert (await read_ledger(store.redis))["made|images"] == 1


async def test_forgotten_scripts_are_loaded_again(store: Store) -> None:
    await store.redis.script_flush()
    await store.book.begin(ask := make_ask(pool=None))
    await store.redis.script_flush()
    await store.book.finish(settle(ask, made=((None, made((0, "a"))[0][1]),), released=(0,)))
    await store.redis.script_flush()
    await store.book.renew([])

    assert (await read_ledger(store.redis))["made|images"] == 1


@pytest.fixture
async def proxy(store: Store) -> AsyncIterator[FaultProxy]:
    """A proxy in front of the store, which breaks on command."""
    async with FaultProxy(("127.0.0.1", port_of(store.valkey))) as proxy:
        yield proxy


@asynccontextmanager
async def book_behind(proxy: FaultProxy, timeout_s: float = PATIENCE_S) -> AsyncIterator[RedisOrders]:
    url = f"redis://127.0.0.1:{proxy.port}"
    async with open_client(url, timeout_s=timeout_s, connections=16) as client:
        yield open_book(client, timeout_s=timeout_s)


async def test_an_address_without_a_listener(proxy: FaultProxy) -> None:
    proxy.set(RefuseConnections())

    async with book_behind(proxy) as book:
        assert await reasons(book, times=20) == {"connection"}


async def test_a_server_that_accepts_and_says_nothing(proxy: FaultProxy) -> None:
    proxy.set(HangAfterAccept())

    async with book_behind(proxy, TIMEOUT_S) as book:
        assert await reasons(book, times=20) <= {"timeout", "pool"}


async def test_an_answer_cut_off_by_a_reset(proxy: FaultProxy) -> None:
    proxy.set(ResetAfterRequest())

    async with book_behind(proxy) as book:
        assert await reasons(book) == {"connection"}


async def test_a_lost_answer_is_not_sent_again_by_the_client(store: Store, proxy: FaultProxy) -> None:
    """The script ran; asking again by ourselves, with the same id, is charged once."""
    async with book_behind(proxy, 1.0) as book:
        await lose_an_answer(store, proxy, book)


async def lose_an_answer(store: Store, proxy: FaultProxy, book: RedisOrders) -> None:
    await until_answered(book)  # a connection that is past its greeting
    ask = make_ask(n=2, pool=None)
    before = await count_scripts(store.redis)
    proxy.set(DropReply(nth=1), times=1)

    assert await reason_of(book.begin(ask)) == "timeout"

    assert await count_scripts(store.redis) == before + 1
    assert (await read_holds(store.redis))[ask.fence]["images"] == 2
    assert (await book.begin(ask)).mine == (0, 1)
    assert (await read_holds(store.redis))[ask.fence]["images"] == 2


async def count_scripts(redis: Redis) -> int:
    stats = await redis.info("commandstats")
    return sum(int(stats[name]["calls"]) for name in stats if name in {"cmdstat_evalsha", "cmdstat_eval"})


async def test_connections_closed_while_idle_fail_no_caller(store: Store) -> None:
    """After a restart, a failover, or a server's or load balancer's own idle time-out."""
    await begin_at_once(store.book)
    await store.redis.client_kill_filter(_type="normal", skipme=True)

    assert await begin_at_once(store.book) == ["answered"] * 8


async def begin_at_once(book: RedisOrders) -> list[str]:
    async def begin() -> str:
        try:
            await book.begin(make_ask(pool=None))
        except StateUnavailable as error:
            return error.reason
        return "answered"

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(begin()) for _ in range(8)]
    return [task.result() for task in tasks]


async def test_a_settlement_that_failed_in_the_middle_is_taken_later(store: Store) -> None:
    """A script that fails is not undone: nothing may say that it was done."""
    ask = make_ask(fresh=True)
    settlement = settle(ask, made=made(((await store.book.begin(ask)).mine[0], "a")))
    await store.redis.rename(POOL, "aside")
    await store.redis.set(POOL, "what is this")
    assert await reason_of(store.book.finish(settlement)) == "wrongtype"
    await store.redis.rename("aside", POOL)

    await store.book.finish(settlement)

    assert (await read_ledger(store.redis))["made|images"] == 1
