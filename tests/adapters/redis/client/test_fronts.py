"""Redis behind TLS, behind a password, and behind a name that leads elsewhere one day."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from service.adapters.redis.client.client import open_client
from service.domain.errors import StateUnavailable
from tests.adapters.redis.client.fronts import Front, make_certificate, run_front
from tests.adapters.redis.orders import make_ask, open_book, read_holds, reason_of
from tests.processes import Valkey
from tests.redis_servers import Cluster, port_of, run_cluster, run_server, run_watched

pytestmark = pytest.mark.slow

PASSWORD = "p@ss/word"
QUOTED = "p%40ss%2Fword"


@dataclass(slots=True)
class Failover:
    """A name that leads to one server, and another server."""

    old: Valkey
    new: Valkey
    leads_to: Valkey

    def find_port(self) -> int:
        return port_of(self.leads_to)

    async def demote(self) -> None:
        """Make the old server a replica; connections to it live on."""
        async with open_client(self.old.url, timeout_s=2, connections=1) as admin:
            await admin.replicaof("127.0.0.1", str(port_of(self.new)))


@pytest.fixture
def failover(tmp_path: Path) -> Iterator[Failover]:
    with run_server(tmp_path / "a", {}) as old, run_server(tmp_path / "b", {}) as new:
        yield Failover(old, new, leads_to=old)


@pytest.mark.parametrize("is_name_late", [True, False])
async def test_clients_leave_a_demoted_server_behind_a_name(failover: Failover, is_name_late: bool) -> None:
    """As hosted services do it. If the name follows at once, no call fails."""
    async with (
        run_front(failover.find_port) as front,
        open_client(f"redis://127.0.0.1:{front.port}", timeout_s=2, connections=8) as client,
        open_client(failover.new.url, timeout_s=2, connections=1) as redis,
    ):
        book = open_book(client)
        await begin_at_once(book.begin)
        await failover.demote()
        if is_name_late:
            assert await reason_of(book.begin(make_ask(pool=None))) == "readonly"
        failover.leads_to = failover.new

        await begin_at_once(book.begin)

        assert len(await read_holds(redis)) == 8


async def begin_at_once(begin: Any) -> None:
    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(begin(make_ask(pool=None)))


@asynccontextmanager
async def run_fronts(servers: list[Valkey], directory: Path) -> AsyncIterator[tuple[list[Front], str]]:
    """Put TLS in front of each server; yields the fronts, and the option that trusts them."""
    context, trusted = make_certificate(directory)
    async with AsyncExitStack() as stack:
        fronts = [
            await stack.enter_async_context(run_front(partial(port_of, server), tls=context))
            for server in servers
        ]
        yield fronts, f"ssl_ca_certs={trusted}"


async def test_one_server_behind_tls_and_a_password(tmp_path: Path) -> None:
    with run_server(tmp_path, {"requirepass": PASSWORD}, password=PASSWORD) as server:
        async with run_fronts([server], tmp_path) as ((front,), trust):
            assert await outcome_of(f"rediss://:{QUOTED}@127.0.0.1:{front.port}?{trust}") == "answered"
            assert await outcome_of(f"rediss://:wrong@127.0.0.1:{front.port}?{trust}") == "auth"
            assert await outcome_of(f"rediss://:{QUOTED}@127.0.0.1:{front.port}") == "connection"
            assert front.encrypted
            assert not front.plain


async def test_a_cluster_behind_tls_and_a_password(tmp_path: Path) -> None:
    settings = {"requirepass": PASSWORD, "primaryauth": PASSWORD}
    with run_cluster(tmp_path, settings=settings) as cluster:
        async with run_fronts(cluster.primaries, tmp_path) as (fronts, trust):
            for server, front in zip(cluster.primaries, fronts, strict=True):
                url = server.url.replace("://", f"://:{QUOTED}@")
                async with open_client(url, timeout_s=2, connections=1) as admin:
                    await admin.config_set("cluster-announce-port", str(front.port))
            await until_announced(cluster, fronts)

            place = f"127.0.0.1:{fronts[0].port}"
            for team in ("t0", "t1", "t2"):
                assert await outcome_of(f"rediss+cluster://:{QUOTED}@{place}?{trust}", team) == "answered"
            assert await outcome_of(f"rediss+cluster://:wrong@{place}?{trust}") == "auth"
            assert all(front.encrypted and not front.plain for front in fronts)


async def until_announced(cluster: Cluster, fronts: list[Front]) -> None:
    """Wait until every server knows the fronts of all."""
    wanted = {front.port for front in fronts}
    for server in cluster.primaries:
        url = server.url.replace("://", f"://:{QUOTED}@")
        async with open_client(url, timeout_s=2, connections=1) as admin, asyncio.timeout(10):
            send: Any = admin.execute_command
            while {row[2][1] for row in await send("CLUSTER", "SLOTS")} != wanted:  # noqa: ASYNC110 - no event for it
                await asyncio.sleep(0.01)


async def test_a_sentinel_and_its_primary_behind_tls(tmp_path: Path) -> None:
    context, trusted = make_certificate(tmp_path)
    servers: list[Valkey] = []
    async with (
        # The sentinel itself goes through without TLS, which this build of Valkey does not speak.
        run_front(lambda: port_of(servers[0]), tls=context) as before_primary,
        run_front(lambda: port_of(servers[1]), tls=context) as before_sentinel,
    ):
        with run_watched(tmp_path / "servers", sentinels=1, password=PASSWORD) as watched:
            servers += watched.primary, watched.sentinels[0]
            async with open_client(watched.sentinels[0].url, timeout_s=2, connections=1) as admin:
                await admin.sentinel_monitor("front", "127.0.0.1", before_primary.port, 1)
                await admin.sentinel_set("front", "auth-pass", PASSWORD)

            url = f"rediss+sentinel://:{QUOTED}@127.0.0.1:{before_sentinel.port}/front?ssl_ca_certs={trusted}"
            assert await outcome_of(url) == "answered"
            # One for scripts, one for other commands.
            assert (before_primary.encrypted, before_sentinel.encrypted) == (2, 1)
            assert await outcome_of(url.partition("?")[0]) == "connection"


async def outcome_of(url: str, team: str = "t1") -> str:
    """Return the outcome of an order."""
    async with open_client(url, timeout_s=2, connections=1) as client:
        try:
            await open_book(client).begin(make_ask(team=team, pool=None))
        except StateUnavailable as error:
            return error.reason
        return "answered"
