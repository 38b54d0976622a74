"""Sentinels say which server is the primary, and are asked again when it is another."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.adapters.redis.client.client import open_client
from service.domain.errors import StateUnavailable
from tests.adapters.redis.load import PATIENCE_S, loaded
from tests.adapters.redis.orders import make_ask, open_book, read_ledger, reason_of
from tests.processes import free_port
from tests.redis_servers import PRIMARY, Watched, address_of, kill, run_watched

TEAMS = ("t1", "t2", "t3")
TIMEOUT_S = 1.5
"""Longer than in the gateway, so that a busy machine is not taken for a server that does not answer."""


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    with run_watched(tmp_path) as servers:
        yield servers


async def test_a_failover_under_load(watched: Watched) -> None:
    """Every call is answered or fails for a known reason, and soon all are answered again."""
    async with (
        open_client(watched.url, timeout_s=TIMEOUT_S, connections=16) as client,
        open_client(watched.replica.url, timeout_s=5, connections=1) as replica,
    ):
        async with loaded(open_book(client, timeout_s=TIMEOUT_S), *TEAMS) as load:
            await load.until_answered(*TEAMS)
            safe = load.settled.copy()
            await until_replicated(watched)
            kill(watched.primary)
            risked = load.settled.copy() - safe

            await load.until_failed("t1", "no_primary", times=1)
            await load.until_answered(*TEAMS)

        assert load.reasons() <= {"answered", "connection", "timeout", "no_primary"}
        await load.replay()
        for team in TEAMS:
            # Replication is asynchronous: what only the old primary had heard of may be lost, nothing else.
            lost = load.settled[team] - (await read_ledger(replica, team))["made|images"]
            assert 0 <= lost <= risked[team]


async def until_replicated(watched: Watched) -> None:
    """Wait until the replica has all writes of the primary."""
    async with (
        open_client(watched.primary.url, timeout_s=5, connections=1) as primary,
        open_client(watched.replica.url, timeout_s=5, connections=1) as replica,
    ):
        await primary.set("mark", "behind all else")
        while await replica.get("mark") is None:  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.005)


async def test_hung_sentinels_cost_one_caller_his_answer_at_most(watched: Watched) -> None:
    for sentinel in watched.sentinels[:2]:
        sentinel.signal(signal.SIGSTOP)
    async with open_client(watched.url, timeout_s=TIMEOUT_S, connections=8) as client:
        book = open_book(client, timeout_s=TIMEOUT_S)

        with contextlib.suppress(StateUnavailable):
            await book.begin(make_ask())
        async with asyncio.TaskGroup() as group:  # each opens a connection, and asks where to
            for _ in range(8):
                group.create_task(book.begin(make_ask()))


async def test_while_there_is_no_primary(watched: Watched) -> None:
    kill(watched.replica)
    kill(watched.primary)
    async with open_client(watched.url, timeout_s=TIMEOUT_S, connections=8) as client:
        book = open_book(client, timeout_s=TIMEOUT_S)

        async with asyncio.timeout(PATIENCE_S):
            while (reason := await reason_of(book.begin(make_ask()))) != "no_primary":
                assert reason == "connection"


async def test_unreachable_sentinels_are_a_connection_failure() -> None:
    assert await outcome_of(f"redis+sentinel://127.0.0.1:{free_port()}/{PRIMARY}") == "connection"


async def test_names_and_passwords(tmp_path: Path) -> None:
    with run_watched(tmp_path, sentinels=1, password="p@ss/word", sentinel_password="s:cret") as watched:
        place = f"{address_of(watched.sentinels[0])}/{PRIMARY}"
        both = f"redis+sentinel://:p%40ss%2Fword@{place}?sentinel_password=s%3Acret"

        assert await outcome_of(both) == "answered"
        assert await outcome_of(both.replace(PRIMARY, "unknown")) == "no_primary"
        assert await outcome_of(both.replace("%2Fword", "wrong")) == "auth"
        assert await outcome_of(both.replace("s%3Acret", "wrong")) == "auth"
        assert await outcome_of(f"redis+sentinel://{place}") == "auth"


async def outcome_of(url: str) -> str:
    """Return the outcome of an order."""
    async with open_client(url, timeout_s=2, connections=1) as client:
        try:
            await open_book(client).begin(make_ask())
        except StateUnavailable as error:
            return error.reason
        return "answered"
