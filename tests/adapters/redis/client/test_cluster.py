"""In a cluster each team's orders go to the server that owns its slot, wherever that is by now."""

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.crc import key_slot
from redis.exceptions import DataError

from service.adapters.clock import SystemClock
from service.adapters.redis.client.client import open_client
from service.adapters.redis.client.script import Script
from service.adapters.redis.keys import of_team, pool_key
from service.adapters.redis.leases import RedisSweepLease
from service.adapters.redis.orders import RedisOrders
from service.adapters.redis.references import RedisReferences
from service.domain.errors import StateUnavailable
from tests.adapters.redis.load import loaded
from tests.adapters.redis.orders import (
    fill,
    make_ask,
    make_image,
    open_book,
    reason_of,
)
from tests.processes import free_port
from tests.redis_servers import Cluster, address_of, kill, port_of, run_cluster, run_server

TIMEOUT_S = 1.5
"""Longer than in the gateway, so that a busy machine is not taken for a server that does not answer."""
TEAMS = ("t2", "t1", "t0")
"""One whose keys each of three primaries owns, in their order."""


def test_the_teams_have_different_owners() -> None:
    assert [key_slot(of_team(team).holds.encode()) * 3 // 16384 for team in TEAMS] == [0, 1, 2]


@pytest.fixture
async def cluster(cluster: Cluster) -> Cluster:
    """The cluster that modules share, without what an earlier test left in it."""
    for node in cluster.primaries:
        async with Redis.from_url(node.url) as client:
            await client.flushall()
    return cluster


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster that a test may ruin; the first primary alone has a replica."""
    settings = {"cluster-require-full-coverage": "no"}
    with run_cluster(tmp_path, replicas=1, settings=settings) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def movable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster whose slots a test may move."""
    with run_cluster(tmp_path_factory.mktemp("movable")) as cluster:
        yield cluster


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[RedisOrders]:
    async with open_client(url, timeout_s=TIMEOUT_S, connections=16) as client:
        yield open_book(client, timeout_s=TIMEOUT_S)


async def test_a_server_that_hangs_or_dies_costs_its_own_slots_only(own: Cluster) -> None:
    async with opened(own.url) as book, loaded(book, *TEAMS) as load:
        await load.until_answered(*TEAMS)
        own.primaries[1].signal(signal.SIGSTOP)
        # The others declare it dead after few of these.
        await load.until_failed(TEAMS[1], "timeout", times=1)
        await load.until_failed(TEAMS[1], "cluster_down")
        assert load.reasons(TEAMS[0], TEAMS[2]) == {"answered"}
        assert load.reasons(TEAMS[1]) <= {"answered", "timeout", "cluster_down", "pool"}

        own.primaries[1].signal(signal.SIGCONT)
        await load.until_answered(*TEAMS)
        load.forget()

        kill(own.primaries[1])
        await load.until_failed(TEAMS[1], "cluster_down")
        await load.until_answered(TEAMS[0], TEAMS[2])
        assert load.reasons(TEAMS[0], TEAMS[2]) == {"answered"}
        assert load.reasons(TEAMS[1]) <= {"answered", "connection", "cluster_down"}


async def test_a_replica_that_takes_over_is_found(own: Cluster) -> None:
    async with opened(own.url) as book, loaded(book, *TEAMS) as load:
        await load.until_answered(*TEAMS)
        load.forget()
        kill(own.primaries[0])
        await load.until_failed(TEAMS[0], "connection", times=1)

        await load.until_answered(*TEAMS)

        assert load.reasons(TEAMS[1], TEAMS[2]) == {"answered"}
        assert load.reasons(TEAMS[0]) <= {"answered", "connection", "cluster_down", "timeout", "readonly"}


async def test_dead_and_hung_addresses_in_the_url_cost_one_caller_at_most(
    cluster: Cluster, tmp_path: Path
) -> None:
    with run_server(tmp_path, {}) as hung:
        hung.signal(signal.SIGSTOP)
        hosts = (f"127.0.0.1:{free_port()}", address_of(hung), address_of(cluster.primaries[0]))
        async with opened(f"redis+cluster://{','.join(hosts)}") as book:
            with contextlib.suppress(StateUnavailable):
                await book.begin(make_ask(pool=None))
            for team in TEAMS:
                await book.begin(make_ask(team=team, pool=None))


async def test_while_the_whole_cluster_is_down(tmp_path: Path) -> None:
    with run_cluster(tmp_path) as cluster:
        async with opened(cluster.url) as book, loaded(book, *TEAMS) as load:
            await load.until_answered(*TEAMS)
            kill(cluster.primaries[1])

            for team in TEAMS:
                await load.until_failed(team, "cluster_down")


@dataclass(slots=True)
class Move:
    """The slot of a team on its way from one server to another."""

    source: Redis
    target: Redis
    slot: int
    target_id: str

    @classmethod
    async def begin(cls, team: str, source: Redis, target: Redis) -> "Move":
        slot = key_slot(of_team(team).holds.encode())
        source_id, target_id = [(await tell(node, "MYID")).decode() for node in (source, target)]
        await tell(target, "SETSLOT", slot, "IMPORTING", source_id)
        await tell(source, "SETSLOT", slot, "MIGRATING", target_id)
        return cls(source, target, slot, target_id)

    async def end(self) -> None:
        for node in (self.target, self.source):
            await tell(node, "SETSLOT", self.slot, "NODE", self.target_id)


async def tell(node: Redis, *command: Any) -> Any:
    send: Any = node.execute_command
    return await send("CLUSTER", *command)


async def redirections(node: Redis, kind: str) -> int:
    return int((await node.info("errorstats")).get(f"errorstat_{kind}", {"count": 0})["count"])


async def test_a_slot_that_moves_is_followed(movable: Cluster) -> None:
    """First by ASK, for what the old owner no longer has, then by MOVED, once."""
    team = TEAMS[1]
    async with (
        open_client(movable.url, timeout_s=2, connections=8) as client,
        open_client(movable.primaries[1].url, timeout_s=5, connections=1) as source,
        open_client(movable.primaries[2].url, timeout_s=5, connections=1) as target,
    ):
        script = Script(client, "return redis.call('INCR', KEYS[1])", timeout_s=2)
        await script.run([f"{{{TEAMS[2]}}}n"])
        move = await Move.begin(team, source, target)

        async with asyncio.TaskGroup() as group:  # at once, so that ASKING could go astray
            counts = [group.create_task(script.run([f"{{{team}}}n"])) for _ in range(60)]
        assert sorted(count.result() for count in counts) == list(range(1, 61))
        assert await redirections(source, "ASK") >= 60
        assert await redirections(target, "MOVED") == 0

        await move.end()
        assert [await script.run([f"{{{team}}}n"]) for _ in range(3)] == [61, 62, 63]
        assert await redirections(source, "MOVED") == 1


async def test_half_a_slot_is_waited_for_but_not_for_ever(movable: Cluster) -> None:
    """While it moves, no script runs of whose keys one is not there yet, or not any more."""
    team = "t5"
    async with (
        opened(movable.url) as book,
        open_client(movable.primaries[1].url, timeout_s=5, connections=1) as source,
        open_client(movable.primaries[2].url, timeout_s=5, connections=1) as target,
    ):
        await book.begin(make_ask(team=team, pool=None))
        move = await Move.begin(team, source, target)

        assert await reason_of(book.begin(make_ask(team=team, pool=None))) == "cluster_down"

        send: Any = source.execute_command
        names = await source.keys(f"*{{{team}}}*")
        await send("MIGRATE", "127.0.0.1", port_of(movable.primaries[2]), "", 0, 1000, "KEYS", *names)
        await move.end()
        await book.begin(make_ask(team=team, pool=None))


async def test_one_of_the_named_servers_is_enough(cluster: Cluster) -> None:
    url = f"redis+cluster://{address_of(cluster.primaries[0])}"
    async with opened(url) as book:
        for team in TEAMS:
            await fill(book, "a", team=team, pool=f"ig:1:{{{team}}}:pool:x")


async def test_an_answer_that_came_while_the_process_was_busy_is_in_time(cluster: Cluster) -> None:
    url = f"redis+cluster://{address_of(cluster.primaries[0])}"
    async with open_client(url, timeout_s=TIMEOUT_S, connections=2) as client, asyncio.TaskGroup() as group:
        script = Script(client, "return ARGV[1]", timeout_s=TIMEOUT_S)
        await script.run(["key"], "warm")
        task = group.create_task(script.run(["key"], "answer"))
        await asyncio.sleep(0)
        time.sleep(2.5 * TIMEOUT_S)  # noqa: ASYNC251 - a loop that is busy

    assert task.result() == b"answer"


async def test_a_server_without_cluster_support_is_refused(tmp_path: Path) -> None:
    with run_server(tmp_path, {}) as server:
        async with opened(f"redis+cluster://{address_of(server)}") as book:
            assert await reason_of(book.begin(make_ask())) == "response"


@pytest.mark.parametrize("command", [("KEYS", "*"), ("FLUSHALL",), ("SCRIPT FLUSH",), ("CONFIG GET", "save")])
async def test_commands_for_a_single_server_are_refused(cluster: Cluster, command: tuple[str, ...]) -> None:
    """Rather than done on any one of them, without a word."""
    async with open_client(cluster.url, timeout_s=2, connections=1) as client:
        send: Any = client.execute_command
        with pytest.raises(DataError):
            await send(*command)


async def test_a_map_in_the_older_form_will_do(cluster: Cluster) -> None:
    """For users who may not ask for shards, and for services without them."""
    async with contextlib.AsyncExitStack() as stack:
        for node in cluster.primaries:
            admin = await stack.enter_async_context(open_client(node.url, timeout_s=5, connections=1))
            await admin.acl_setuser(
                "old",
                enabled=True,
                passwords=["+pw"],
                keys=["*"],
                channels=["*"],
                commands=["+@all", "-cluster|shards"],
            )
        async with opened(cluster.url.replace("://", "://old:pw@")) as book:
            for team in TEAMS:
                await fill(book, "a", team=team, pool=f"ig:1:{{{team}}}:pool:x")


async def test_references_are_read_and_forgotten_on_the_server_of_their_team(cluster: Cluster) -> None:
    async with open_client(cluster.url, timeout_s=20.0, connections=16) as client:
        book = open_book(client)
        references = RedisReferences(client, clock=SystemClock(), timeout_s=20.0)
        turns = RedisSweepLease(client, process="here", timeout_s=20.0)
        name = make_image("shared").name
        for team in TEAMS:
            await fill(book, "shared", pool=pool_key(team, "team", "f" * 32), team=team)

        assert await turns.take(hold_s=60)
        assert set(TEAMS) <= set(await references.teams())
        for team in TEAMS:
            assert await references.variants(team, [name]) == 1
            images, _ = await references.totals(team)
            assert name in [each.name async for each in references.scan(team)]
            assert await references.forget(team, name)
            assert (await references.totals(team))[0] == images - 1
            assert not await references.has(team, name)
        assert name in await references.due(now_s=4e9, most=99)
