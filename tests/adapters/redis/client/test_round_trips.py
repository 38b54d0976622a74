"""Every round trip to Redis is measured once, by its script or its kind of command."""

import asyncio
import signal
from collections import Counter
from pathlib import Path

import pytest
from redis.asyncio import Redis

from service.adapters.redis.client.client import open_client
from service.adapters.redis.client.script import Script
from service.domain.errors import StateUnavailable
from tests.redis_servers import Cluster, run_server

TIMEOUT_S = 0.3


class Notes:
    """The round trips of a client."""

    def __init__(self) -> None:
        self.trips: list[tuple[str, bool]] = []
        self.durations_s: list[float] = []

    def take(self, operation: str, duration_s: float, is_answered: bool) -> None:
        self.trips.append((operation, is_answered))
        self.durations_s.append(duration_s)


async def use(client: Redis) -> None:
    """Send two scripts, a read, a write and a command of no group."""
    for name in ("first", "second"):
        await Script(client, f"return '{name}'", timeout_s=2, name=name).run(["{t}a"])
    await client.set("{t}a", "b")
    await client.get("{t}a")
    await client.ping()


async def test_a_trip_has_the_name_of_its_script_or_of_its_group(redis_url: str) -> None:
    notes = Notes()
    async with open_client(redis_url, timeout_s=5, connections=4, note=notes.take) as client:
        await use(client)
        before = list(notes.trips)
        await use(client)

    again = notes.trips[len(before) :]
    assert again == [(name, True) for name in ("first", "second", "write", "read", "other")]
    # An unknown script takes a trip for its hash and one for its text.
    names = Counter(name for name, _ in before)
    assert all(names[each] >= 1 for each in ("first", "second", "write", "read", "other"))
    assert all(duration_s > 0 for duration_s in notes.durations_s)


async def test_an_error_is_an_answer(redis_url: str) -> None:
    notes = Notes()
    async with open_client(redis_url, timeout_s=5, connections=4, note=notes.take) as client:
        await client.set("{t}a", "b")
        script = Script(client, "return redis.call('HGET', KEYS[1], 'b')", timeout_s=5, name="wrong")
        with pytest.raises(StateUnavailable):
            await script.run(["{t}a"])

    assert notes.trips[-1] == ("wrong", True)


async def test_a_server_that_hangs_does_not_answer(tmp_path: Path) -> None:
    notes = Notes()
    with run_server(tmp_path, {}) as server:
        async with open_client(server.url, timeout_s=TIMEOUT_S, connections=4, note=notes.take) as client:
            await client.ping()
            server.signal(signal.SIGSTOP)
            with pytest.raises(StateUnavailable):
                await Script(client, "return 1", timeout_s=TIMEOUT_S, name="begin").run(["a"])
            server.signal(signal.SIGCONT)

    assert notes.trips[0] == ("other", True)
    assert set(notes.trips[1:]) == {("begin", False)}
    assert min(notes.durations_s[1:]) >= TIMEOUT_S


async def test_a_server_that_is_gone_does_not_answer() -> None:
    notes = Notes()
    async with open_client("redis://127.0.0.1:1", timeout_s=1, connections=1, note=notes.take) as client:
        with pytest.raises(StateUnavailable):
            await Script(client, "return 1", timeout_s=1, name="begin").run(["a"])

    assert set(notes.trips) == {("begin", False)}


async def test_a_trip_that_is_cancelled_says_nothing(tmp_path: Path) -> None:
    notes = Notes()
    with run_server(tmp_path, {}) as server:
        async with open_client(server.url, timeout_s=30, connections=4, note=notes.take) as client:
            await client.ping()
            server.signal(signal.SIGSTOP)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(TIMEOUT_S):
                    await client.get("a")
            server.signal(signal.SIGCONT)

    assert notes.trips == [("other", True)]


async def test_a_redirected_command_is_a_trip_to_each_server(cluster: Cluster) -> None:
    notes = Notes()
    async with open_client(cluster.url, timeout_s=5, connections=4, note=notes.take) as client:
        script = Script(client, "return 1", timeout_s=5, name="begin")
        for team in ("a", "b", "c"):
            await script.run([f"{{{team}}}"])

    assert {("begin", True)} <= set(notes.trips)
    # The map of the cluster is read from one of its servers.
    assert set(notes.trips) <= {("begin", True), ("other", True)}
