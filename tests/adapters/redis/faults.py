"""Ways to break one real server, each ended when its context is left."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import BusyLoadingError, ResponseError

from tests.adapters.redis.orders import POOL
from tests.processes import Valkey
from tests.redis_servers import port_of

PATIENCE_S = 20.0

Fault = Callable[[Valkey, Redis], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def full(_: Valkey, redis: Redis) -> AsyncIterator[None]:
    """No memory, and nothing may be evicted."""
    await redis.config_set("maxmemory-policy", "noeviction")
    await redis.config_set("maxmemory", "1")
    yield
    await redis.config_set("maxmemory", "0")


@asynccontextmanager
async def demoted(_: Valkey, redis: Redis) -> AsyncIterator[None]:
    """Make it the replica of a dead server."""
    await redis.replicaof("127.0.0.1", "1")
    yield
    await redis.replicaof("NO", "ONE")


@asynccontextmanager
async def lonely(_: Valkey, redis: Redis) -> AsyncIterator[None]:
    """Require a replica for every write, and have none."""
    await redis.config_set("min-replicas-to-write", "1")
    yield
    await redis.config_set("min-replicas-to-write", "0")


@asynccontextmanager
async def locked(_: Valkey, redis: Redis) -> AsyncIterator[None]:
    """Require a password that clients lack."""
    await redis.config_set("requirepass", "secret")
    await redis.client_kill_filter(_type="normal", skipme=True)
    yield
    await redis.config_set("requirepass", "")


@asynccontextmanager
async def forbidden(_: Valkey, redis: Redis) -> AsyncIterator[None]:
    """Deny scripts to all users."""
    await redis.acl_setuser("default", enabled=True, commands=["-evalsha"])
    yield
    await redis.acl_setuser("default", enabled=True, commands=["+evalsha"])


@asynccontextmanager
async def mistyped(_: Valkey, redis: Redis) -> AsyncIterator[None]:
    """Put a foreign value under one of the gateway's keys."""
    await redis.delete(POOL)
    await redis.set(POOL, "what is this")
    yield
    await redis.delete(POOL)


@asynccontextmanager
async def busy(server: Valkey, redis: Redis) -> AsyncIterator[None]:
    """Run an endless script: the server first answers nothing, then BUSY."""
    await redis.config_set("busy-reply-threshold", "1")
    async with _sent(server, b"*3\r\n$4\r\nEVAL\r\n$17\r\nwhile true do end\r\n$1\r\n0\r\n"):
        await _until_raised(redis.ping, ResponseError)
        yield
        await redis.script_kill()


@asynccontextmanager
async def loading(server: Valkey, redis: Redis) -> AsyncIterator[None]:
    """Reads its data from disk, as after a restart."""
    await redis.config_set("rdbcompression", "no")
    await redis.config_set("key-load-delay", "300")  # microseconds
    await redis.config_set("loading-process-events-interval-bytes", "1024")
    for name in range(3000):
        await redis.set(f"ballast:{name}", "x" * 100)
    async with _sent(server, b"*2\r\n$5\r\nDEBUG\r\n$6\r\nRELOAD\r\n"):
        await _until_raised(lambda: cast("Awaitable[object]", redis.get("any")), BusyLoadingError)
        yield
        await redis.config_set("key-load-delay", "0")


@asynccontextmanager
async def stopped(server: Valkey, _: Redis) -> AsyncIterator[None]:
    """Lives, accepts connections, and does nothing."""
    server.signal(signal.SIGSTOP)
    yield
    server.signal(signal.SIGCONT)


@asynccontextmanager
async def _sent(server: Valkey, command: bytes) -> AsyncIterator[None]:
    """Send a command on a connection of its own; its answer is awaited in the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port_of(server))
    writer.write(command)
    await writer.drain()
    yield
    await reader.readline()
    writer.close()
    await writer.wait_closed()


async def _until_raised(call: Callable[[], Awaitable[Any]], kind: type[Exception]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                await call()
            except kind:
                return
            await asyncio.sleep(0.005)
