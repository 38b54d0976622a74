"""Run Portkey's gateway: one process (it has no other form) that checks no key; provider and address are in each order."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.bench.cores import CoreSet
from tests.bench.peers.environments import ENVIRONMENTS, environment, make_environment
from tests.bench.servers import Running, run_command
from tests.processes import free_port

_PROGRAM = Path("portkey/node_modules/@portkey-ai/gateway/build/start-server.js")


@contextmanager
def run_portkey(directory: Path, *, cores: CoreSet) -> Iterator[Running]:
    """Run it.

    Raises:
        OSError: it cannot be installed, or does not start.
    """
    node = shutil.which("node")
    if node is None:
        raise OSError("it needs Node.js (sudo apt-get install nodejs npm)")
    make_environment("portkey")
    port = free_port()
    command: list[str | Path] = [node, ENVIRONMENTS / _PROGRAM, "--headless", f"--port={port}"]
    # Addresses on this machine are refused unless they are named.
    variables = environment(NODE_ENV="production", TRUSTED_CUSTOM_HOSTS="127.0.0.1,localhost")
    log = directory / "portkey.log"
    with run_command(command, port, cores=cores, environment=variables, log=log) as running:
        yield running


def custom_host(provider: Running) -> dict[str, str]:
    """Return the headers that lead an order to *provider*."""
    return {"x-portkey-provider": "openai", "x-portkey-custom-host": f"{provider.url}/v1"}
