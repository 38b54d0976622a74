"""Put a balancer before gateways: a plain forwarder of connections, and HAProxy with health checks."""

import asyncio
import contextlib
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from tests.chaos.row import NotTried
from tests.processes import Gateway, free_port

HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin:/opt/homebrew/bin")

_CONFIG = """
global
    maxconn 4000
defaults
    mode http
    timeout connect 1s
    timeout client 60s
    timeout server 60s
    option redispatch
    retries 2
frontend front
    bind 127.0.0.1:{port}
    default_backend gateways
backend gateways
    option httpchk GET /readyz
    default-server check inter 1s fall 2 rise 1
{servers}
"""


@contextlib.contextmanager
def run_haproxy(directory: Path, ports: Sequence[int]) -> Iterator[str]:
    """Run HAProxy before gateways on *ports*, checked each second; yields its URL."""
    if HAPROXY is None:
        raise NotTried("HAProxy is not installed (sudo apt-get install haproxy)")
    port = free_port()
    servers = "\n".join(f"    server gateway{each} 127.0.0.1:{each}" for each in ports)
    config = directory / "haproxy.cfg"
    config.write_text(_CONFIG.format(port=port, servers=servers), "utf-8")
    with (
        (directory / "haproxy.log").open("wb") as log,
        subprocess.Popen([HAPROXY, "-db", "-f", config], stdout=log, stderr=log) as process,
    ):
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


@contextlib.asynccontextmanager
async def run_forwarder(gateways: Sequence[Gateway]) -> AsyncIterator[str]:
    """Forward each connection to the first of *gateways* that accepts it; yields its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            answers, requests = await _connect(gateways)
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, requests))
                group.create_task(_pump(answers, writer))
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _connect(gateways: Sequence[Gateway]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    for gateway in gateways:
        with contextlib.suppress(OSError):
            return await asyncio.open_connection("127.0.0.1", int(gateway.url.rpartition(":")[2]))
    raise ConnectionError("no gateway accepts")


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
    target.close()
