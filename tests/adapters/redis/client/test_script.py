"""A script runs on every server with EVAL, and its errors have labels."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.adapters.redis.client.client import open_client
from service.adapters.redis.client.script import Script
from service.domain.errors import StateUnavailable
from tests.adapters.redis.orders import reason_of
from tests.processes import Valkey
from tests.redis_servers import run_server

ECHO = "return {KEYS[1], KEYS[2], ARGV[1]}"


@pytest.fixture
async def alone(tmp_path: Path) -> AsyncIterator[tuple[Valkey, Redis]]:
    """A server that a test may spoil, and a client of it."""
    with run_server(tmp_path, {}) as server:
        client = open_client(server.url, timeout_s=2, connections=4)
        yield server, client
        await client.aclose()


async def test_a_script_gets_its_keys_and_arguments(client: Redis) -> None:
    script = Script(client, ECHO, timeout_s=2)

    assert await script.run(["{t}a", "{t}b"], b"c") == [b"{t}a", b"{t}b", b"c"]
    assert await script.run(["{t}d", "{t}e"], "f") == [b"{t}d", b"{t}e", b"f"]


async def test_the_text_is_sent_once_and_then_the_hash(alone: tuple[Valkey, Redis]) -> None:
    _, client = alone
    script = Script(client, ECHO, timeout_s=2)

    for _ in range(3):
        await script.run(["a", "b"], "c")

    stats = await client.info("commandstats")
    assert {name: stats[f"cmdstat_{name}"]["calls"] for name in ("eval", "evalsha")} == {
        "eval": 1,
        "evalsha": 3,
    }
    assert "cmdstat_script|load" not in stats


async def test_the_greeting_asks_for_nothing_a_server_may_not_know(alone: tuple[Valkey, Redis]) -> None:
    """Above all not for notices of maintenance, on which redis-py would stretch its time-outs to ten seconds."""
    _, client = alone
    await client.ping()

    assert "errorstat_ERR" not in await client.info("errorstats")


async def test_a_user_without_the_script_command_runs_scripts(alone: tuple[Valkey, Redis]) -> None:
    server, client = alone
    await client.acl_setuser(
        "app", enabled=True, passwords=["+pw"], keys=["*"], commands=["+@all", "-script"]
    )
    url = server.url.replace("://", "://app:pw@")
    limited = open_client(url, timeout_s=2, connections=1)

    assert await Script(limited, ECHO, timeout_s=2).run(["a", "b"], "c") == [b"a", b"b", b"c"]
    await limited.aclose()


async def test_scripts_flushed_under_load_fail_no_caller(client: Redis, redis: Redis) -> None:
    script = Script(client, "return redis.call('INCR', KEYS[1])", timeout_s=2)
    is_over = False

    async def run(team: int) -> list[int]:
        return [await script.run([f"{{{team}}}n"]) for _ in range(50)]

    async def forget() -> None:
        while not is_over:
            await redis.script_flush()

    async with asyncio.TaskGroup() as forgetting:
        forgetting.create_task(forget())
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(run(team)) for team in range(8)]
        is_over = True

    assert [task.result() for task in tasks] == [list(range(1, 51))] * 8


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("return redis.error_reply('NOSCRIPT of all things')", "noscript"),
        ("return redis.error_reply('MASTERDOWN Link with MASTER is down')", "no_primary"),
        ("return redis.error_reply('CLUSTERDOWN The cluster is down')", "cluster_down"),
        ("return redis.error_reply('UNKNOWN kind')", "response"),
        ("this is no Lua", "response"),
        ("return redis.call('SPELL')", "response"),
    ],
)
async def test_an_error_of_a_script_has_its_label(client: Redis, text: str, label: str) -> None:
    assert await reason_of(Script(client, text, timeout_s=2).run(["a"])) == label


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b":1\r\n", b"$-1\r\n", b"*0\r\n", b""]
)
async def test_a_server_that_speaks_something_else(answer: bytes) -> None:
    async with run_liar(answer) as port:
        # With a password, redis-py looks into the answer to its greeting.
        client = open_client(f"redis://:pw@127.0.0.1:{port}", timeout_s=1, connections=1)

        with pytest.raises(StateUnavailable):
            await Script(client, ECHO, timeout_s=1).run(["a", "b"])

        await client.aclose()


@asynccontextmanager
async def run_liar(answer: bytes) -> AsyncIterator[int]:
    """Run a server that gives every command the same answer and never disconnects."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while answer and await reader.read(10_000):
            writer.write(answer)
        writer.close()

    async with asyncio.TaskGroup() as group:

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            group.create_task(serve(reader, writer))

        server = await asyncio.start_server(accept, "127.0.0.1")
        yield int(server.sockets[0].getsockname()[1])
        server.close()
